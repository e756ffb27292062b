import { isValidLabel } from "../albatross/names.ts";
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
 * The groups of these VMs, in the order of their first members. Every VM is in exactly one group; a group lives as long
 * as its members do.
 */
export function deriveGroups(
  records: readonly VmRecord[],
  memberState: (record: VmRecord, index: number) => MemberState,
): Group[] {
  const membersByGroup = new Map<string, GroupMember[]>();
  for (const [index, record] of records.entries()) {
    const member: GroupMember = {
      record,
      role: record.cloneId === 0 ? "primary" : "clone",
      cloneId: record.cloneId,
      state: memberState(record, index),
    };
    const members = membersByGroup.get(record.groupLabels);
    if (members === undefined) membersByGroup.set(record.groupLabels, [member]);
    else members.push(member);
  }
  return Array.from(membersByGroup.values(), groupOf);
}

function groupOf(members: GroupMember[]): Group {
  if (members.length > 1) members.sort((a, b) => a.cloneId - b.cloneId);
  const [first] = members;
  if (first === undefined) throw new Error("a group has at least one member");
  const { host, path, primary, groupLabels } = first.record;
  const orphaned = first.role !== "primary";
  return {
    host,
    path,
    group: primary,
    labels: groupLabels,
    members,
    orphaned,
    clones: orphaned ? members.length : members.length - 1,
    usagePercent: meanGauge(members),
  };
}

function meanGauge(members: readonly GroupMember[]): number | null {
  let sum = 0;
  let fresh = 0;
  for (const { state, record } of members) {
    if (state !== "fresh" || record.usagePercent === null) continue;
    sum += record.usagePercent;
    fresh += 1;
  }
  return fresh === 0 ? null : sum / fresh;
}
