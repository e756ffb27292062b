import type { Sample } from "../client/receiver.ts";
import type { Policy, UnikernelInfo } from "../wire/messages.ts";
import { formatName, type Name, pathText } from "../wire/names.ts";
import { measuredPercent } from "./cpuUsage.ts";
import { splitCloneName } from "./groups.ts";
import type { SnapshotBuilder } from "./snapshot.ts";
import type {
  ExpectedVm,
  MemberState,
  PolicyRecord,
  SnapshotOptions,
  UnheardVm,
  VmIdentity,
  VmInfo,
  VmRecord,
} from "./types.ts";
import { VmIndex } from "./vmIndex.ts";
import { policyRecordFrom, vmInfoFrom } from "./vmInfo.ts";
import {
  afterListing,
  afterOmission,
  firstSample,
  nextSample,
  type Remembered,
  type VmState,
} from "./vmState.ts";

/** A VM that this many infos in a row leave out, all asked for after its last sample, is gone. */
const MISSED_INFOS_UNTIL_GONE = 2;
/** More CPU than this cannot be uneven arrival alone: the VM has more CPUs than assumed. */
const PROOF_OF_MORE_CPUS_PERCENT = 110;

/** Said once per host: a VM that was taken to have one CPU uses more. */
export interface AssumedCpuWarning {
  readonly host: string;
  /** full name of the VM that proved it */
  readonly vm: string;
  /** the rate before it was clamped, for one CPU */
  readonly percent: number;
}

export interface HostVmsOptions {
  readonly infoPollUs: number;
  readonly onAssumedCpu: (warning: AssumedCpuWarning) => void;
}

/** What outlives a VM for `death_timeout`. */
interface DepartedVm extends Remembered {
  readonly goneAtUs: number;
}

/** A VM that was alive when the program last ran, until it is heard or gone. */
type Expected = Omit<UnheardVm, "state">;

/** What tells whether a VM is gone. */
interface SignsOfLife {
  readonly heardUs: number;
  /** when the last unikernel info that lists it was asked for; null if the last one does not */
  readonly listedUs: number | null;
  readonly missedInfos: number;
}

/** The VMs of one host. Its index changes with every message; the records in it never do. */
export class HostVms {
  readonly host: string;
  deathTimeoutUs: number;
  readonly infoPollUs: number;
  readonly #onAssumedCpu: (warning: AssumedCpuWarning) => void;
  readonly #vms = new VmIndex();
  readonly #departed = new Map<string, DepartedVm>();
  readonly #expected = new Map<string, Expected>();
  /** the last answer to unikernel info; null as long as vmmd has never answered */
  #lastInfo: { readonly askedAtUs: number; readonly vms: ReadonlyMap<string, VmInfo> } | null = null;
  #policies: { readonly atUs: number; readonly records: readonly PolicyRecord[] } | null = null;
  #saidLive: boolean | null = null;
  #heard = false;
  #infoAnsweredBefore = false;
  #warnedOfCpus = false;

  constructor(host: string, deathTimeoutUs: number, options: HostVmsOptions) {
    this.host = host;
    this.deathTimeoutUs = deathTimeoutUs;
    this.infoPollUs = options.infoPollUs;
    this.#onAssumedCpu = options.onAssumedCpu;
  }

  /** The host's statistics are arriving: as was said last, else whether any ever did. */
  get live(): boolean {
    return this.#saidLive ?? this.#heard;
  }

  set live(up: boolean) {
    this.#saidLive = up;
  }

  /** albatrossd has answered unikernel info at least once, in this run of the program or in the one before. */
  get infoAnswered(): boolean {
    return this.#lastInfo !== null || this.#infoAnsweredBefore;
  }

  /** What unikernel info said last, by full name; null as long as vmmd has never answered. */
  get listedVms(): ReadonlyMap<string, VmInfo> | null {
    return this.#lastInfo?.vms ?? null;
  }

  /** Says that this VM was alive when the program last ran. Ignored once the VM is known. */
  expect(name: Name, before: ExpectedVm): void {
    const fullName = formatName(name);
    if (name.label === null || this.#vms.find(fullName) !== undefined) return;
    const identity = identify(this.host, pathText(name.path), name.label, fullName);
    this.#expected.set(fullName, { ...identity, ...before });
    if (before.cpus !== null) this.#infoAnsweredBefore = true;
  }

  /** Takes one sample in. A name without a label is a path's, not a VM's, and is ignored. */
  record(sample: Sample): void {
    const { name } = sample;
    if (name.label === null) return;
    this.#heard = true;
    const fullName = formatName(name);
    const id = this.#vms.find(fullName);
    const before = id === undefined ? undefined : this.#vms.get(id);
    if (id === undefined || before === undefined) {
      const identity = identify(this.host, pathText(name.path), name.label, fullName);
      this.#vms.add(this.#welcome(identity, sample));
      return;
    }
    const goneAtUs = this.#goneSince(this.#signsOf(before.record), sample.arrivalUs);
    if (goneAtUs === null) {
      const state = nextSample(before, sample, this);
      this.#vms.replace(id, state);
      this.#checkAssumedCpus(state);
    } else {
      this.#remember(before.record, goneAtUs);
      this.#vms.replace(id, this.#welcome(before.record.identity, sample));
    }
  }

  /** Takes in what info said, for all subscriptions together. An answer asked for before the last one is ignored. */
  recordInfo(
    entries: readonly { readonly name: Name; readonly info: UnikernelInfo }[],
    askedAtUs: number,
    nowUs: number,
  ): void {
    if (this.#lastInfo !== null && askedAtUs < this.#lastInfo.askedAtUs) return;
    const infos = new Map<string, VmInfo>();
    for (const { name, info } of entries) {
      const fullName = formatName(name);
      infos.set(fullName, vmInfoFrom(info, this.#lastInfo?.vms.get(fullName)));
    }
    this.#lastInfo = { askedAtUs, vms: infos };

    const gone: VmState[] = [];
    for (const [id, before] of this.#vms.entries()) {
      const info = infos.get(before.record.fullName);
      const state =
        info === undefined
          ? afterOmission(before, askedAtUs, nowUs, this)
          : afterListing(before, info, askedAtUs);
      if (state !== before) this.#vms.replace(id, state);
      this.#checkAssumedCpus(state);
      if (this.#goneSince(this.#signsOf(state.record), nowUs) !== null) gone.push(state);
    }
    for (const { record } of gone) this.#remember(record, nowUs);
    this.#vms.remove(gone);
    for (const [fullName, vm] of this.#expected) {
      const isListed = infos.has(fullName);
      const listedUs = isListed ? askedAtUs : null;
      this.#expected.set(fullName, { ...vm, listedUs, missedInfos: isListed ? 0 : vm.missedInfos + 1 });
    }
    this.#dropGoneExpected(nowUs);
  }

  /** Replaces the host's policies by these. */
  recordPolicies(entries: readonly { readonly name: Name; readonly policy: Policy }[], nowUs: number): void {
    const records = entries.map(({ name, policy }) => policyRecordFrom(this.host, name, policy));
    records.sort((a, b) => (a.path < b.path ? -1 : 1));
    this.#policies = { atUs: nowUs, records };
  }

  /** Adds this host's VMs that are not gone, their groups and its policies to a snapshot. */
  collect(nowUs: number, { staleAfterUs }: SnapshotOptions, snapshot: SnapshotBuilder): void {
    const { order, records, arrivalUs, intervalUs, hasGauge } = this.#vms.columns();
    let isGroupStart = false;
    let intervalOfStale = -1;
    let staleUs = 0;
    for (let i = 0; i < order.ids.length; i++) {
      const id = order.ids[i] ?? 0;
      const record = records[id];
      if (record === undefined) throw new Error("a VM in the order has no record");
      if (order.startsGroup[i] === 1) isGroupStart = true;
      const interval = intervalUs[id] ?? 0;
      if (interval !== intervalOfStale) {
        intervalOfStale = interval;
        staleUs = staleAfterUs(this.host, interval);
      }
      const silenceUs = nowUs - (arrivalUs[id] ?? 0);
      if (silenceUs >= this.deathTimeoutUs && this.#goneSince(this.#signsOf(record), nowUs) !== null)
        continue;

      const state = this.#stateOf(silenceUs, staleUs, hasGauge[id] === 1);
      const isServed = this.live && (state === "fresh" || state === "warming");
      snapshot.add(record, state, isGroupStart, isServed);
      isGroupStart = false;
    }
    for (const vm of this.#expected.values()) {
      if (this.#goneSince(vm, nowUs) !== null) continue;
      const state = nowUs - vm.heardUs >= this.deathTimeoutUs ? "silent" : "missing";
      snapshot.unheard.push({ ...vm, state });
    }
    if (!this.live) return;
    for (const policy of this.#currentPolicies(nowUs)) snapshot.policies.push(policy);
  }

  /** Lets go of the VMs that are gone, and of what is remembered of VMs gone for `death_timeout`. */
  sweep(nowUs: number): void {
    const gone: VmState[] = [];
    for (const state of this.#vms.silentFor(this.deathTimeoutUs, nowUs)) {
      const goneAtUs = this.#goneSince(this.#signsOf(state.record), nowUs);
      if (goneAtUs === null) continue;
      this.#remember(state.record, goneAtUs);
      gone.push(state);
    }
    this.#vms.remove(gone);
    this.#dropGoneExpected(nowUs);
    for (const [fullName, { goneAtUs }] of this.#departed) {
      if (nowUs - goneAtUs >= this.deathTimeoutUs) this.#departed.delete(fullName);
    }
  }

  /** How many VMs are held, how many are only remembered, and how many have not been heard since the program started. */
  get sizes(): { readonly vms: number; readonly departed: number; readonly unheard: number } {
    return { vms: this.#vms.size, departed: this.#departed.size, unheard: this.#expected.size };
  }

  #welcome(identity: VmIdentity, sample: Sample): VmState {
    const departed = this.#departed.get(identity.fullName);
    this.#departed.delete(identity.fullName);
    const before = this.#expected.get(identity.fullName);
    this.#expected.delete(identity.fullName);
    const isExpected = before !== undefined && this.#goneSince(before, sample.arrivalUs) === null;
    const isRemembered = departed !== undefined && sample.arrivalUs - departed.goneAtUs < this.deathTimeoutUs;
    const lastInfo = this.#lastInfo;
    // What a vmmd that has stopped answering once said may be about an earlier VM of this name.
    const isCurrent = lastInfo !== null && sample.arrivalUs - lastInfo.askedAtUs < this.deathTimeoutUs;
    const info = isCurrent ? (lastInfo.vms.get(identity.fullName) ?? null) : null;
    return firstSample(
      identity,
      sample,
      info,
      { departed: isRemembered ? departed : null, expected: isExpected ? before : null },
      this,
    );
  }

  /** Since when this VM is gone; null if it is not gone at `nowUs`. */
  #goneSince({ heardUs, listedUs, missedInfos }: SignsOfLife, nowUs: number): number | null {
    if (missedInfos >= MISSED_INFOS_UNTIL_GONE) return nowUs;
    const silentAtUs = heardUs + this.deathTimeoutUs;
    if (nowUs < silentAtUs) return null;
    if (listedUs === null) return silentAtUs;
    // A listing holds for as long as a sample does: vmmd may have stopped answering, too.
    const unlistedAtUs = listedUs + this.deathTimeoutUs;
    return nowUs < unlistedAtUs ? null : Math.max(silentAtUs, unlistedAtUs);
  }

  #signsOf({ arrivalUs, listed, missedInfos }: VmRecord): SignsOfLife {
    const listedUs = listed ? (this.#lastInfo?.askedAtUs ?? null) : null;
    return { heardUs: arrivalUs, listedUs, missedInfos };
  }

  #dropGoneExpected(nowUs: number): void {
    for (const [fullName, vm] of this.#expected) {
      if (this.#goneSince(vm, nowUs) !== null) this.#expected.delete(fullName);
    }
  }

  #stateOf(silenceUs: number, staleUs: number, hasGauge: boolean): MemberState {
    if (silenceUs >= this.deathTimeoutUs) return "silent";
    if (silenceUs >= staleUs) return "missing";
    return hasGauge ? "fresh" : "warming";
  }

  /** The host's policies by path; none once vmmd has not repeated them for `death_timeout`. */
  #currentPolicies(nowUs: number): readonly PolicyRecord[] {
    if (this.#policies === null || nowUs - this.#policies.atUs >= this.deathTimeoutUs) return [];
    return this.#policies.records;
  }

  #remember({ fullName, restarts, incarnation }: VmRecord, goneAtUs: number): void {
    this.#departed.set(fullName, { restarts, incarnation, goneAtUs });
  }

  #checkAssumedCpus({ record, window }: VmState): void {
    if (this.#warnedOfCpus || record.info !== null || record.usagePercent !== 100 || window === null) return;
    const percent = measuredPercent(window, 1);
    if (percent === null || percent <= PROOF_OF_MORE_CPUS_PERCENT) return;
    this.#warnedOfCpus = true;
    this.#onAssumedCpu({ host: this.host, vm: record.fullName, percent });
  }
}

function identify(host: string, path: string, vm: string, fullName: string): VmIdentity {
  const { primary, cloneId } = splitCloneName(vm);
  return { host, path, vm, fullName, primary, cloneId };
}
