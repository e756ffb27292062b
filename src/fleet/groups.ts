import { isValidLabel } from "../wire/names.ts";
import type { Group, GroupMember, MemberState, VmRecord } from "./types.ts";

/** `PRIMARY-clone-N`, N of 1 to 9 digits without a leading zero. */
const CLONE_NAME = /^(.+)-clone-([1-9][0-9]{0,8})$/;

/**
 * The group that a VM's label places it in, and its id there; 0 for a primary. `web-clone-2` is clone 2 of `web`, but a
 * clone of a clone is nothing that is made here: `web-clone-1-clone-2` is a primary of that name.
 */
export function splitCloneName(label: string): { readonly primary: string; readonly cloneId: number } {
  const match = CLONE_NAME.exec(label);
  const primary = match?.[1];
  if (primary === undefined || !isValidLabel(primary) || CLONE_NAME.test(primary)) {
    return { primary: label, cloneId: 0 };
  }
  return { primary, cloneId: Number(match?.[2]) };
}

/**
 * The groups of these VMs, in their order. `vms` stand in the order of the fleet (host, path, primary, clone id), so that
 * a group is a run of them; `starts` are the indices at which one begins. Every VM is in exactly one group, and a group
 * lives as long as its members do. Members and averages are worked out when somebody asks.
 */
export function deriveGroups(
  vms: readonly VmRecord[],
  states: readonly MemberState[],
  starts: readonly number[],
): Group[] {
  return starts.map((start, i) => new RunOfVms(vms, states, start, starts[i + 1] ?? vms.length));
}

/** A group as a run of a snapshot's VMs: the primary first if there is one, then clones by id. */
class RunOfVms implements Group {
  readonly #vms: readonly VmRecord[];
  readonly #states: readonly MemberState[];
  readonly #start: number;
  readonly #end: number;
  #members: readonly GroupMember[] | null = null;

  constructor(vms: readonly VmRecord[], states: readonly MemberState[], start: number, end: number) {
    this.#vms = vms;
    this.#states = states;
    this.#start = start;
    this.#end = end;
  }

  get host(): string {
    return this.#first.host;
  }

  get path(): string {
    return this.#first.path;
  }

  get group(): string {
    return this.#first.primary;
  }

  get orphaned(): boolean {
    return this.#first.cloneId !== 0;
  }

  get clones(): number {
    const members = this.#end - this.#start;
    return this.orphaned ? members : members - 1;
  }

  get members(): readonly GroupMember[] {
    this.#members ??= this.#vms.slice(this.#start, this.#end).map((record, i) => ({
      record,
      role: record.cloneId === 0 ? "primary" : "clone",
      cloneId: record.cloneId,
      state: this.#states[this.#start + i] ?? "missing",
    }));
    return this.#members;
  }

  get usagePercent(): number | null {
    let sum = 0;
    let fresh = 0;
    for (let i = this.#start; i < this.#end; i++) {
      const percent = this.#vms[i]?.usagePercent ?? null;
      if (percent === null || this.#states[i] !== "fresh") continue;
      sum += percent;
      fresh += 1;
    }
    return fresh === 0 ? null : sum / fresh;
  }

  get #first(): VmRecord {
    const first = this.#vms[this.#start];
    if (first === undefined) throw new Error("a group has at least one member");
    return first;
  }
}
