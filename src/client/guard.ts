import { formatName, type Name } from "../wire/names.ts";

/** An answer older than this is asked again before a path slot is opened. */
const FRESH_US = 5 * 1_000_000;

/** Whether a slot may be opened now. */
export type Permission =
  | { readonly type: "open" }
  /** What is known is too old, or nothing is: ask unikernel info first. */
  | { readonly type: "ask" }
  | {
      readonly type: "blocked";
      readonly reason: string;
      /** A subscription that is open must be closed, too. */
      readonly closesOpen: boolean;
    };

type Knowledge =
  | { readonly type: "unknown" }
  | { readonly type: "absent"; readonly atUs: number }
  | { readonly type: "present" }
  | { readonly type: "unreadable"; readonly reason: string };

/** The unikernel whose name is that of the path: `user` for `user:`, `a:b` for `a:b:`; null for root and unikernels. */
export function namesakeOf(slot: Name): Name | null {
  const label = slot.path.at(-1);
  if (slot.label !== null || label === undefined) return null;
  return { path: slot.path.slice(0, -1), label };
}

/**
 * Keeps a path slot `user:` closed while a unikernel named exactly `user` runs: albatross-stats would try to cut `user:`
 * off the name `user`, and die of it. Opening needs a fresh answer of unikernel info; where info cannot be read it
 * needs the operator's word (`allow_unchecked_path`). A slot that is open stays open while info cannot be read.
 */
export class PathGuard {
  readonly #slot: string;
  readonly #namesake: string;
  readonly #allowUnchecked: boolean;
  #knowledge: Knowledge = { type: "unknown" };

  constructor(slot: Name, namesake: Name, options: { readonly allowUnchecked: boolean }) {
    this.#slot = formatName(slot);
    this.#namesake = formatName(namesake);
    this.#allowUnchecked = options.allowUnchecked;
  }

  /** Info answered at `atUs`, monotonic. */
  answered(namesakeRuns: boolean, atUs: number): void {
    this.#knowledge = namesakeRuns ? { type: "present" } : { type: "absent", atUs };
  }

  unreadable(reason: string): void {
    this.#knowledge = { type: "unreadable", reason };
  }

  permission(nowUs: number): Permission {
    const knowledge = this.#knowledge;
    switch (knowledge.type) {
      case "unknown":
        return { type: "ask" };
      case "absent":
        return nowUs - knowledge.atUs <= FRESH_US ? { type: "open" } : { type: "ask" };
      case "present":
        return {
          type: "blocked",
          closesOpen: true,
          reason:
            `the unikernel ${this.#namesake} runs: a subscription at ${this.#slot} would crash albatross-stats; ` +
            "rename the unikernel, or subscribe elsewhere",
        };
      case "unreadable":
        if (this.#allowUnchecked) return { type: "open" };
        return {
          type: "blocked",
          closesOpen: false,
          reason:
            `without unikernel info it is not known whether a unikernel ${this.#namesake} runs, with which a ` +
            `subscription at ${this.#slot} would crash albatross-stats; make vmmd.sock readable, or set ` +
            `allow_unchecked_path: true if there never is such a unikernel (${knowledge.reason})`,
        };
    }
  }
}
