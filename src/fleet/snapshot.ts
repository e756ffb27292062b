import { deriveGroups } from "./groups.ts";
import type {
  FleetSnapshot,
  Group,
  HostRecord,
  MemberState,
  PolicyRecord,
  UnheardVm,
  VmRecord,
} from "./types.ts";

/** Puts a snapshot together, VM by VM in the fleet's order. */
export class SnapshotBuilder {
  readonly policies: PolicyRecord[] = [];
  readonly unheard: UnheardVm[] = [];
  readonly vms: VmRecord[];
  readonly states: MemberState[];
  /** indices into `vms` at which a group begins */
  readonly groupStarts: number[] = [];
  /** null as long as every VM is served: most of the time, and then `vms` is that list already */
  #served: VmRecord[] | null = null;
  #count = 0;

  /** `capacity`: no more VMs than this will be added. Lists that grow as they are filled take twice the time. */
  constructor(capacity: number) {
    this.vms = new Array(capacity);
    this.states = new Array(capacity);
  }

  add(record: VmRecord, state: MemberState, startsGroup: boolean, isServed: boolean): void {
    const index = this.#count;
    if (!isServed) this.#served ??= this.vms.slice(0, index);
    else if (this.#served !== null) this.#served.push(record);
    if (startsGroup) this.groupStarts.push(index);
    this.vms[index] = record;
    this.states[index] = state;
    this.#count = index + 1;
  }

  /** To be called once, when all VMs have been added. */
  finish(): this {
    this.vms.length = this.#count;
    this.states.length = this.#count;
    return this;
  }

  get served(): readonly VmRecord[] {
    return this.#served ?? this.vms;
  }
}

/** A fleet snapshot whose groups are derived when somebody asks, once. */
export class Snapshot implements FleetSnapshot {
  readonly nowUs: number;
  readonly wallMs: number;
  readonly hosts: readonly HostRecord[];
  readonly vms: readonly VmRecord[];
  readonly states: readonly MemberState[];
  readonly served: readonly VmRecord[];
  readonly policies: readonly PolicyRecord[];
  readonly unheard: readonly UnheardVm[];
  readonly #groupStarts: readonly number[];
  #groups: readonly Group[] | null = null;

  constructor(nowUs: number, wallMs: number, hosts: readonly HostRecord[], parts: SnapshotBuilder) {
    this.nowUs = nowUs;
    this.wallMs = wallMs;
    this.hosts = hosts;
    this.vms = parts.vms;
    this.states = parts.states;
    this.served = parts.served;
    this.policies = parts.policies;
    this.unheard = parts.unheard;
    this.#groupStarts = parts.groupStarts;
  }

  groups(): readonly Group[] {
    this.#groups ??= deriveGroups(this.vms, this.states, this.#groupStarts);
    return this.#groups;
  }

  servedGroups(): readonly Group[] {
    const live = new Set(this.hosts.filter((host) => host.live).map(({ host }) => host));
    return live.size === this.hosts.length
      ? this.groups()
      : this.groups().filter((group) => live.has(group.host));
  }
}
