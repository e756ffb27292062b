import type { Sample } from "../client/receiver.ts";
import type { Clock } from "../clock.ts";
import type { NamedInfo, NamedPolicy } from "../wire/messages.ts";
import type { Name } from "../wire/names.ts";
import { deriveGroups } from "./groups.ts";
import { type HostOptions, HostVms } from "./hostVms.ts";
import type {
  ExpectedVm,
  FleetSnapshot,
  Group,
  HostRecord,
  ListedVms,
  SnapshotOptions,
  SnapshotParts,
  VmIdentity,
} from "./types.ts";

/** Gone VMs are looked for this many times per `death_timeout`, as samples arrive and snapshots are taken. */
const SWEEPS_PER_DEATH_TIMEOUT = 8;
const MIN_SWEEP_GAP_US = 1_000_000;

export interface FleetOptions extends HostOptions {
  readonly clock: Clock;
  /** silence after which a VM is gone, and how long its restart count is remembered then */
  readonly deathTimeoutMs: number;
}

/** What is known about the VMs of all hosts now. No timers: VMs that are gone are let go as others are heard. */
export class Fleet {
  readonly #clock: Clock;
  readonly #options: HostOptions;
  readonly #hosts = new Map<string, HostVms>();
  #deathTimeoutUs: number;
  #sweptAtUs: number;

  constructor(options: FleetOptions) {
    this.#clock = options.clock;
    this.#deathTimeoutUs = options.deathTimeoutMs * 1000;
    this.#options = options;
    this.#sweptAtUs = this.#clock.nowUs();
  }

  record(sample: Sample): void {
    this.#host(sample.host).record(sample);
    this.#sweepWhenDue(sample.arrivalUs);
  }

  /** Says when an earlier run of the program asked for the last unikernel info of the host that was answered. */
  expectInfo(host: string, askedUs: number): void {
    this.#host(host).infoAskedUs ??= askedUs;
  }

  /** What an earlier run of the program knew of a VM: told of apart until it is heard, gone by the rules for others. */
  expect(host: string, name: Name, before: ExpectedVm): void {
    this.#host(host).expect(name, before);
  }

  /** Takes in unikernel info of all subscriptions, with full names, asked for at `askedAtUs` (monotonic). */
  recordInfo(host: string, entries: readonly NamedInfo[], askedAtUs: number): void {
    for (const _ of this.infoSteps(host, entries, askedAtUs));
  }

  /** The same in steps, for who has others to serve between them. */
  infoSteps(
    host: string,
    entries: readonly NamedInfo[],
    askedAtUs: number,
  ): Iterator<unknown> & Iterable<unknown> {
    return this.#host(host).infoSteps(entries, askedAtUs, this.#clock.nowUs());
  }

  /** Takes in all policies of a host; they replace the ones before. */
  recordPolicies(host: string, entries: readonly NamedPolicy[]): void {
    this.#host(host).recordPolicies(entries, this.#clock.nowUs());
  }

  /** Says whether a host's statistics arrive (without a word: from its first sample on); its VMs are served only then. */
  setLive(host: string, up: boolean): void {
    this.#host(host).saidLive = up;
  }

  /** Drops all that is known about a host that is no target any more. */
  removeHost(host: string): void {
    this.#hosts.delete(host);
  }

  /** Lets go of VMs that are known to be gone, though they have not been silent for long. */
  letGo(vms: readonly Pick<VmIdentity, "host" | "fullName">[], nowUs: number): void {
    for (const host of this.#hosts.values()) {
      const gone = vms.filter((vm) => vm.host === host.host).map(({ fullName }) => fullName);
      if (gone.length > 0) host.letGo(new Set(gone), nowUs);
    }
  }

  /** A new death_timeout, from now on, for every VM: the configuration was reloaded. */
  setDeathTimeout(deathTimeoutMs: number): void {
    this.#deathTimeoutUs = deathTimeoutMs * 1000;
    for (const host of this.#hosts.values()) host.deathTimeoutUs = this.#deathTimeoutUs;
  }

  /** The hosts heard of so far, by name. */
  hosts(): HostRecord[] {
    return this.#sortedHosts().map(({ host, live, infoAskedUs, vanished, implausible }) => {
      return { host, live, infoAskedUs, vanished, implausible: { ...implausible } };
    });
  }

  isLive(host: string): boolean {
    return this.#hosts.get(host)?.live === true;
  }

  /** What unikernel info said last of each host whose albatrossd has answered. */
  *listedVms(): Generator<ListedVms> {
    for (const { host, listed: vms } of this.#sortedHosts()) if (vms !== null) yield { host, vms };
  }

  /** The fleet as it is now. Costs one pass over the VMs; nothing that happens later changes it. */
  snapshot(options: SnapshotOptions): FleetSnapshot {
    // at once, for both say when this was; putting the snapshot together takes its time
    const { nowUs, wallMs } = options.at ?? { nowUs: this.#clock.nowUs(), wallMs: this.#clock.wallMs() };
    this.#sweepWhenDue(nowUs);
    const parts: SnapshotParts = {
      vms: [],
      states: [],
      served: null,
      policies: [],
      unheard: [],
      groupStarts: [],
    };
    for (const host of this.#sortedHosts()) host.collect(nowUs, options, parts);
    const hosts = this.hosts();
    const live = new Set(hosts.filter((host) => host.live).map(({ host }) => host));
    let derived: readonly Group[] | null = null;
    const groups = () => {
      derived ??= deriveGroups(parts);
      return derived;
    };
    const servedGroups = () =>
      live.size === hosts.length ? groups() : groups().filter(({ host }) => live.has(host));
    const { vms, states, policies, unheard } = parts;
    const served = parts.served ?? vms;
    return { nowUs, wallMs, hosts, vms, states, served, policies, unheard, groups, servedGroups };
  }

  /** VMs held, gone ones still remembered, and those that only an earlier run of the program has heard. */
  get sizes(): { readonly vms: number; readonly departed: number; readonly unheard: number } {
    const sum = { vms: 0, departed: 0, unheard: 0 };
    for (const { sizes } of this.#hosts.values()) {
      sum.vms += sizes.vms;
      sum.departed += sizes.departed;
      sum.unheard += sizes.unheard;
    }
    return sum;
  }

  #host(name: string): HostVms {
    const known = this.#hosts.get(name);
    if (known !== undefined) return known;
    const host = new HostVms(name, this.#deathTimeoutUs, this.#options);
    this.#hosts.set(name, host);
    return host;
  }

  #sortedHosts(): HostVms[] {
    return [...this.#hosts.values()].sort((a, b) => (a.host < b.host ? -1 : 1));
  }

  #sweepWhenDue(nowUs: number): void {
    const gapUs = Math.max(MIN_SWEEP_GAP_US, this.#deathTimeoutUs / SWEEPS_PER_DEATH_TIMEOUT);
    if (nowUs - this.#sweptAtUs < gapUs) return;
    this.#sweptAtUs = nowUs;
    for (const host of this.#hosts.values()) host.sweep(nowUs);
  }
}
