import { deriveGroups } from "./groups.ts";
import type { FleetSnapshot, Group, HostRecord, MemberState, PolicyRecord, VmRecord } from "./types.ts";

type SnapshotParts = Omit<FleetSnapshot, "groups" | "servedGroups">;

/** A fleet snapshot whose groups are derived when somebody asks, once. */
export class Snapshot implements FleetSnapshot {
  readonly nowUs: number;
  readonly wallMs: number;
  readonly hosts: readonly HostRecord[];
  readonly vms: readonly VmRecord[];
  readonly states: readonly MemberState[];
  readonly served: readonly VmRecord[];
  readonly policies: readonly PolicyRecord[];
  #groups: readonly Group[] | null = null;

  constructor(parts: SnapshotParts) {
    this.nowUs = parts.nowUs;
    this.wallMs = parts.wallMs;
    this.hosts = parts.hosts;
    this.vms = parts.vms;
    this.states = parts.states;
    this.served = parts.served;
    this.policies = parts.policies;
  }

  groups(): readonly Group[] {
    this.#groups ??= deriveGroups(this.vms, (_, index) => this.states[index] ?? "missing");
    return this.#groups;
  }

  servedGroups(): readonly Group[] {
    const live = new Set(this.hosts.filter((host) => host.live).map(({ host }) => host));
    return live.size === this.hosts.length
      ? this.groups()
      : this.groups().filter((group) => live.has(group.host));
  }
}
