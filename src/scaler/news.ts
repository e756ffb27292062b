import { groupKey } from "./tick.ts";
import type { Evaluation } from "./types.ts";

/** Tells a decision that is worth a line from a plain repeat of the group's last hold. */
export class News {
  readonly #lastHolds = new Map<string, string>();

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

  /** Forgets the groups that `isKnown` does not know any more. */
  forget(isKnown: (key: string) => boolean): void {
    for (const key of this.#lastHolds.keys()) if (!isKnown(key)) this.#lastHolds.delete(key);
  }
}
