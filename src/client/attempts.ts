import { formatName, type Name } from "../wire/names.ts";
import { type KnownInfo, namesakeOf, VmmdError } from "./vmmd.ts";

const MIN_CEILING_MS = 2_000;
const MAX_CEILING_MS = 60_000;

/** In ms: half to all (by `random`, 0 to 1) of 2 s, 4 s, ... 60 s, so that exporters do not come back in step. */
export function backoffMs(failures: number, random: number): number {
  const ceilingMs = Math.min(MIN_CEILING_MS * 2 ** failures, MAX_CEILING_MS);
  return Math.round((ceilingMs / 2) * (1 + random));
}

const WINDOW_US = 5 * 60 * 1_000_000;
const CLOSES_OF_A_RIVAL = 3;

/**
 * Tells a rival from an accident. albatross-stats closes the old subscriber when another subscribes to the same; who
 * reconnects at once fights the other for ever. Three closes of acknowledged subscriptions within five minutes mean that
 * somebody else wants it: until a subscription holds, it is displaced.
 */
export class Displacement {
  displaced = false;
  #closesUs: number[] = [];

  /** The daemon closed an acknowledged subscription. True when that is what displaced it. */
  closed(nowUs: number): boolean {
    this.#closesUs.push(nowUs);
    this.#closesUs = this.#closesUs.filter((atUs) => nowUs - atUs < WINDOW_US).slice(-CLOSES_OF_A_RIVAL);
    if (this.displaced || this.#closesUs.length < CLOSES_OF_A_RIVAL) return false;
    this.displaced = true;
    return true;
  }

  held(): void {
    this.displaced = false;
  }

  /** The daemon is gone: what closed the subscriptions before was its end, not a rival. */
  daemonGone(): void {
    this.displaced = false;
    this.#closesUs = [];
  }
}

export function describeDisplacement(subscription: string, retryMs: number): string {
  return (
    `displaced: another client keeps taking the subscription ${subscription} (usually albatross-influx or mollymawk, which ` +
    'both take the root); subscribe to paths such as "user:", which live beside others; trying again every ' +
    `${retryMs / 1000} s`
  );
}

const FRESH_US = 5 * 1_000_000;

export type Permission =
  /** `ask`: nothing is known yet, or what is known is too old */
  | { readonly type: "open" | "ask" }
  /** `closesOpen`: one that is open must be closed */
  | { readonly type: "blocked"; readonly reason: string; readonly closesOpen: boolean };

/**
 * Whether a subscription may be opened. One to a path `user:` stays closed while a unikernel named exactly `user` runs:
 * albatross-stats would try to cut `user:` off that name, and die of it. Opening needs a fresh answer of unikernel info,
 * or the operator's word (`allow_unchecked_path`) where info cannot be read.
 */
export function permissionFor(
  subscription: Name,
  info: KnownInfo,
  nowUs: number,
  allowUnchecked: boolean,
): Permission {
  const namesake = namesakeOf(subscription);
  if (namesake === null) return { type: "open" };
  if (info === null) return { type: "ask" };
  const [path, unikernel] = [formatName(subscription), formatName(namesake)];
  if (info instanceof VmmdError || info.namesakeRuns === null) {
    if (allowUnchecked) return { type: "open" };
    const what = `a unikernel ${unikernel} runs, with which a subscription at ${path} would crash albatross-stats`;
    const wayOut = "set allow_unchecked_path: true if there never is such a unikernel";
    const reason =
      info instanceof VmmdError
        ? `without unikernel info it is not known whether ${what}; make vmmd.sock readable, or ${wayOut} (${info.message})`
        : `with these certificates it cannot be asked whether ${what}; ${wayOut}`;
    return { type: "blocked", reason, closesOpen: false };
  }
  if (!info.namesakeRuns) return { type: nowUs - info.answeredAtUs <= FRESH_US ? "open" : "ask" };
  const reason =
    `the unikernel ${unikernel} runs: a subscription at ${path} would crash albatross-stats; ` +
    "rename the unikernel, or subscribe elsewhere";
  return { type: "blocked", reason, closesOpen: true };
}
