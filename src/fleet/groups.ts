import { isValidLabel } from "../wire/names.ts";
import type {
  Group,
  GroupMember,
  MemberState,
  SnapshotParts,
  UnheardVm,
  VmIdentity,
  VmRecord,
} from "./types.ts";
import { compareText } from "./vmIndex.ts";

export const MAX_CLONE_ID = 999_999_999;

/** `PRIMARY-clone-N`, N of 1 to 9 digits without a leading zero. */
const CLONE_NAME = /^(.+)-clone-([1-9][0-9]{0,8})$/;

/** A label's group and id, 0 for a primary. A clone of a clone is none: `web-clone-1-clone-2` is a primary. */
export function splitCloneName(label: string): { readonly primary: string; readonly cloneId: number } {
  const match = CLONE_NAME.exec(label);
  const primary = match?.[1];
  if (primary === undefined || !isValidLabel(primary) || CLONE_NAME.test(primary)) {
    return { primary: label, cloneId: 0 };
  }
  return { primary, cloneId: Number(match?.[2]) };
}

/** In order of host, path and name. Heard VMs stand in that order and by clone id, so each group has a run of them. */
export function deriveGroups(parts: SnapshotParts): Group[] {
  const { vms, groupStarts: starts } = parts;
  const unheard = byGroup(parts.unheard);
  const groups = starts.map((start, i) => {
    const end = starts[i + 1] ?? vms.length;
    const first = vms[start];
    if (unheard.size === 0 || first === undefined) return new GroupOfVms(parts, start, end, []);
    const own = unheard.get(keyOf(first)) ?? [];
    unheard.delete(keyOf(first));
    return new GroupOfVms(parts, start, end, own);
  });
  if (unheard.size === 0) return groups;
  for (const own of unheard.values()) groups.push(new GroupOfVms(parts, 0, 0, own));
  return groups.sort(
    (a, b) => compareText(a.host, b.host) || compareText(a.path, b.path) || compareText(a.group, b.group),
  );
}

function byGroup(vms: readonly UnheardVm[]): Map<string, UnheardVm[]> {
  const groups = new Map<string, UnheardVm[]>();
  for (const vm of vms) {
    const members = groups.get(keyOf(vm)) ?? [];
    members.push(vm);
    groups.set(keyOf(vm), members);
  }
  return groups;
}

function keyOf({ host, path, primary }: VmIdentity): string {
  return `${host}\n${path}\n${primary}`;
}

/** A run of VMs that have been heard, the primary first if there is one, and others. Figures are worked out when asked for. */
class GroupOfVms implements Group {
  readonly host: string;
  readonly path: string;
  readonly group: string;
  readonly orphaned: boolean;
  readonly clones: number;
  readonly #parts: SnapshotParts;
  readonly #start: number;
  readonly #end: number;
  readonly #unheard: readonly UnheardVm[];

  constructor(parts: SnapshotParts, start: number, end: number, unheard: readonly UnheardVm[]) {
    const first: VmIdentity | undefined = start < end ? parts.vms[start] : unheard[0];
    if (first === undefined) throw new Error("a group has at least one member");
    this.host = first.host;
    this.path = first.path;
    this.group = first.primary;
    this.orphaned = first.cloneId !== 0 && unheard.every(({ cloneId }) => cloneId !== 0);
    this.clones = end - start + unheard.length - (this.orphaned ? 0 : 1);
    this.#parts = parts;
    this.#start = start;
    this.#end = end;
    this.#unheard = unheard;
  }

  get members(): readonly GroupMember[] {
    const { vms, states } = this.#parts;
    const members: GroupMember[] = [];
    for (let i = this.#start; i < this.#end; i++) {
      const record = vms[i];
      if (record !== undefined) members.push(memberOf(record, states[i] ?? "missing"));
    }
    for (const vm of this.#unheard) members.push(memberOf(vm, vm.state));
    return members;
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
}

function memberOf(record: VmRecord | UnheardVm, state: MemberState): GroupMember {
  const { cloneId } = record;
  return { record, role: cloneId === 0 ? "primary" : "clone", cloneId, state };
}
