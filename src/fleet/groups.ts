import { isValidLabel } from "../wire/names.ts";
import type { Group, GroupMember, SnapshotParts, VmRecord } from "./types.ts";

/** Ids have at most nine digits. */
export const MAX_CLONE_ID = 999_999_999;

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
 * The groups of a snapshot's VMs, in their order. VMs stand in the order of the fleet (host, path, primary, clone id), so
 * that a group is a run of them. Every VM is in exactly one group, and a group lives as long as its members do.
 */
export function deriveGroups(parts: SnapshotParts): Group[] {
  const { vms, groupStarts: starts } = parts;
  return starts.map((start, i) => new RunOfVms(parts, start, starts[i + 1] ?? vms.length));
}

/** A run of VMs: the primary first if there is one, then clones by id. All is worked out when somebody asks. */
class RunOfVms implements Group {
  readonly #parts: SnapshotParts;
  readonly #start: number;
  readonly #end: number;
  #members: readonly GroupMember[] | null = null;

  constructor(parts: SnapshotParts, start: number, end: number) {
    this.#parts = parts;
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
    const { vms, states } = this.#parts;
    this.#members ??= vms.slice(this.#start, this.#end).map((record, i) => ({
      record,
      role: record.cloneId === 0 ? "primary" : "clone",
      cloneId: record.cloneId,
      state: states[this.#start + i] ?? "missing",
    }));
    return this.#members;
  }

  get usagePercent(): number | null {
    const { vms, states } = this.#parts;
    let sum = 0;
    let fresh = 0;
    for (let i = this.#start; i < this.#end; i++) {
      const percent = vms[i]?.usagePercent ?? null;
      if (percent === null || states[i] !== "fresh") continue;
      sum += percent;
      fresh += 1;
    }
    return fresh === 0 ? null : sum / fresh;
  }

  get #first(): VmRecord {
    const first = this.#parts.vms[this.#start];
    if (first === undefined) throw new Error("a group has at least one member");
    return first;
  }
}
