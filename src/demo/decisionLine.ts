/** One decision in `/api/v1/decisions`, as far as it is told here. */
export interface Decision {
  /** RFC 3339: decisions of one evaluation have one time, and text sorts as time does */
  readonly time: string;
  readonly host: string;
  readonly path: string;
  readonly group: string;
  readonly decision: string;
  readonly reason: string;
  readonly clone: string | null;
}

/** One group in `/api/v1/groups`. */
export interface ExplainedGroup {
  readonly host: string;
  readonly path: string;
  readonly group: string;
  /** null before the first evaluation */
  readonly scaler: { readonly time: string; readonly text: string } | null;
}

/** Those after `time` on groups that a policy matches, the oldest first. `newestFirst` is the API's order. */
export function decisionsAfter(time: string, newestFirst: readonly Decision[]): readonly Decision[] {
  return newestFirst.filter((one) => one.time > time && one.reason !== "no_policy").reverse();
}

/**
 * A decision on one line: `user:web scale_up web-clone-1 (overloaded): Create web-clone-1: the average ...`. The words are
 * the group's own, which tell of its last evaluation: an older decision goes without.
 */
export function decisionLine(decision: Decision, groups: readonly ExplainedGroup[]): string {
  const { host, path, group, time, clone, reason } = decision;
  const what = [decision.decision, ...(clone === null ? [] : [clone])].join(" ");
  const told = groups.find((one) => one.host === host && one.path === path && one.group === group)?.scaler;
  const why = told?.time === time ? `: ${told.text}` : "";
  return `${path}:${group} ${what} (${reason})${why}`;
}
