/**
 * A restart shows twice: counters go down in a sample, and `started` changes in unikernel info. Either may come first,
 * either may be missing (no info on this host; counters that overtook their old values between two samples), and counters
 * also go down by themselves: FreeBSD's CPU time by milliseconds. What is kept here is what one side has told and the
 * other has not confirmed yet, so that each restart is counted once.
 */
export type RestartEvidence =
  | { readonly kind: "none" }
  /** not counted: the next info asked for after the last of so many decreases tells whether they were restarts */
  | { readonly kind: "doubtful"; readonly count: number; readonly arrivalUs: number }
  /** counted from a decrease, at this arrival; no info asked for later has been compared with it */
  | { readonly kind: "decrease"; readonly arrivalUs: number }
  /** counted from info; the decrease may still come */
  | {
      readonly kind: "announced";
      readonly count: number;
      /** when the info was asked for */
      readonly askedAtUs: number;
      /** a decrease that arrives later is another restart; null until a sample has arrived */
      readonly untilUs: number | null;
    };

export interface RestartVerdict {
  /** so many more restarts */
  readonly counted: number;
  readonly evidence: RestartEvidence;
}

export const NO_EVIDENCE: RestartEvidence = { kind: "none" };

/** What tells how a sample is to be judged. */
export interface SampleSigns {
  /** its counters are below those of the sample before */
  readonly decreased: boolean;
  /** what the decrease was is for the next info to tell: it may be no restart */
  readonly isDoubtful: boolean;
  readonly arrivalUs: number;
  readonly intervalUs: number;
  /** how long info may be silent before a decrease is a restart without it */
  readonly patienceUs: number;
}

/** What a sample says about restarts. */
export function judgeSample(evidence: RestartEvidence, sample: SampleSigns): RestartVerdict {
  const { decreased, arrivalUs } = sample;
  if (evidence.kind === "announced") {
    if (evidence.untilUs === null || arrivalUs <= evidence.untilUs) return announced(evidence, sample);
    return judgeSample(NO_EVIDENCE, sample);
  }
  const doubtful = evidence.kind === "doubtful" ? evidence : null;
  if (decreased && sample.isDoubtful) {
    return { counted: 0, evidence: { kind: "doubtful", count: (doubtful?.count ?? 0) + 1, arrivalUs } };
  }
  if (decreased) {
    return { counted: (doubtful?.count ?? 0) + 1, evidence: { kind: "decrease", arrivalUs } };
  }
  if (doubtful === null || arrivalUs - doubtful.arrivalUs < sample.patienceUs)
    return { counted: 0, evidence };
  return { counted: doubtful.count, evidence: { kind: "decrease", arrivalUs: doubtful.arrivalUs } };
}

function announced(
  evidence: RestartEvidence & { readonly kind: "announced" },
  { decreased, arrivalUs, intervalUs }: SampleSigns,
): RestartVerdict {
  const count = decreased ? evidence.count - 1 : evidence.count;
  if (count === 0) return { counted: 0, evidence: NO_EVIDENCE };
  // Samples measured before the restart may arrive after the info: one under way, or a queue after a stall. All of
  // them arrive within one interval of asking, or in the burst of the first sample after it.
  const untilUs =
    evidence.untilUs ?? Math.max(evidence.askedAtUs + intervalUs * 1.5, arrivalUs + intervalUs / 2);
  return { counted: 0, evidence: { ...evidence, count, untilUs } };
}

/**
 * What unikernel info says about restarts. `changed`: its `started` differs from that of the info before. Doubtful
 * decreases are settled by an info asked for after them: restarts if `started` has changed, else `denied`.
 */
export function judgeInfo(
  evidence: RestartEvidence,
  changed: boolean,
  askedAtUs: number,
): RestartVerdict & { readonly denied: boolean } {
  switch (evidence.kind) {
    case "none":
    case "announced": {
      if (!changed) return { counted: 0, evidence, denied: false };
      const count = evidence.kind === "none" ? 1 : evidence.count + 1;
      return { counted: 1, evidence: { kind: "announced", count, askedAtUs, untilUs: null }, denied: false };
    }
    case "doubtful":
      if (changed) return { counted: evidence.count, evidence: NO_EVIDENCE, denied: false };
      if (askedAtUs <= evidence.arrivalUs) return { counted: 0, evidence, denied: false };
      return { counted: 0, evidence: NO_EVIDENCE, denied: true };
    case "decrease": {
      // An info asked for after the decrease knows of that restart: a change that only a later one shows is another.
      const confirmed = changed || askedAtUs > evidence.arrivalUs;
      return { counted: 0, evidence: confirmed ? NO_EVIDENCE : evidence, denied: false };
    }
  }
}
