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

/** One action in `/api/v1/actions`, as far as it is told here. */
export interface Action {
  readonly id: string;
  readonly path: string;
  readonly group: string;
  readonly operation: string;
  readonly clone: string;
  readonly phase: string;
  readonly reason: string | null;
  readonly text: string;
}

/** An action's phase on one line: `user:web create web-clone-1: verified`, `... failed (quota): maximum amount of ...`. */
export function actionLine({ path, group, operation, clone, phase, reason, text }: Action): string {
  const why = reason === null || reason === "done" ? "" : ` (${reason})`;
  return `${path}:${group} ${operation} ${clone}: ${phase}${why}${text === "" ? "" : `: ${text}`}`;
}
