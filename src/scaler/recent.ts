import type { GroupName } from "./types.ts";

/** Days of decisions on a usual host; some 5 MB where thousands of groups fill it. */
export const MAX_RECENT = 10_000;

export interface RecentQuery {
  readonly limit: number;
  /** a primary's label (`web`) or full name (`user:web`, `:web`); absent is all */
  readonly group?: string;
  readonly host?: string;
}

/** The last decisions, in memory and bounded: when it is full the oldest go. */
export class Recent<T extends GroupName> {
  readonly #capacity: number;
  readonly #ring: T[] = [];
  /** where the next one goes once the ring is full: where the oldest is */
  #next = 0;

  constructor(capacity: number = MAX_RECENT) {
    this.#capacity = capacity;
  }

  add(decision: T): void {
    this.#ring[this.#next] = decision;
    this.#next = (this.#next + 1) % this.#capacity;
  }

  /** The newest first, `limit` at most. */
  list({ limit, group, host }: RecentQuery): T[] {
    const found: T[] = [];
    const size = this.#ring.length;
    for (let back = 1; back <= size && found.length < limit; back++) {
      const decision = this.#ring[(this.#next - back + size) % size];
      if (decision !== undefined && isAbout(decision, group, host)) found.push(decision);
    }
    return found;
  }
}

function isAbout(decision: GroupName, group: string | undefined, host: string | undefined): boolean {
  if (host !== undefined && decision.host !== host) return false;
  if (group === undefined) return true;
  return group.includes(":") ? `${decision.path}:${decision.group}` === group : decision.group === group;
}
