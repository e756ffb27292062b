import { type Evaluation, groupKey } from "../scaler/rules/types.ts";

type Counts = Record<string, Record<string, number>>;

export interface GroupSummary {
  readonly host: string;
  readonly path: string;
  readonly group: string;
  /** evaluations by decision and reason */
  readonly decisions: Counts;
  /** time during which the average that scale-ups are decided on was above its threshold */
  readonly seconds_above_up_threshold: number;
  readonly most_clones: number;
  readonly clone_hours: number;
}

export interface Summary {
  /** wall time of the first and the last sample; null without any */
  readonly from: string | null;
  readonly to: string | null;
  readonly samples: number;
  /** lines of the traces that were no samples */
  readonly skipped_lines: number;
  /** all groups together: sums, except the most clones that one of them had */
  readonly decisions: Counts;
  readonly seconds_above_up_threshold: number;
  readonly most_clones: number;
  readonly clone_hours: number;
  readonly groups: readonly GroupSummary[];
}

interface Tally {
  readonly host: string;
  readonly path: string;
  readonly group: string;
  readonly decisions: Counts;
  aboveMs: number;
  mostClones: number;
  cloneMs: number;
}

/** Adds evaluations up. An evaluation stands for the time since the tick before it. */
export class Summariser {
  readonly #tallies = new Map<string, Tally>();

  /** Counts one evaluation that covers `windowMs` of time. */
  add(evaluation: Evaluation, windowMs: number): void {
    const { observation, decision, averages, policy, clones } = evaluation;
    const tally = this.#tally(observation);
    count(tally.decisions, decision.decision, decision.reason, 1);
    if (policy !== null && averages.forUp !== null && averages.forUp > policy.scaleUpThresholdPercent) {
      tally.aboveMs += windowMs;
    }
    tally.mostClones = Math.max(tally.mostClones, clones);
    tally.cloneMs += clones * windowMs;
  }

  /** The sums so far, groups in order of host, path and name. */
  summary(run: Pick<Summary, "from" | "to" | "samples" | "skipped_lines">): Summary {
    const tallies = [...this.#tallies.entries()]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, tally]) => tally);
    const decisions: Counts = {};
    for (const tally of tallies) addCounts(decisions, tally.decisions);
    return {
      ...run,
      decisions,
      seconds_above_up_threshold: seconds(sum(tallies, (t) => t.aboveMs)),
      most_clones: tallies.reduce((most, t) => Math.max(most, t.mostClones), 0),
      clone_hours: hours(sum(tallies, (t) => t.cloneMs)),
      groups: tallies.map(({ host, path, group, decisions, aboveMs, mostClones, cloneMs }) => ({
        host,
        path,
        group,
        decisions,
        seconds_above_up_threshold: seconds(aboveMs),
        most_clones: mostClones,
        clone_hours: hours(cloneMs),
      })),
    };
  }

  #tally(group: { host: string; path: string; group: string }): Tally {
    const key = groupKey(group);
    const known = this.#tallies.get(key);
    if (known !== undefined) return known;
    const { host, path, group: name } = group;
    const tally: Tally = { host, path, group: name, decisions: {}, aboveMs: 0, mostClones: 0, cloneMs: 0 };
    this.#tallies.set(key, tally);
    return tally;
  }
}

function addCounts(into: Counts, from: Counts): void {
  for (const [decision, reasons] of Object.entries(from)) {
    for (const [reason, times] of Object.entries(reasons)) count(into, decision, reason, times);
  }
}

function count(counts: Counts, decision: string, reason: string, times: number): void {
  const reasons = counts[decision] ?? {};
  counts[decision] = reasons;
  reasons[reason] = (reasons[reason] ?? 0) + times;
}

function sum(tallies: readonly Tally[], value: (tally: Tally) => number): number {
  return tallies.reduce((total, tally) => total + value(tally), 0);
}

function seconds(ms: number): number {
  return ms / 1000;
}

function hours(ms: number): number {
  return Math.round((ms / 3_600_000) * 10_000) / 10_000;
}
