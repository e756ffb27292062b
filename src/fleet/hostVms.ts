import type { Policy, UnikernelInfo } from "../albatross/messages.ts";
import { formatName, type Name, pathText } from "../albatross/names.ts";
import { labelPairs } from "../exposition/labels.ts";
import { measuredPercent } from "./cpuUsage.ts";
import { splitCloneName } from "./groups.ts";
import { SortedList } from "./sortedList.ts";
import type { MemberState, PolicyRecord, SnapshotOptions, VmIdentity, VmInfo, VmRecord } from "./types.ts";
import { isSameInfo, policyRecordFrom, vmInfoFrom } from "./vmInfo.ts";
import {
  afterListing,
  afterOmission,
  firstSample,
  nextSample,
  type Remembered,
  type Sample,
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

/** A VM's place in the index. */
interface VmSlot {
  state: VmState;
}

/** What outlives a VM for `death_timeout`. */
interface DepartedVm extends Remembered {
  readonly goneAtUs: number;
}

/** The VMs of one host. Its maps change with every message; the records in them never do. */
export class HostVms {
  readonly host: string;
  deathTimeoutUs: number;
  readonly infoPollUs: number;
  readonly #onAssumedCpu: (warning: AssumedCpuWarning) => void;
  readonly #slots = new Map<string, VmSlot>();
  readonly #ordered = new SortedList<VmSlot>(byPathAndVm);
  readonly #departed = new Map<string, DepartedVm>();
  /** the last answer to unikernel info; null as long as vmmd has never answered */
  #lastInfo: { readonly askedAtUs: number; readonly vms: ReadonlyMap<string, VmInfo> } | null = null;
  #policies: { readonly atUs: number; readonly records: readonly PolicyRecord[] } | null = null;
  #saidLive: boolean | null = null;
  #heard = false;
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

  /** albatrossd has answered unikernel info at least once. */
  get infoAnswered(): boolean {
    return this.#lastInfo !== null;
  }

  /** Takes one sample in. A name without a label is a path's, not a VM's, and is ignored. */
  record(name: Name, sample: Sample): void {
    if (name.label === null) return;
    this.#heard = true;
    const fullName = formatName(name);
    const slot = this.#slots.get(fullName);
    if (slot === undefined) {
      const identity = identify(this.host, pathText(name.path), name.label, fullName);
      const added = { state: this.#welcome(identity, sample) };
      this.#slots.set(fullName, added);
      this.#ordered.add(added);
      return;
    }
    const goneAtUs = this.#goneSince(slot.state.record, sample.arrivalUs);
    if (goneAtUs === null) {
      slot.state = nextSample(slot.state, sample, this);
      this.#checkAssumedCpus(slot.state);
    } else {
      this.#remember(slot.state.record, goneAtUs);
      slot.state = this.#welcome(slot.state.record, sample);
    }
  }

  /** Takes in what info said, for all polled slots together. An answer asked for before the last one is ignored. */
  recordInfo(
    entries: readonly { readonly name: Name; readonly info: UnikernelInfo }[],
    askedAtUs: number,
    nowUs: number,
  ): void {
    if (this.#lastInfo !== null && askedAtUs < this.#lastInfo.askedAtUs) return;
    const vms = new Map<string, VmInfo>();
    for (const { name, info } of entries) {
      const fullName = formatName(name);
      const known = this.#slots.get(fullName)?.state.record.info ?? this.#lastInfo?.vms.get(fullName);
      const said = vmInfoFrom(info);
      vms.set(fullName, known !== undefined && isSameInfo(known, said) ? known : said);
    }
    this.#lastInfo = { askedAtUs, vms };

    for (const [fullName, slot] of this.#slots) {
      const info = vms.get(fullName);
      if (info === undefined) {
        slot.state = afterOmission(slot.state, askedAtUs, nowUs, this);
        this.#checkAssumedCpus(slot.state);
      } else {
        slot.state = afterListing(slot.state, info, askedAtUs);
      }
    }
    this.#dropGone(nowUs, () => nowUs);
  }

  /** Replaces the host's policies by these. */
  recordPolicies(entries: readonly { readonly name: Name; readonly policy: Policy }[], nowUs: number): void {
    const records = entries.map(({ name, policy }) => policyRecordFrom(this.host, name, policy));
    records.sort((a, b) => compareText(a.path, b.path));
    this.#policies = { atUs: nowUs, records };
  }

  /** The host's policies by path; none once vmmd has not repeated them for `death_timeout`. */
  policies(nowUs: number): readonly PolicyRecord[] {
    if (this.#policies === null || nowUs - this.#policies.atUs >= this.deathTimeoutUs) return [];
    return this.#policies.records;
  }

  /** Calls `visit` for every VM that is not gone, by path and label. */
  forEachAlive(
    nowUs: number,
    { staleAfterUs }: SnapshotOptions,
    visit: (record: VmRecord, state: MemberState) => void,
  ): void {
    for (const { state } of this.#ordered.items()) {
      const { record } = state;
      const silenceUs = nowUs - record.arrivalUs;
      if (silenceUs >= this.deathTimeoutUs) {
        if (this.#goneSince(record, nowUs) === null) visit(record, "silent");
      } else if (silenceUs >= staleAfterUs(this.host, record.intervalUs)) {
        visit(record, "missing");
      } else {
        visit(record, record.usagePercent === null ? "warming" : "fresh");
      }
    }
  }

  /** Lets go of the VMs that are gone, and of what is remembered of VMs gone for `death_timeout`. */
  sweep(nowUs: number): void {
    this.#dropGone(nowUs, (goneAtUs) => goneAtUs);
    for (const [fullName, { goneAtUs }] of this.#departed) {
      if (nowUs - goneAtUs >= this.deathTimeoutUs) this.#departed.delete(fullName);
    }
  }

  /** How many VMs are held, and how many are only remembered. */
  get sizes(): { readonly vms: number; readonly departed: number } {
    return { vms: this.#slots.size, departed: this.#departed.size };
  }

  #welcome(identity: VmIdentity, sample: Sample): VmState {
    const departed = this.#departed.get(identity.fullName);
    this.#departed.delete(identity.fullName);
    const isRemembered = departed !== undefined && sample.arrivalUs - departed.goneAtUs < this.deathTimeoutUs;
    const lastInfo = this.#lastInfo;
    // What a vmmd that has stopped answering once said may be about an earlier VM of this name.
    const isCurrent = lastInfo !== null && sample.arrivalUs - lastInfo.askedAtUs < this.deathTimeoutUs;
    const info = isCurrent ? (lastInfo.vms.get(identity.fullName) ?? null) : null;
    return firstSample(identity, sample, info, isRemembered ? departed : null, this);
  }

  /** Since when this VM is gone; null if it is not gone at `nowUs`. */
  #goneSince(record: VmRecord, nowUs: number): number | null {
    if (record.missedInfos >= MISSED_INFOS_UNTIL_GONE) return nowUs;
    const silentAtUs = record.arrivalUs + this.deathTimeoutUs;
    if (nowUs < silentAtUs) return null;
    if (!record.listed || this.#lastInfo === null) return silentAtUs;
    // A listing holds for as long as a sample does: vmmd may have stopped answering, too.
    const unlistedAtUs = this.#lastInfo.askedAtUs + this.deathTimeoutUs;
    return nowUs < unlistedAtUs ? null : Math.max(silentAtUs, unlistedAtUs);
  }

  #dropGone(nowUs: number, rememberedFrom: (goneAtUs: number) => number): void {
    let dropped = 0;
    for (const { state } of this.#slots.values()) {
      const goneAtUs = this.#goneSince(state.record, nowUs);
      if (goneAtUs === null) continue;
      this.#remember(state.record, rememberedFrom(goneAtUs));
      this.#slots.delete(state.record.fullName);
      dropped += 1;
    }
    if (dropped > 0) this.#ordered.retain(({ state }) => this.#slots.has(state.record.fullName));
  }

  #remember({ fullName, restarts, life }: VmRecord, goneAtUs: number): void {
    this.#departed.set(fullName, { restarts, life, goneAtUs });
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
  return {
    host,
    path,
    vm,
    fullName,
    labels: labelPairs({ host, path, vm }),
    primary,
    cloneId,
    groupLabels: labelPairs({ host, path, group: primary }),
  };
}

function byPathAndVm({ state: a }: VmSlot, { state: b }: VmSlot): number {
  return compareText(a.record.path, b.record.path) || compareText(a.record.vm, b.record.vm);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
