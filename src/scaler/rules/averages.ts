import type { Averages, GroupPolicy, Observation } from "./types.ts";

/** Means of one pass over the members; silent ones are in none of them. */
export function average(observation: Observation): Averages {
  let sum = 0;
  let fresh = 0;
  let unknown = 0;
  for (const member of observation.members) {
    if (member.usagePercent !== null) {
      sum += member.usagePercent;
      fresh += 1;
    } else if (member.state !== "silent") unknown += 1;
  }
  const members = fresh + unknown;
  return {
    fresh: fresh === 0 ? null : sum / fresh,
    forUp: members === 0 ? null : sum / members,
    forDown: members === 0 ? null : (sum + 100 * unknown) / members,
    members,
  };
}

/** What `forDown` would be if the same load fell on one member less; infinite when none is left to carry it. */
export function averageWithoutOne({ forDown, members }: Averages): number {
  return forDown === null || forDown === 0 ? 0 : (forDown * members) / (members - 1);
}

/** The members that are measured are beyond a threshold, the average damped by the others is not. */
export function isIncomplete(policy: GroupPolicy, { fresh, forUp, forDown }: Averages): boolean {
  if (fresh === null || forUp === null || forDown === null) return false;
  return (
    (fresh > policy.scaleUpThresholdPercent && forUp <= policy.scaleUpThresholdPercent) ||
    (fresh < policy.scaleDownThresholdPercent && forDown >= policy.scaleDownThresholdPercent)
  );
}
