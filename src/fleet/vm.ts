import type { Sample } from "../client/receiver.ts";
import {
  clampPercent,
  cpuTimeUs,
  extendWindow,
  hasReset,
  measuredPercent,
  type RateWindow,
  startWindow,
} from "./counters.ts";
import {
  INFO_PATIENCE_US,
  judgeInfo,
  judgeSample,
  NO_EVIDENCE,
  type RestartEvidence,
  type RestartVerdict,
} from "./restarts.ts";
import type { CpuPoint, ExpectedVm, ImplausibleKind, Pins, VmIdentity, VmInfo, VmRecord } from "./types.ts";

/** For how many polls a VM waits for unikernel info to list it. */
const WARMING_POLLS = 2;

/** No VM takes more of what it has, however unevenly its samples arrive. */
const MAX_USAGE_PERCENT = 200;

/** CPU time may go back by less than this without a restart. */
const SMALL_DECREASE_US = 1_000_000;

/** What a VM is told by its host, and tells it. */
export interface VmHost {
  /** null as long as vmmd has never answered; else it will list a new VM soon */
  readonly infoAskedUs: number | null;
  /** how many CPUs the host has: no VM uses more */
  readonly hostCpus: number;
  /** how many CPUs info last gave the VM of this full name; null where it never did */
  cpusGiven(fullName: string): number | null;
  /** a step of the VM's counters cannot be, so that nothing is measured by it */
  onImplausible(vm: string, kind: ImplausibleKind, count: number): void;
}

/** What is known of a VM before its first sample. */
export interface Before {
  readonly departed: Pick<VmRecord, "restarts"> | null;
  readonly expected: ExpectedVm | null;
  /** others of its host were heard for long enough before it: it has just begun */
  readonly isNew: boolean;
}

/** A VM's record with what its next sample or info is compared with. Replaced by each of them, never changed. */
export interface Vm extends VmRecord {
  /** null while this incarnation has no sample with a usable CPU time */
  readonly window: RateWindow | null;
  readonly evidence: RestartEvidence;
  /** info told of a restart: the next sample is the first of the new incarnation */
  readonly awaitsFirstSample: boolean;
  /** the last sample came with more CPU than the VM has */
  readonly isImplausible: boolean;
}

/** At the first sample in this run of the program, or after it was gone. */
export function firstSample(
  identity: VmIdentity,
  sample: Sample,
  info: VmInfo | null,
  { departed, expected, isNew }: Before,
  host: VmHost,
): Vm {
  const point = cpuPoint(sample);
  const heardBefore = expected === null || expected.heardUs === null ? null : expected;
  const { counted, beganUs, evidence } = judgeFirst(heardBefore, sample, point, info);
  const resumed = beganUs === null ? heardBefore : null;
  // of the same shape for V8 as those that follow
  const first = copyOf({
    ...identity,
    identity,
    sample,
    cpuUs: point?.cpuUs ?? null,
    firstSeenUs: resumed?.firstSeenUs ?? sample.arrivalUs,
    startSeen: resumed?.startSeen ?? (isNew && beganUs === null),
    usagePercent: null,
    cpus: null,
    rateStart: point,
    isResumed: resumed !== null,
    restarts: (departed?.restarts ?? 0) + counted,
    info,
    startedMs: expected?.startedMs ?? null,
    listed: info !== null || expected?.listed === true,
    missedInfos: 0,
    window: nextWindow(null, point, sample.intervalUs),
    evidence,
    awaitsFirstSample: false,
    isImplausible: false,
    unlistedPolls: resumed?.unlistedPolls ?? 0,
    pinsBefore: expected?.pins ?? null,
  });
  // age does not count yet
  return measured(first, first.firstSeenUs, host);
}

/** What a VM's first sample in this run of the program says of restarts since an earlier run heard it. */
function judgeFirst(
  before: ExpectedVm | null,
  { arrivalUs, intervalUs }: Sample,
  point: CpuPoint | null,
  info: VmInfo | null,
): RestartVerdict {
  const { cpuUs = null, startedMs = null } = before ?? {};
  if (isOtherStart(startedMs, info)) return { counted: 1, beganUs: arrivalUs, evidence: NO_EVIDENCE };
  const lostUs = cpuUs === null || point === null ? 0 : cpuUs - point.cpuUs;
  const isDoubtful = startedMs !== null && lostUs < SMALL_DECREASE_US;
  return judgeSample(NO_EVIDENCE, { decreased: lostUs > 0, isDoubtful, arrivalUs, intervalUs });
}

/** The VM one sample later. An arrival before the last one counts as simultaneous with it. */
export function nextSample(vm: Vm, arrived: Sample, host: VmHost): Vm {
  const isLate = arrived.arrivalUs < vm.sample.arrivalUs;
  const sample = isLate ? { ...arrived, arrivalUs: vm.sample.arrivalUs } : arrived;
  const decreased = hasReset(vm.sample.stats, sample.stats);
  const point = cpuPoint(sample);
  const { counted, beganUs, evidence } = judgeSample(vm.evidence, {
    decreased,
    isDoubtful: isDoubtful(vm, point),
    arrivalUs: sample.arrivalUs,
    intervalUs: sample.intervalUs,
  });
  const next = copyOf(vm);
  next.sample = sample;
  next.cpuUs = point?.cpuUs ?? null;
  next.evidence = evidence;
  next.missedInfos = 0;
  next.awaitsFirstSample = false;
  next.restarts += counted;
  next.window = nextWindow(decreased ? null : vm.window, point, sample.intervalUs);
  if (beganUs !== null || vm.awaitsFirstSample) {
    next.firstSeenUs = beganUs ?? sample.arrivalUs;
    next.startSeen = beganUs !== null || vm.startSeen;
  }
  next.isImplausible = next.window !== null && !isPlausible(next, next.window, host);
  if (next.isImplausible) host.onImplausible(vm.fullName, "usage", 1);
  if (decreased || next.isImplausible) {
    next.window = nextWindow(null, point, sample.intervalUs);
    next.rateStart = point;
    next.isResumed = false;
  }
  next.rateStart ??= point;
  return measured(next, sample.arrivalUs, host);
}

/** The VM after unikernel info listed it. */
export function afterListing(vm: Vm, info: VmInfo, askedAtUs: number, host: VmHost): Vm {
  const changed = isOtherStart(vm.info === null ? vm.startedMs : vm.info.startedMs, info);
  const { counted, beganUs, denied, evidence } = judgeInfo(vm.evidence, changed, askedAtUs);
  if (info === vm.info && vm.listed && vm.missedInfos === 0 && evidence === vm.evidence) return vm;
  const next = copyOf(vm);
  next.info = info;
  next.listed = true;
  next.missedInfos = 0;
  next.evidence = evidence;
  next.restarts += counted;
  if (denied > 0) host.onImplausible(vm.fullName, "decrease", denied);
  if (counted > 0) {
    next.firstSeenUs = beganUs ?? askedAtUs;
    // else it was another run of the program that knew of another start
    next.startSeen = beganUs !== null || vm.info !== null;
  }
  if (counted > 0 && beganUs === null) {
    // The samples so far may be of the process before: only the next one is known to be of the new incarnation.
    next.rateStart = null;
    next.isResumed = false;
    next.window = null;
    next.awaitsFirstSample = true;
  }
  return measured(next, askedAtUs, host);
}

/** The VM after a unikernel info that did not list it. */
export function afterOmission(vm: Vm, askedAtUs: number, nowUs: number, host: VmHost): Vm {
  const next = copyOf(vm);
  next.listed = false;
  if (vm.info === null && askedAtUs >= vm.firstSeenUs) next.unlistedPolls++;
  if (askedAtUs > vm.sample.arrivalUs) next.missedInfos++;
  return measured(next, nowUs, host);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Every field by name: `{ ...vm }` takes V8 ten times as long, and one is made per sample. */
function copyOf(vm: Vm): Mutable<Vm> {
  return {
    host: vm.host,
    path: vm.path,
    vm: vm.vm,
    fullName: vm.fullName,
    primary: vm.primary,
    cloneId: vm.cloneId,
    identity: vm.identity,
    sample: vm.sample,
    cpuUs: vm.cpuUs,
    firstSeenUs: vm.firstSeenUs,
    startSeen: vm.startSeen,
    usagePercent: vm.usagePercent,
    cpus: vm.cpus,
    rateStart: vm.rateStart,
    isResumed: vm.isResumed,
    restarts: vm.restarts,
    info: vm.info,
    startedMs: vm.startedMs,
    listed: vm.listed,
    missedInfos: vm.missedInfos,
    window: vm.window,
    evidence: vm.evidence,
    awaitsFirstSample: vm.awaitsFirstSample,
    isImplausible: vm.isImplausible,
    unlistedPolls: vm.unlistedPolls,
    pinsBefore: vm.pinsBefore,
  };
}

function measured(vm: Mutable<Vm>, nowUs: number, host: VmHost): Vm {
  // info has not been compared with the last restart: what it said is of the incarnation before
  if (vm.evidence.kind === "decrease") vm.startedMs = null;
  else if (vm.info !== null) vm.startedMs = vm.info.startedMs;
  vm.cpus = knownCpus(vm, nowUs, host);
  const percent = vm.window === null || vm.cpus === null ? null : measuredPercent(vm.window, vm.cpus);
  vm.usagePercent = percent === null ? null : clampPercent(percent);
  return vm;
}

/** Null while info is expected to say so soon. A clone that info never listed has as many CPUs as its primary. */
function knownCpus(vm: Vm, nowUs: number, host: VmHost): number | null {
  const given = pinsOf(vm);
  if (given !== null) return given.cpus;
  const isPatient = vm.unlistedPolls < WARMING_POLLS && nowUs - vm.firstSeenUs < INFO_PATIENCE_US;
  if (host.infoAskedUs !== null && isPatient) return null;
  return (vm.cloneId > 0 ? host.cpusGiven(`${vm.path}:${vm.primary}`) : null) ?? 1;
}

/** The CPUs that unikernel info last gave, in this run of the program or before; null where it never did. */
export function pinsOf({ info, pinsBefore }: Pick<VmRecord, "info" | "pinsBefore">): Pins | null {
  return info ?? pinsBefore;
}

/** Whether a decrease may be no restart: FreeBSD's CPU time goes back by milliseconds; or back from where it never was. */
function isDoubtful({ info, startedMs, cpuUs, isImplausible }: Vm, point: CpuPoint | null): boolean {
  if ((info === null ? startedMs : info.startedMs) === null) return false;
  return isImplausible || (cpuUs !== null && point !== null && cpuUs - point.cpuUs < SMALL_DECREASE_US);
}

/** Whether the VM can have used as much CPU over the window as its counters say. */
function isPlausible(vm: Vm, window: RateWindow, host: VmHost): boolean {
  const given = pinsOf(vm);
  if (given !== null) return (measuredPercent(window, given.cpus) ?? 0) <= MAX_USAGE_PERCENT;
  return (measuredPercent(window, host.hostCpus) ?? 0) <= 100;
}

function cpuPoint({ stats, arrivalUs }: Sample): CpuPoint | null {
  const cpuUs = cpuTimeUs(stats.rusage);
  return cpuUs === null ? null : { cpuUs, arrivalUs };
}

function nextWindow(
  window: RateWindow | null,
  point: CpuPoint | null,
  intervalUs: number,
): RateWindow | null {
  if (point === null) return null;
  return window === null ? startWindow(point) : extendWindow(window, point, intervalUs);
}

/** Whether info tells of another start than the one known before. */
function isOtherStart(beforeMs: number | null, info: VmInfo | null): boolean {
  const startedMs = info?.startedMs ?? null;
  return beforeMs !== null && startedMs !== null && beforeMs !== startedMs;
}
