import type { Sample } from "../client/receiver.ts";
import { cpuTimeUs, hasReset } from "./counters.ts";
import { clampPercent, extendWindow, measuredPercent, type RateWindow, startWindow } from "./cpuUsage.ts";
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

/** What is remembered of a VM that was gone and comes back. */
export interface Remembered {
  readonly restarts: number;
  readonly incarnation: number;
}

/** What a VM brings along that comes back: after it was gone, or after the program was. */
export interface Before {
  readonly departed: Remembered | null;
  readonly expected: Pick<ExpectedVm, "firstSeenUs" | "cpus"> | null;
}

/** A VM's record, and what its next sample or info is compared with. Replaced by each of them, never changed. */
export interface VmState {
  readonly record: VmRecord;
  /** null while this incarnation has no sample with a usable CPU time */
  readonly window: RateWindow | null;
  readonly restarts: RestartEvidence;
  /** info told of a restart: the next sample is the first of the new incarnation, whatever it says */
  readonly awaitsFirstSample: boolean;
  /** infos asked for since the VM was first seen that did not list it, as long as none ever did */
  readonly unlistedPolls: number;
  /** the number of CPUs that info gave before the program was restarted; holds until info says otherwise */
  readonly cpusBefore: number | null;
}

/** A VM at its first sample, or at the first one after it was gone. */
export function firstSample(
  identity: VmIdentity,
  sample: Sample,
  info: VmInfo | null,
  { departed, expected }: Before,
  source: InfoSource,
): VmState {
  const { stats, arrivalUs, arrivalWallMs, intervalUs } = sample;
  const cpuUs = cpuTimeUs(stats.rusage);
  const point = cpuPoint(cpuUs, arrivalUs);
  const cpusBefore = expected?.cpus ?? null;
  const firstSeenUs = expected?.firstSeenUs ?? arrivalUs;
  const heard = { stats, arrivalUs, arrivalWallMs, intervalUs, cpuUs, firstSeenUs };
  return {
    record: recordOf({ identity }, heard, {
      usagePercent: null,
      cpus: knownCpus(info, cpusBefore, 0, 0, source),
      incarnation: (departed?.incarnation ?? 0) + 1,
      incarnationStart: point,
      restarts: departed?.restarts ?? 0,
      info,
      listed: info !== null,
      missedInfos: 0,
    }),
    window: point === null ? null : startWindow(point),
    restarts: NO_EVIDENCE,
    awaitsFirstSample: false,
    unlistedPolls: 0,
    cpusBefore,
  };
}

/** The VM one sample later. An arrival before the last one counts as simultaneous with it. */
export function nextSample(state: VmState, sample: Sample, source: InfoSource): VmState {
  const previous = state.record;
  const { info, listed, firstSeenUs } = previous;
  const { stats, arrivalWallMs, intervalUs } = sample;
  const arrivalUs = Math.max(sample.arrivalUs, previous.arrivalUs);
  const decreased = hasReset(previous.stats, stats);
  const verdict = judgeSample(state.restarts, decreased, arrivalUs, intervalUs);
  const cpuUs = cpuTimeUs(stats.rusage);
  const point = cpuPoint(cpuUs, arrivalUs);
  const window = nextWindow(decreased ? null : state.window, point, intervalUs);
  const { unlistedPolls, cpusBefore } = state;
  const cpus = knownCpus(info, cpusBefore, unlistedPolls, arrivalUs - firstSeenUs, source);
  const heard = { stats, arrivalUs, arrivalWallMs, intervalUs, cpuUs, firstSeenUs };
  return {
    record: recordOf(previous, heard, {
      usagePercent: gauge(window, cpus),
      cpus,
      incarnation: decreased && !state.awaitsFirstSample ? previous.incarnation + 1 : previous.incarnation,
      incarnationStart: decreased || state.awaitsFirstSample ? point : previous.incarnationStart,
      restarts: verdict.counted ? previous.restarts + 1 : previous.restarts,
      info,
      listed,
      missedInfos: 0,
    }),
    window,
    restarts: verdict.evidence,
    awaitsFirstSample: false,
    unlistedPolls,
    cpusBefore,
  };
}

/** The VM after unikernel info listed it. */
export function afterListing(state: VmState, info: VmInfo, askedAtUs: number): VmState {
  const { record, unlistedPolls, cpusBefore } = state;
  const { incarnation, incarnationStart, restarts } = record;
  const { counted, evidence } = judgeInfo(state.restarts, hasStartedAnew(record.info, info), askedAtUs);
  const listing = { info, listed: true, missedInfos: 0, cpus: info.cpus };
  if (counted) {
    // The samples so far may be of the process before: only the next one is known to be of the new incarnation.
    const begun = {
      usagePercent: null,
      incarnation: incarnation + 1,
      incarnationStart: null,
      restarts: restarts + 1,
    };
    return {
      record: recordOf(record, record, { ...listing, ...begun }),
      window: null,
      restarts: evidence,
      awaitsFirstSample: true,
      unlistedPolls,
      cpusBefore,
    };
  }
  const isNews = info !== record.info || !record.listed || record.missedInfos > 0;
  if (!isNews) return evidence === state.restarts ? state : { ...state, restarts: evidence };
  const going = { usagePercent: gauge(state.window, info.cpus), incarnation, incarnationStart, restarts };
  return { ...state, record: recordOf(record, record, { ...listing, ...going }), restarts: evidence };
}

/** The VM after a unikernel info that did not list it. */
export function afterOmission(state: VmState, askedAtUs: number, nowUs: number, source: InfoSource): VmState {
  const { record } = state;
  const { info, incarnation, incarnationStart, restarts } = record;
  const isUnlistedPoll = info === null && askedAtUs >= record.firstSeenUs;
  const unlistedPolls = isUnlistedPoll ? state.unlistedPolls + 1 : state.unlistedPolls;
  const cpus = knownCpus(info, state.cpusBefore, unlistedPolls, nowUs - record.firstSeenUs, source);
  const missedInfos = askedAtUs > record.arrivalUs ? record.missedInfos + 1 : record.missedInfos;
  const usagePercent = gauge(state.window, cpus);
  return {
    ...state,
    record: recordOf(record, record, {
      usagePercent,
      cpus,
      incarnation,
      incarnationStart,
      restarts,
      info,
      listed: false,
      missedInfos,
    }),
    unlistedPolls,
  };
}

type HeardFacts = Pick<
  VmRecord,
  "stats" | "arrivalUs" | "arrivalWallMs" | "intervalUs" | "cpuUs" | "firstSeenUs"
>;
type JudgedFacts = Omit<VmRecord, "identity" | keyof VmIdentity | keyof HeardFacts>;

/** Every field by name: `{ ...record, cpus }` takes V8 ten times as long, and one is made per sample. */
function recordOf(
  { identity }: Pick<VmRecord, "identity">,
  heard: HeardFacts,
  judged: JudgedFacts,
): VmRecord {
  return {
    identity,
    host: identity.host,
    path: identity.path,
    vm: identity.vm,
    fullName: identity.fullName,
    primary: identity.primary,
    cloneId: identity.cloneId,
    stats: heard.stats,
    arrivalUs: heard.arrivalUs,
    arrivalWallMs: heard.arrivalWallMs,
    intervalUs: heard.intervalUs,
    cpuUs: heard.cpuUs,
    firstSeenUs: heard.firstSeenUs,
    usagePercent: judged.usagePercent,
    cpus: judged.cpus,
    incarnation: judged.incarnation,
    incarnationStart: judged.incarnationStart,
    restarts: judged.restarts,
    info: judged.info,
    listed: judged.listed,
    missedInfos: judged.missedInfos,
  };
}

/** How many CPUs a VM has; null while unikernel info is expected to say so soon. */
function knownCpus(
  info: VmInfo | null,
  cpusBefore: number | null,
  unlistedPolls: number,
  ageUs: number,
  { infoAnswered, infoPollUs }: InfoSource,
): number | null {
  if (info !== null) return info.cpus;
  if (cpusBefore !== null) return cpusBefore;
  if (!infoAnswered || unlistedPolls >= WARMING_POLLS) return 1;
  return ageUs >= WARMING_POLL_INTERVALS * infoPollUs ? 1 : null;
}

function gauge(window: RateWindow | null, cpus: number | null): number | null {
  if (window === null || cpus === null) return null;
  const percent = measuredPercent(window, cpus);
  return percent === null ? null : clampPercent(percent);
}

function cpuPoint(cpuUs: number | null, arrivalUs: number): CpuPoint | null {
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
