/**
 * A restart shows twice: counters go down in a sample, and `started` changes in unikernel info. Either may come first,
 * either may be missing (no info on this host; counters that overtook their old values between two samples). What is kept
 * here is what one side has told and the other has not confirmed yet, so that each restart is counted once.
 */
export type RestartEvidence =
  | { readonly kind: "none" }
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
  /** one more restart */
  readonly counted: boolean;
  readonly evidence: RestartEvidence;
}

export const NO_EVIDENCE: RestartEvidence = { kind: "none" };

/** What a sample says about restarts. `decreased`: its counters are below those of the sample before. */
export function judgeSample(
  evidence: RestartEvidence,
  decreased: boolean,
  arrivalUs: number,
  intervalUs: number,
): RestartVerdict {
  const isExpected =
    evidence.kind === "announced" && (evidence.untilUs === null || arrivalUs <= evidence.untilUs);
  if (!isExpected) {
    if (decreased) return { counted: true, evidence: { kind: "decrease", arrivalUs } };
    return { counted: false, evidence: evidence.kind === "announced" ? NO_EVIDENCE : evidence };
  }

  const count = decreased ? evidence.count - 1 : evidence.count;
  if (count === 0) return { counted: false, evidence: NO_EVIDENCE };
  // Samples measured before the restart may arrive after the info: one under way, or a queue after a stall. All of
  // them arrive within one interval of asking, or in the burst of the first sample after it.
  const untilUs =
    evidence.untilUs ?? Math.max(evidence.askedAtUs + intervalUs * 1.5, arrivalUs + intervalUs / 2);
  return { counted: false, evidence: { ...evidence, count, untilUs } };
}

/** What unikernel info says about restarts. `changed`: its `started` differs from that of the info before. */
export function judgeInfo(evidence: RestartEvidence, changed: boolean, askedAtUs: number): RestartVerdict {
  switch (evidence.kind) {
    case "none":
      if (!changed) return { counted: false, evidence };
      return { counted: true, evidence: { kind: "announced", count: 1, askedAtUs, untilUs: null } };
    case "announced":
      if (!changed) return { counted: false, evidence };
      return {
        counted: true,
        evidence: { kind: "announced", count: evidence.count + 1, askedAtUs, untilUs: null },
      };
    case "decrease": {
      // An info asked for after the decrease knows of that restart: a change that only a later one shows is another.
      const confirmed = changed || askedAtUs > evidence.arrivalUs;
      return { counted: false, evidence: confirmed ? NO_EVIDENCE : evidence };
    }
  }
}
