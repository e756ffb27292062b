import type { Cancel, Clock } from "../clock.ts";
import type { NamedInfo, NamedPolicy } from "../wire/messages.ts";
import { formatName, type Name, pathText, resolveName, subscriptionCovers } from "../wire/names.ts";
import { namesakeOf } from "./guard.ts";
import type { InfoClient } from "./infoClient.ts";
import { VmmdError } from "./vmmd.ts";

const POLL_MS = 30_000;
/** A round that took longer than that is followed by the next one after this pause. */
const MIN_PAUSE_MS = 1_000;

/** What unikernel info says about one slot. */
export interface SlotInfo {
  /** with full names, of what the slot covers */
  readonly entries: readonly NamedInfo[];
  /** A path slot: whether a unikernel runs that is named exactly as the path. */
  readonly namesakeRuns: boolean;
}

/** What one round of questions to albatrossd brought. */
export interface InfoRound {
  /** Monotonic µs before the first question: whatever happened earlier is in the answers. */
  readonly askedAtUs: number;
  /** By slot as text: all of them, or why none. */
  readonly slots: ReadonlyMap<string, SlotInfo> | VmmdError;
  /** The policies that hold for the slots, named by full path; null when info's failure left no hope for them. */
  readonly policies: readonly NamedPolicy[] | VmmdError | null;
}

/** Asks albatrossd for unikernel info and policies of some slots: every 30 s, and on demand. */
export class InfoPoll {
  readonly #slots: readonly Name[];
  readonly #client: InfoClient;
  readonly #clock: Clock;
  readonly #onRound: (round: InfoRound) => void;
  #timer: Cancel | null = null;
  #running: Promise<void> | null = null;
  #stopped = false;

  constructor(options: {
    slots: readonly Name[];
    client: InfoClient;
    clock: Clock;
    /** Hears of every round. Must not throw. */
    onRound: (round: InfoRound) => void;
  }) {
    this.#slots = options.slots;
    this.#client = options.client;
    this.#clock = options.clock;
    this.#onRound = options.onRound;
  }

  /** Asks now, unless a round is under way: who needs a later one asks again when that is over. */
  ask(): void {
    if (this.#stopped || this.#running !== null) return;
    this.#timer?.();
    this.#timer = null;
    this.#running = this.#round().then((round) => this.#finished(round));
  }

  /** No round begins any more; resolves when the one under way (somebody must end its questions) is over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.();
    this.#timer = null;
    await this.#running;
  }

  #finished(round: InfoRound): void {
    this.#running = null;
    if (this.#stopped) return;
    const tookMs = (this.#clock.nowUs() - round.askedAtUs) / 1000;
    this.#timer = this.#clock.after(Math.max(POLL_MS - tookMs, MIN_PAUSE_MS), () => this.ask());
    this.#onRound(round);
  }

  async #round(): Promise<InfoRound> {
    const askedAtUs = this.#clock.nowUs();
    this.#client.beginRound();
    const slots = await orError(() => this.#askSlots());
    const policies = isHopeless(slots) ? null : await orError(() => this.#askPolicies());
    return { askedAtUs, slots, policies };
  }

  async #askSlots(): Promise<ReadonlyMap<string, SlotInfo>> {
    const infos = new Map<string, SlotInfo>();
    for (const slot of this.#slots) infos.set(formatName(slot), await this.#askSlot(slot));
    return infos;
  }

  async #askSlot(slot: Name): Promise<SlotInfo> {
    const found = await this.#client.unikernels(slot);
    // albatrossd names the answers to a path query relative to the path, others in full.
    const full = slot.label === null ? found.map((e) => ({ ...e, name: resolveName(slot, e.name) })) : found;
    const entries = full.filter(({ name }) => name.label !== null && subscriptionCovers(slot, name));
    const namesake = namesakeOf(slot);
    return { entries, namesakeRuns: namesake !== null && (await this.#runs(namesake)) };
  }

  async #runs(name: Name): Promise<boolean> {
    const text = formatName(name);
    return (await this.#client.unikernels(name)).some((entry) => formatName(entry.name) === text);
  }

  /** albatrossd takes policies for paths only: for the slot of one unikernel the policy of its path is what holds. */
  async #askPolicies(): Promise<readonly NamedPolicy[]> {
    const wanted = new Map<string, { path: Name; below: boolean }>();
    for (const { path, label } of this.#slots) {
      const key = pathText(path);
      const below = label === null || (wanted.get(key)?.below ?? false);
      wanted.set(key, { path: { path, label: null }, below });
    }
    const policies = new Map<string, NamedPolicy>();
    for (const { path, below } of wanted.values()) {
      for (const { name, policy } of await this.#client.policies(path)) {
        const full = asPath(resolveName(path, name));
        if (below || full.path.length === path.path.length)
          policies.set(pathText(full.path), { name: full, policy });
      }
    }
    return [...policies.values()];
  }
}

/** A policy belongs to a path, however its name is written: `user` means `user:`. */
function asPath({ path, label }: Name): Name {
  return label === null ? { path, label } : { path: [...path, label], label: null };
}

function isHopeless(result: unknown): boolean {
  return result instanceof VmmdError && ["unreachable", "timeout", "stopped"].includes(result.reason);
}

async function orError<T>(ask: () => Promise<T>): Promise<T | VmmdError> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof VmmdError) return error;
    throw error;
  }
}
