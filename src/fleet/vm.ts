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
import { judgeInfo, judgeSample, NO_EVIDENCE, type RestartEvidence } from "./restarts.ts";
import type { CpuPoint, ExpectedVm, VmIdentity, VmInfo, VmRecord } from "./types.ts";

/** For how many polls a VM waits for unikernel info to list it, before it is taken to have one CPU. */
const WARMING_POLLS = 2;
/** The same as a time, for a vmmd that answered once and has stopped: two polls, and one for the second to fail. */
const WARMING_POLL_INTERVALS = WARMING_POLLS + 1;

/** What a VM's host tells about unikernel info as such. */
export interface InfoSource {
  /** vmmd has answered at least once: a VM that it has not listed yet will be listed soon */
  readonly infoAnswered: boolean;
  readonly infoPollUs: number;
}

/** What a VM brings along that comes back: after it was gone, or after the program was. */
export interface Before {
  readonly departed: Pick<VmRecord, "restarts" | "incarnation"> | null;
  readonly expected: Pick<ExpectedVm, "firstSeenUs" | "startSeen" | "cpus"> | null;
  /** others of its host were heard for long enough before it: it has just begun */
  readonly isNew: boolean;
}

/** A VM's record with what its next sample or info is compared with. Replaced by each of them, never changed. */
export interface Vm extends VmRecord {
  /** null while this incarnation has no sample with a usable CPU time */
  readonly window: RateWindow | null;
  readonly evidence: RestartEvidence;
  /** info told of a restart: the next sample is the first of the new incarnation, whatever it says */
  readonly awaitsFirstSample: boolean;
  /** infos asked for since the VM was first seen that did not list it, as long as none ever did */
  readonly unlistedPolls: number;
}

/** A VM at its first sample, or at the first one after it was gone. */
export function firstSample(
  identity: VmIdentity,
  sample: Sample,
  info: VmInfo | null,
  { departed, expected, isNew }: Before,
  source: InfoSource,
): Vm {
  const point = cpuPoint(sample);
  const first: Mutable<Vm> = {
    ...identity,
    identity,
    sample,
    cpuUs: point?.cpuUs ?? null,
    firstSeenUs: expected?.firstSeenUs ?? sample.arrivalUs,
    startSeen: expected?.startSeen ?? isNew,
    usagePercent: null,
    cpus: null,
    incarnation: (departed?.incarnation ?? 0) + 1,
    incarnationStart: point,
    restarts: departed?.restarts ?? 0,
    info,
    listed: info !== null,
    missedInfos: 0,
    window: nextWindow(null, point, sample.intervalUs),
    evidence: NO_EVIDENCE,
    awaitsFirstSample: false,
    unlistedPolls: 0,
    cpusBefore: expected?.cpus ?? null,
  };
  // of the shape that all later ones have; age does not count yet
  return measured(copyOf(first), first.firstSeenUs, source);
}

/** The VM one sample later. An arrival before the last one counts as simultaneous with it. */
export function nextSample(vm: Vm, arrived: Sample, source: InfoSource): Vm {
  const isLate = arrived.arrivalUs < vm.sample.arrivalUs;
  const sample = isLate ? { ...arrived, arrivalUs: vm.sample.arrivalUs } : arrived;
  const decreased = hasReset(vm.sample.stats, sample.stats);
  const { counted, evidence } = judgeSample(vm.evidence, decreased, sample.arrivalUs, sample.intervalUs);
  const point = cpuPoint(sample);
  const next = copyOf(vm);
  next.sample = sample;
  next.cpuUs = point?.cpuUs ?? null;
  next.evidence = evidence;
  next.missedInfos = 0;
  next.awaitsFirstSample = false;
  next.window = nextWindow(decreased ? null : vm.window, point, sample.intervalUs);
  if (counted) next.restarts++;
  if (decreased && !vm.awaitsFirstSample) next.incarnation++;
  if (decreased || vm.awaitsFirstSample) {
    next.incarnationStart = point;
    next.firstSeenUs = sample.arrivalUs;
    next.startSeen = true;
  }
  return measured(next, sample.arrivalUs, source);
}

/** The VM after unikernel info listed it. */
export function afterListing(vm: Vm, info: VmInfo, askedAtUs: number, source: InfoSource): Vm {
  const { counted, evidence } = judgeInfo(vm.evidence, hasStartedAnew(vm.info, info), askedAtUs);
  if (info === vm.info && vm.listed && vm.missedInfos === 0 && evidence === vm.evidence) return vm;
  const next = copyOf(vm);
  next.info = info;
  next.listed = true;
  next.missedInfos = 0;
  next.evidence = evidence;
  if (counted) {
    // The samples so far may be of the process before: only the next one is known to be of the new incarnation.
    next.restarts++;
    next.incarnation++;
    next.incarnationStart = null;
    next.window = null;
    next.awaitsFirstSample = true;
  }
  return measured(next, askedAtUs, source);
}

/** The VM after a unikernel info that did not list it. */
export function afterOmission(vm: Vm, askedAtUs: number, nowUs: number, source: InfoSource): Vm {
  const next = copyOf(vm);
  next.listed = false;
  if (vm.info === null && askedAtUs >= vm.firstSeenUs) next.unlistedPolls++;
  if (askedAtUs > vm.sample.arrivalUs) next.missedInfos++;
  return measured(next, nowUs, source);
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
    incarnation: vm.incarnation,
    incarnationStart: vm.incarnationStart,
    restarts: vm.restarts,
    info: vm.info,
    listed: vm.listed,
    missedInfos: vm.missedInfos,
    window: vm.window,
    evidence: vm.evidence,
    awaitsFirstSample: vm.awaitsFirstSample,
    unlistedPolls: vm.unlistedPolls,
    cpusBefore: vm.cpusBefore,
  };
}

/** Fills in what follows from the rest, as of `nowUs`: the number of CPUs and the gauge. */
function measured(vm: Mutable<Vm>, nowUs: number, source: InfoSource): Vm {
  vm.cpus = knownCpus(vm, nowUs, source);
  const percent = vm.window === null || vm.cpus === null ? null : measuredPercent(vm.window, vm.cpus);
  vm.usagePercent = percent === null ? null : clampPercent(percent);
  return vm;
}

/** How many CPUs a VM has; null while unikernel info is expected to say so soon. */
function knownCpus(vm: Vm, nowUs: number, { infoAnswered, infoPollUs }: InfoSource): number | null {
  if (vm.info !== null) return vm.info.cpus;
  if (vm.cpusBefore !== null) return vm.cpusBefore;
  if (!infoAnswered || vm.unlistedPolls >= WARMING_POLLS) return 1;
  return nowUs - vm.firstSeenUs >= WARMING_POLL_INTERVALS * infoPollUs ? 1 : null;
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

function hasStartedAnew(before: VmInfo | null, now: VmInfo): boolean {
  if (before === null || before.startedMs === null || now.startedMs === null) return false;
  return before.startedMs !== now.startedMs;
}
