/**
 * A restart shows twice, in counters that go down and in another `started` of unikernel info. Either may come first or be
 * missing, and FreeBSD's CPU time goes back by milliseconds without one. What one side has told and the other has not
 * confirmed yet is kept, so that each restart is counted once.
 */
export type RestartEvidence =
  | { readonly kind: "none" }
  /** so many decreases, not counted: an info asked for after the last tells whether they were restarts */
  | { readonly kind: "doubtful"; readonly count: number; readonly arrivalUs: number }
  /** counted from a decrease; no info asked for after it has come yet */
  | { readonly kind: "decrease"; readonly arrivalUs: number }
  /** counted from info; the decrease may still come */
  | {
      readonly kind: "announced";
      readonly count: number;
      readonly askedAtUs: number;
      /** a decrease that arrives later is another restart; null until a sample has arrived */
      readonly untilUs: number | null;
    };

export interface RestartVerdict {
  readonly counted: number;
  /** arrival of the first sample of another incarnation, if one is known to have come */
  readonly beganUs: number | null;
  readonly evidence: RestartEvidence;
}

export const NO_EVIDENCE: RestartEvidence = { kind: "none" };

export interface SampleSigns {
  /** its counters are below those of the sample before */
  readonly decreased: boolean;
  /** the decrease may be no restart: for the next info to tell */
  readonly isDoubtful: boolean;
  readonly arrivalUs: number;
  readonly intervalUs: number;
}

/** How long info is waited for: two polls of 30 s, and one for the second to fail. */
export const INFO_PATIENCE_US = 90_000_000;

export function judgeSample(evidence: RestartEvidence, sample: SampleSigns): RestartVerdict {
  const { decreased, arrivalUs } = sample;
  if (evidence.kind === "announced") {
    if (evidence.untilUs === null || arrivalUs <= evidence.untilUs) return announced(evidence, sample);
    return judgeSample(NO_EVIDENCE, sample);
  }
  const doubtful = evidence.kind === "doubtful" ? evidence : null;
  const doubts = doubtful?.count ?? 0;
  if (decreased && sample.isDoubtful) {
    return { counted: 0, beganUs: null, evidence: { kind: "doubtful", count: doubts + 1, arrivalUs } };
  }
  if (decreased) {
    return { counted: doubts + 1, beganUs: arrivalUs, evidence: { kind: "decrease", arrivalUs } };
  }
  if (doubtful === null || arrivalUs - doubtful.arrivalUs < INFO_PATIENCE_US) {
    return { counted: 0, beganUs: null, evidence };
  }
  const beganUs = doubtful.arrivalUs;
  return { counted: doubts, beganUs, evidence: { kind: "decrease", arrivalUs: beganUs } };
}

function announced(
  evidence: RestartEvidence & { readonly kind: "announced" },
  { decreased, arrivalUs, intervalUs }: SampleSigns,
): RestartVerdict {
  const beganUs = decreased ? arrivalUs : null;
  const count = decreased ? evidence.count - 1 : evidence.count;
  if (count === 0) return { counted: 0, beganUs, evidence: NO_EVIDENCE };
  // Samples measured before the restart may arrive after the info: one under way, or a queue after a stall. All of
  // them arrive within one interval of asking, or in the burst of the first sample after it.
  const untilUs =
    evidence.untilUs ?? Math.max(evidence.askedAtUs + intervalUs * 1.5, arrivalUs + intervalUs / 2);
  return { counted: 0, beganUs, evidence: { ...evidence, count, untilUs } };
}

/**
 * What unikernel info says about restarts. `changed`: its `started` differs from that of the info before. Doubtful
 * decreases are settled by an info asked for after them: restarts if `started` has changed, else so many are `denied`.
 */
export function judgeInfo(
  evidence: RestartEvidence,
  changed: boolean,
  askedAtUs: number,
): RestartVerdict & { readonly denied: number } {
  const asBefore = { counted: 0, beganUs: null, evidence, denied: 0 };
  const settled = { ...asBefore, evidence: NO_EVIDENCE };
  switch (evidence.kind) {
    case "none":
    case "announced": {
      if (!changed) return asBefore;
      const count = evidence.kind === "none" ? 1 : evidence.count + 1;
      return { ...asBefore, counted: 1, evidence: { kind: "announced", count, askedAtUs, untilUs: null } };
    }
    case "doubtful": {
      const { count, arrivalUs } = evidence;
      if (changed) return { ...settled, counted: count, beganUs: arrivalUs };
      return askedAtUs > arrivalUs ? { ...settled, denied: count } : asBefore;
    }
    case "decrease":
      // An info asked for after the decrease knows of that restart: a change that only a later one shows is another.
      return changed || askedAtUs > evidence.arrivalUs ? settled : asBefore;
  }
}
