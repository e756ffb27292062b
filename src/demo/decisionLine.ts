/** One decision in `/api/v1/decisions`, as far as it is told here. */
export interface Decision {
  /** RFC 3339: decisions of one evaluation have one time, and text sorts as time does */
  readonly time: string;
  readonly path: string;
  readonly group: string;
  readonly decision: string;
  readonly reason: string;
  readonly clone: string | null;
  readonly text: string;
}

/** Those after `time` on groups that a policy matches, the oldest first. `newestFirst` is the API's order. */
export function decisionsAfter(time: string, newestFirst: readonly Decision[]): readonly Decision[] {
  return newestFirst.filter((one) => one.time > time && one.reason !== "no_policy").reverse();
}

/** A decision on one line: `user:web scale_up web-clone-1 (overloaded): Create web-clone-1: the average ...`. */
export function decisionLine({ path, group, decision, clone, reason, text }: Decision): string {
  const what = clone === null ? decision : `${decision} ${clone}`;
  return `${path}:${group} ${what} (${reason}): ${text}`;
}
