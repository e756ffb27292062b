import type { Averages, GroupPolicy, Observation } from "./types.ts";

/** Means over the members, without the silent ones, by what the policy takes for their load. */
export function average(observation: Observation, policy: Pick<GroupPolicy, "load"> | null): Averages {
  let sum = 0;
  let fresh = 0;
  let unknown = 0;
  let starved = 0;
  let starvedSum = 0;
  for (const member of observation.members) {
    if (member.usagePercent !== null) {
      sum += member.usagePercent;
      fresh += 1;
      if (!member.starved) continue;
      starved += 1;
      starvedSum += member.usagePercent;
    } else if (member.state !== "silent") unknown += 1;
  }
  const members = fresh + unknown;
  if (policy !== null && policy.load !== null) {
    return loadAverages(knownLoad(observation), policy.load.capacityPerMember, members, fresh);
  }
  const mean = (total: number) => (members === 0 ? null : exact(total / members));
  return {
    fresh: fresh === 0 ? null : exact(sum / fresh),
    forUp: mean(sum),
    forDown: mean(sum - starvedSum + 100 * (starved + unknown)),
    forDownAsMeasured: mean(sum + 100 * unknown),
    allStarved: fresh > 0 && starved === fresh,
    members,
    membersForDown: members,
  };
}

/** All members carry what is asked for, those that are not measured too. */
function loadAverages(
  load: number | null,
  capacityPerMember: number,
  members: number,
  fresh: number,
): Averages {
  const among = (count: number) =>
    load === null || fresh === 0 ? null : exact((load / capacityPerMember / count) * 100);
  const overFresh = among(fresh);
  return {
    fresh: overFresh,
    forUp: among(members),
    forDown: overFresh,
    forDownAsMeasured: overFresh,
    allStarved: false,
    members,
    membersForDown: fresh,
  };
}

/** The answer of the policy's query; null where there is none, or no query. */
export function knownLoad({ load }: Observation): number | null {
  return load?.outcome === "ok" ? load.value : null;
}

/** The thresholds of a group with `load` in its query's unit; null where there are no members to carry any. */
export function loadThresholds(
  { scaleUpThresholdPercent, scaleDownThresholdPercent, load }: GroupPolicy,
  { members, membersForDown }: Averages,
): { readonly up: number | null; readonly down: number | null } | null {
  if (load === null) return null;
  const share = (percent: number, count: number) =>
    count === 0 ? null : exact((percent * load.capacityPerMember * count) / 100);
  return {
    up: share(scaleUpThresholdPercent, members),
    down: share(scaleDownThresholdPercent, membersForDown),
  };
}

/** What floats lose must not put an average beyond a threshold that it is at. */
function exact(value: number): number {
  const round = Math.round(value * 1e6) / 1e6;
  return Math.abs(value - round) < 1e-9 ? round : value;
}

/** `forDown` if the same load fell on one member less; infinite where none is left. */
export function averageWithoutOne({ forDown, membersForDown: count }: Averages): number {
  if (count === 1) return Number.POSITIVE_INFINITY;
  return forDown === null ? 0 : exact((forDown * count) / (count - 1));
}

/** Why the damped averages are within thresholds that the measured mean is beyond. */
export function whyDamped(
  { scaleUpThresholdPercent: upper, scaleDownThresholdPercent: lower }: GroupPolicy,
  { fresh, forUp, forDown, forDownAsMeasured }: Averages,
): "incomplete_data" | "cores_saturated" | null {
  if (fresh === null || forUp === null || forDown === null || forDownAsMeasured === null) return null;
  if (fresh > upper && forUp <= upper) return "incomplete_data";
  if (fresh >= lower || forDown < lower) return null;
  return forDownAsMeasured >= lower ? "incomplete_data" : "cores_saturated";
}
