import type { Averages, GroupPolicy, Observation } from "./types.ts";

/** Means of one pass over the members; silent ones are in none of them. */
export function average(observation: Observation): Averages {
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
  const mean = (total: number) => (members === 0 ? null : exact(total / members));
  return {
    fresh: fresh === 0 ? null : exact(sum / fresh),
    forUp: mean(sum),
    forDown: mean(sum - starvedSum + 100 * (starved + unknown)),
    forDownAsMeasured: mean(sum + 100 * unknown),
    allStarved: fresh > 0 && starved === fresh,
    members,
  };
}

/** What floats lose in adding up must not put an average beyond a threshold that it is exactly at. */
function exact(percent: number): number {
  const round = Math.round(percent * 1e6) / 1e6;
  return Math.abs(percent - round) < 1e-9 ? round : percent;
}

/** What `forDown` would be if the same load fell on one member less; infinite when none is left to carry it. */
export function averageWithoutOne({ forDown, members }: Averages): number {
  if (members === 1) return Number.POSITIVE_INFINITY;
  return forDown === null ? 0 : exact((forDown * members) / (members - 1));
}

/** Why the damped averages are within the thresholds though the mean of the measured members is beyond one. */
export function whyDamped(
  { scaleUpThresholdPercent: upper, scaleDownThresholdPercent: lower }: GroupPolicy,
  { fresh, forUp, forDown, forDownAsMeasured }: Averages,
): "incomplete_data" | "cores_saturated" | null {
  if (fresh === null || forUp === null || forDown === null || forDownAsMeasured === null) return null;
  if (fresh > upper && forUp <= upper) return "incomplete_data";
  if (fresh >= lower || forDown < lower) return null;
  return forDownAsMeasured >= lower ? "incomplete_data" : "cores_saturated";
}
