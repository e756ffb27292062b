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
 * a group is a run of them. Every VM is in exactly one group, and a group lives as long as its members do.
 */
export function deriveGroups(vms: readonly VmRecord[], states: readonly MemberState[]): Group[] {
  const groups: Group[] = [];
  let start = 0;
  for (let end = 1; end <= vms.length; end++) {
    const first = vms[start];
    const next = vms[end];
    if (first === undefined || (next !== undefined && isCloneBeside(next, first))) continue;
    groups.push(new RunOfVms(vms, states, first, start, end));
    start = end;
  }
  return groups;
}

/** Whether this VM is of the group of the VM before it: only its first member may be a primary. */
function isCloneBeside(vm: VmRecord, before: VmRecord): boolean {
  return (
    vm.cloneId !== 0 && vm.primary === before.primary && vm.path === before.path && vm.host === before.host
  );
}

/** Members and averages are worked out when somebody asks. */
class RunOfVms implements Group {
  readonly host: string;
  readonly path: string;
  readonly group: string;
  readonly orphaned: boolean;
  readonly clones: number;
  readonly #vms: readonly VmRecord[];
  readonly #states: readonly MemberState[];
  readonly #start: number;
  readonly #end: number;
  #members: readonly GroupMember[] | null = null;

  constructor(
    vms: readonly VmRecord[],
    states: readonly MemberState[],
    first: VmRecord,
    start: number,
    end: number,
  ) {
    this.host = first.host;
    this.path = first.path;
    this.group = first.primary;
    this.orphaned = first.cloneId !== 0;
    this.clones = this.orphaned ? end - start : end - start - 1;
    this.#vms = vms;
    this.#states = states;
    this.#start = start;
    this.#end = end;
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
}
