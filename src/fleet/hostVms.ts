import type { Sample } from "../client/receiver.ts";
import type { NamedInfo, NamedPolicy } from "../wire/messages.ts";
import { formatName, type Name } from "../wire/names.ts";
import { measuredPercent } from "./counters.ts";
import { splitCloneName } from "./groups.ts";
import type {
  ExpectedVm,
  ImplausibleKind,
  PolicyRecord,
  PolicyUse,
  SnapshotOptions,
  SnapshotParts,
  UnheardVm,
  VmIdentity,
  VmInfo,
  VmRecord,
} from "./types.ts";
import { afterListing, afterOmission, firstSample, nextSample, pinsOf, type Vm, type VmHost } from "./vm.ts";
import { VmIndex } from "./vmIndex.ts";
import { policyRecordFrom, useByPath, vmInfoFrom } from "./vmInfo.ts";

/** A VM that so many infos in a row leave out, all asked for after its last sample, is gone. */
const MISSED_INFOS_UNTIL_GONE = 2;
/** More than this is not uneven arrival alone: the VM has more CPUs than assumed. */
const PROOF_OF_MORE_CPUS_PERCENT = 110;

/** A host that is silent for longer may have started VMs meanwhile. */
const SILENT_INTERVALS = 3;
/** After so many stats intervals every VM of a host that is alive has been heard. */
export const INTERVALS_UNTIL_ALL_HEARD = 1.5;

/** What a host that nobody describes is taken to have at most. */
export const MOST_HOST_CPUS = 1_024;

/** Said once per host and kind. `assumed_cpu`: a VM that was taken to have one CPU uses so many percent of it. */
export interface VmWarning {
  readonly host: string;
  readonly vm: string;
  readonly kind: "assumed_cpu" | ImplausibleKind;
  readonly percent?: number;
}

export interface HostOptions {
  /** how many CPUs the hosts have, where that is known: no VM uses more */
  readonly hostCpus?: number;
  readonly onWarning?: (warning: VmWarning) => void;
  /** told when a VM is heard that info has not listed */
  readonly needsInfo?: (host: string) => void;
  /** whether a decision of the scaler's, carried out by whomever, is why a VM goes */
  readonly gaveUp?: (vm: VmIdentity) => boolean;
}

/** For how long info is believed at least, however short `death_timeout` is. */
const MIN_LISTING_US = 15 * 60_000_000;

const NOTHING_USED: PolicyUse = { unikernels: 0, memoryBytes: 0 };

type DepartedVm = Pick<VmRecord, "restarts"> & { readonly goneAtUs: number };

type Unheard = Omit<UnheardVm, "state">;
type SignsOfLife = Pick<UnheardVm, "heardUs" | "listed" | "missedInfos">;

/** The VMs of one host. Its index changes with every message; the records in it never do. */
export class HostVms implements VmHost {
  readonly host: string;
  deathTimeoutUs: number;
  readonly implausible: Record<ImplausibleKind, number> = { usage: 0, decrease: 0 };
  /** VMs so far that info listed and then left out twice in a row: once may be a restart */
  vanished = 0;
  /** those that the last info left out first, though nobody gave them up */
  #omitted: readonly string[] = [];
  readonly hostCpus: number;
  readonly #options: HostOptions;
  readonly #vms = new VmIndex();
  readonly #departed = new Map<string, DepartedVm>();
  /** by full name: those that only an earlier run of the program heard, or that info lists and nobody has heard yet */
  readonly #unheard = new Map<string, Unheard>();
  /** what info listed last, by full name; null as long as vmmd has not answered in this run of the program */
  listed: ReadonlyMap<string, VmInfo> | null = null;
  /** when that was asked for, or what an earlier run of the program was told last; null if vmmd has never answered */
  infoAskedUs: number | null = null;
  #policies: { readonly atUs: number; readonly records: readonly Omit<PolicyRecord, "used">[] } | null = null;
  /** what the listed VMs use together; null until somebody asks */
  #used: ReadonlyMap<string, PolicyUse> | null = null;
  saidLive: boolean | null = null;
  /** arrival of the last sample, and of the first after which none was missed since */
  #heardUs = Number.NEGATIVE_INFINITY;
  #heardSinceUs = Number.NEGATIVE_INFINITY;
  /** the stats interval as the last sample knew it */
  #intervalUs = 0;
  readonly #warned = new Set<VmWarning["kind"]>();

  constructor(host: string, deathTimeoutUs: number, options: HostOptions) {
    this.host = host;
    this.deathTimeoutUs = deathTimeoutUs;
    this.hostCpus = options.hostCpus ?? MOST_HOST_CPUS;
    this.#options = options;
  }

  /** The host's statistics are arriving: as was said last, else whether any ever did. */
  get live(): boolean {
    return this.saidLive ?? this.#heardUs > Number.NEGATIVE_INFINITY;
  }

  /** Says what an earlier run of the program knew of a VM that was not gone. Ignored once the VM is known. */
  expect(name: Name, before: ExpectedVm): void {
    const fullName = formatName(name);
    if (name.label === null || this.#vms.find(fullName) !== undefined) return;
    const identity = identify(this.host, fullName);
    this.#unheard.set(fullName, { ...identity, ...before, sample: null, usagePercent: null });
  }

  /** Takes one sample in. A name without a label is a path's, not a VM's, and is ignored. */
  record(sample: Sample): void {
    const { name } = sample;
    if (name.label === null) return;
    const silenceUs = sample.arrivalUs - this.#heardUs;
    if (silenceUs > SILENT_INTERVALS * sample.intervalUs) this.#heardSinceUs = sample.arrivalUs;
    this.#heardUs = sample.arrivalUs;
    this.#intervalUs = sample.intervalUs;
    const fullName = formatName(name);
    const index = this.#vms.indexOf(fullName);
    const vm = this.#vms.at(index);
    const goneAtUs = vm === undefined ? null : this.#goneSince(signsOf(vm), sample.arrivalUs);
    if (vm !== undefined && goneAtUs === null) {
      this.#replace(nextSample(vm, sample, this), index);
      return;
    }
    if (vm !== undefined && goneAtUs !== null) this.#remember(vm, goneAtUs);
    const identity = vm?.identity ?? identify(this.host, fullName);
    this.#vms.put(this.#welcome(identity, sample), index);
  }

  /** Takes in info in steps, between which samples and snapshots may come. An answer older than the last is ignored. */
  *infoSteps(entries: readonly NamedInfo[], askedAtUs: number, nowUs: number): Generator<void> {
    const infos = new Map<string, VmInfo>();
    for (const { name, info } of entries) {
      const fullName = formatName(name);
      infos.set(fullName, vmInfoFrom(info, this.listed?.get(fullName)));
      yield;
    }
    if (this.infoAskedUs !== null && askedAtUs < this.infoAskedUs) return;
    // what has been gone until now is not brought back by being listed
    this.sweep(nowUs);
    const listedBefore = this.listed ?? infos;
    this.listed = infos;
    this.#used = null;
    this.infoAskedUs = askedAtUs;
    this.vanished += this.#omitted.filter((fullName) => !infos.has(fullName)).length;
    const omitted: string[] = [];
    this.#omitted = omitted;

    // those that come while this goes on know of it already; a later answer may overtake this one
    const gone: Vm[] = [];
    for (const { fullName } of [...this.#vms.columns().vms]) {
      yield;
      if (this.listed !== infos) return;
      const index = this.#vms.indexOf(fullName);
      const before = this.#vms.at(index);
      if (before === undefined) continue;
      const info = infos.get(fullName);
      const vm =
        info === undefined
          ? afterOmission(before, askedAtUs, nowUs, this)
          : afterListing(before, info, askedAtUs, this);
      if (vm !== before) this.#replace(vm, index);
      if (this.#goneSince(signsOf(vm), nowUs) !== null) gone.push(vm);
    }
    for (const [fullName, vm] of [...this.#unheard]) {
      yield;
      if (this.listed !== infos) return;
      if (!this.#unheard.delete(fullName)) continue;
      const info = infos.get(fullName);
      if (info !== undefined || vm.heardUs !== null) this.#unheard.set(fullName, unheardAfter(vm, info));
    }
    this.#dropGone(gone, nowUs, nowUs);
    for (const [fullName, info] of infos) {
      yield;
      if (this.listed !== infos) return;
      const isKnown = this.#vms.indexOf(fullName) >= 0 || this.#unheard.has(fullName);
      if (isKnown || fullName.endsWith(":")) continue;
      this.#unheard.set(fullName, this.#neverHeard(fullName, info, askedAtUs));
    }
    for (const fullName of listedBefore.keys()) {
      yield;
      if (this.listed !== infos) return;
      if (infos.has(fullName) || fullName.endsWith(":")) continue;
      if (!this.#options.gaveUp?.(identify(this.host, fullName))) omitted.push(fullName);
    }
  }

  recordPolicies(entries: readonly NamedPolicy[], nowUs: number): void {
    const records = entries.map(({ name, policy }) => policyRecordFrom(this.host, name, policy));
    records.sort((a, b) => (a.path < b.path ? -1 : 1));
    this.#policies = { atUs: nowUs, records };
  }

  /** Adds this host's VMs that are not gone, in their order, and its policies to a snapshot. */
  collect(nowUs: number, { staleAfterUs }: SnapshotOptions, snapshot: SnapshotParts): void {
    const { vms, heardUs, hasGauge, group } = this.#vms.columns();
    const { live } = this;
    const staleUs = staleAfterUs(this.host, this.#intervalUs);
    let lastGroup = 0;
    for (let i = 0; i < vms.length; i++) {
      const vm = vms[i] as Vm;
      const silenceUs = nowUs - (heardUs[i] ?? 0);
      if (silenceUs >= this.deathTimeoutUs && this.#goneSince(signsOf(vm), nowUs) !== null) continue;
      const heardState = silenceUs >= staleUs ? "missing" : hasGauge[i] === 1 ? "fresh" : "warming";
      const state = silenceUs >= this.deathTimeoutUs ? "silent" : heardState;
      if (group[i] !== lastGroup) snapshot.groupStarts.push(snapshot.vms.length);
      lastGroup = group[i] ?? 0;
      snapshot.vms.push(vm);
      snapshot.states.push(state);
      const isServed = live && (state === "fresh" || state === "warming");
      if (isServed) snapshot.served?.push(vm);
      else snapshot.served ??= snapshot.vms.slice(0, -1);
    }
    for (const vm of this.#unheard.values()) {
      if (this.#goneSince(vm, nowUs) !== null) continue;
      const isSilent = nowUs - (vm.heardUs ?? vm.firstSeenUs) >= this.deathTimeoutUs;
      const state = isSilent ? "silent" : vm.heardUs === null ? "warming" : "missing";
      snapshot.unheard.push({ ...vm, state });
    }
    // what vmmd has not repeated for so long is not known to hold any more
    if (!live || this.#policies === null || nowUs - this.#policies.atUs >= this.deathTimeoutUs) return;
    if (this.listed !== null) this.#used ??= useByPath(this.listed);
    for (const record of this.#policies.records) {
      const used = this.#used === null ? null : (this.#used.get(record.path) ?? NOTHING_USED);
      snapshot.policies.push({ ...record, used });
    }
  }

  /** Lets go of the VMs that are gone, and of what is remembered of VMs gone for `death_timeout`. */
  sweep(nowUs: number): void {
    const { vms, heardUs } = this.#vms.columns();
    const silent = vms.filter((_, i) => nowUs - (heardUs[i] ?? 0) >= this.deathTimeoutUs);
    this.#dropGone(silent, nowUs);
    for (const [fullName, { goneAtUs }] of this.#departed)
      if (nowUs - goneAtUs >= this.deathTimeoutUs) this.#departed.delete(fullName);
  }

  /** Lets go of these, whatever their signs of life; those that info lists are then like others that have sent nothing. */
  letGo(fullNames: ReadonlySet<string>, nowUs: number): void {
    for (const fullName of fullNames) {
      const vm = this.#vms.find(fullName);
      const heardUs = vm?.sample.arrivalUs ?? this.#unheard.get(fullName)?.heardUs ?? nowUs;
      if (vm !== undefined) this.#remember(vm, nowUs);
      this.#unheard.delete(fullName);
      const info = this.listed?.get(fullName);
      // it is silent for as long as it was before
      if (info !== undefined) this.#unheard.set(fullName, this.#neverHeard(fullName, info, heardUs));
    }
    this.#vms.remove(fullNames);
  }

  cpusGiven(fullName: string): number | null {
    const heard = this.#vms.find(fullName);
    if (heard !== undefined) return pinsOf(heard)?.cpus ?? null;
    return this.listed?.get(fullName)?.cpus ?? this.#unheard.get(fullName)?.pins?.cpus ?? null;
  }

  onImplausible(vm: string, kind: ImplausibleKind, count: number): void {
    this.implausible[kind] += count;
    this.#warn({ host: this.host, vm, kind });
  }

  /** How many VMs are held, how many of those gone are remembered, and how many only an earlier run has heard. */
  get sizes(): { readonly vms: number; readonly departed: number; readonly unheard: number } {
    const expected = [...this.#unheard.values()].filter(({ heardUs }) => heardUs !== null);
    return { vms: this.#vms.size, departed: this.#departed.size, unheard: expected.length };
  }

  #welcome(identity: VmIdentity, sample: Sample): Vm {
    const { fullName } = identity;
    const departed = this.#departed.get(fullName);
    this.#departed.delete(fullName);
    const before = this.#unheard.get(fullName);
    this.#unheard.delete(fullName);
    const isExpected = before !== undefined && this.#goneSince(before, sample.arrivalUs) === null;
    const isRemembered = departed !== undefined && sample.arrivalUs - departed.goneAtUs < this.deathTimeoutUs;
    // What a vmmd that has stopped answering once said may be about an earlier VM of this name.
    const isCurrent = sample.arrivalUs < this.#listingsEndUs;
    const info = (isCurrent && this.listed?.get(fullName)) || null;
    if (info === null) this.#options.needsInfo?.(this.host);
    const known = {
      departed: isRemembered ? departed : null,
      expected: isExpected ? before : null,
      isNew: sample.arrivalUs - this.#heardSinceUs > INTERVALS_UNTIL_ALL_HEARD * sample.intervalUs,
    };
    return firstSample(identity, sample, info, known, this);
  }

  /** A listing holds for as long as a sample does, and not for ever: vmmd may have stopped answering, too. */
  get #listingsEndUs(): number {
    const holdsUs = Math.max(this.deathTimeoutUs, MIN_LISTING_US);
    return (this.infoAskedUs ?? Number.NEGATIVE_INFINITY) + holdsUs;
  }

  /** Since when this VM is gone; null if it is not gone at `nowUs`. */
  #goneSince({ heardUs, listed, missedInfos }: SignsOfLife, nowUs: number): number | null {
    if (missedInfos >= MISSED_INFOS_UNTIL_GONE) return nowUs;
    const silentAtUs = (heardUs ?? Number.NEGATIVE_INFINITY) + this.deathTimeoutUs;
    const goneAtUs = listed ? Math.max(silentAtUs, this.#listingsEndUs) : silentAtUs;
    return nowUs < goneAtUs ? null : goneAtUs;
  }

  /** `unlistedAtUs`: when unikernel info stopped to list them, where that is what makes them gone. */
  #dropGone(vms: readonly Vm[], nowUs: number, unlistedAtUs = 0): void {
    const gone = new Set<string>();
    for (const { fullName } of vms) {
      const vm = this.#vms.find(fullName);
      const goneAtUs = vm === undefined ? null : this.#goneSince(signsOf(vm), nowUs);
      if (vm === undefined || goneAtUs === null) continue;
      this.#remember(vm, Math.max(goneAtUs, unlistedAtUs));
      gone.add(fullName);
    }
    this.#vms.remove(gone);
    for (const [fullName, vm] of this.#unheard)
      if (this.#goneSince(vm, nowUs) !== null) this.#unheard.delete(fullName);
  }

  #replace(vm: Vm, index: number): void {
    this.#vms.put(vm, index);
    this.#checkAssumedCpus(vm);
  }

  #neverHeard(fullName: string, pins: VmInfo, firstSeenUs: number): Unheard {
    return {
      ...identify(this.host, fullName),
      sample: null,
      usagePercent: null,
      heardUs: null,
      firstSeenUs,
      startSeen: false,
      startedMs: null,
      cpuUs: null,
      pins,
      listed: true,
      missedInfos: 0,
      unlistedPolls: 0,
    };
  }

  #remember({ fullName, restarts }: VmRecord, goneAtUs: number): void {
    this.#departed.set(fullName, { restarts, goneAtUs });
  }

  #checkAssumedCpus(vm: Vm): void {
    if (vm.usagePercent !== 100 || vm.window === null || vm.cpus !== 1 || pinsOf(vm) !== null) return;
    const percent = measuredPercent(vm.window, 1);
    if (percent === null || percent <= PROOF_OF_MORE_CPUS_PERCENT) return;
    this.#warn({ host: this.host, vm: vm.fullName, kind: "assumed_cpu", percent });
  }

  #warn(warning: VmWarning): void {
    if (this.#warned.has(warning.kind)) return;
    this.#warned.add(warning.kind);
    this.#options.onWarning?.(warning);
  }
}

function identify(host: string, fullName: string): VmIdentity {
  const end = fullName.lastIndexOf(":");
  const vm = fullName.slice(end + 1);
  return { host, path: fullName.slice(0, end), vm, fullName, ...splitCloneName(vm) };
}

function signsOf({ sample, listed, missedInfos }: VmRecord): SignsOfLife {
  return { heardUs: sample.arrivalUs, listed, missedInfos };
}

function unheardAfter(vm: Unheard, info: VmInfo | undefined): Unheard {
  if (info !== undefined) {
    // what was known of one that was heard is to be compared with info when it is heard again
    const startedMs = vm.heardUs === null ? info.startedMs : vm.startedMs;
    return { ...vm, listed: true, missedInfos: 0, pins: info, startedMs };
  }
  const unlistedPolls = vm.pins === null ? vm.unlistedPolls + 1 : 0;
  return { ...vm, listed: false, missedInfos: vm.missedInfos + 1, unlistedPolls };
}
