import { type GroupKey, groupKey } from "./names.ts";
import type { Evaluation } from "./types.ts";

/** Tells a decision that is worth a line from a plain repeat of the group's last hold. */
export class News {
  readonly #lastHolds: Map<GroupKey, string>;

  /** With the last holds of an earlier run of the program, by group, where there are any. */
  constructor(lastHolds: ReadonlyMap<GroupKey, string> = new Map()) {
    this.#lastHolds = new Map(lastHolds);
  }

  /** A group's last hold, in words that mean something only here; null when it has had none. */
  lastHold(key: GroupKey): string | null {
    return this.#lastHolds.get(key) ?? null;
  }

  /** True for every scale decision, and for a hold whose reason (or, paused, what it would be) is not the last hold's. */
  isNews({ observation, decision }: Evaluation): boolean {
    if (decision.decision !== "hold") return true;
    const key = groupKey(observation);
    const would = decision.reason === "paused" ? decision.would : null;
    const text = would === null ? decision.reason : `paused ${would.decision} ${would.reason} ${would.clone}`;
    if (this.#lastHolds.get(key) === text) return false;
    this.#lastHolds.set(key, text);
    return true;
  }

  /** How many groups it knows a hold of. */
  get size(): number {
    return this.#lastHolds.size;
  }

  /** Forgets the groups that `isKnown` does not know any more. */
  forget(isKnown: (key: GroupKey) => boolean): void {
    for (const key of this.#lastHolds.keys()) if (!isKnown(key)) this.#lastHolds.delete(key);
  }
}
