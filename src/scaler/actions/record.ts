/** What is being carried out, on the disk, so that nothing is sent twice. */
import { z } from "zod";
import { FAILURE_REASONS, type FailureReason, UNKNOWN_REASONS } from "../../client/acting.ts";
import type { Clock } from "../../clock.ts";
import type { ActionChange } from "../rules/actionChanges.ts";
import {
  cloneId,
  label,
  OPEN_PHASES,
  OUTCOMES,
  type Outstanding,
  outstandingSchema,
  type Phase,
  wallMs,
} from "../rules/types.ts";
import { inSnakeCase, parseVersions } from "../state/savedState.ts";

const VERSION = 1;

type Told = Exclude<FailureReason, "refused">;

/** How an action can end, and why. */
export const OUTCOME_REASONS = {
  verified: [
    "done",
    "already_gone", // the victim was not there any more, and nothing was sent
  ],
  /** by the plan or by a later look: nothing was sent */
  refused: ["not_cloneable", "reserved", "exists", "changed", "no_primary", "path", "read_only"],
  failed: [
    ...FAILURE_REASONS.filter((reason): reason is Told => reason !== "refused"),
    "record", // it or the state cannot be written, so that nothing was sent
    "hook", // `before_destroy` did not say yes
    "no_sample", // a created clone was not heard
    "gone", // a created clone did not outlive its warm-up
    "still_there", // albatrossd says that it has destroyed what it lists
  ],
  /** it may have been done, or not */
  lost: [...UNKNOWN_REASONS, "restart", "no_info"],
  abandoned: [
    "overtaken", // the rules did not want it any more before it was sent
    "dry_run",
    "paused",
    "disabled",
    "no_policy",
    "no_data", // no statistics arrive from the host
    "target", // it is no target any more, or is elsewhere
    "stopped", // the program ended before it was sent
  ],
} as const satisfies Readonly<Record<Outcome, readonly string[]>>;
type Outcome = (typeof OUTCOMES)[number];
type EndingBy<O extends Outcome> = {
  readonly outcome: O;
  readonly reason: (typeof OUTCOME_REASONS)[O][number];
  /** for people: at most 200 characters of albatrossd's, or ours */
  readonly text: string;
};
export type Ending = { [O in Outcome]: EndingBy<O> }[Outcome];

const actionSchema = z.object({
  id: z.string().min(1),
  host: z.string().min(1),
  endpoint: z.string(),
  path: z.string(),
  group: label,
  operation: z.literal(["create", "destroy"]),
  /** the label of the clone that is created or destroyed */
  clone: label,
  cloneId,
  /** of the image, in hex; null while it is not known */
  digest: z.string().max(200).nullable(),
  startedMs: wallMs.nullable(),
  /** what it is for; there are several actions for one that calls for several clones */
  decision: outstandingSchema,
  /** when the victim's id may be given again */
  tombstoneMs: wallMs.nullable(),
  phase: z.literal([...OPEN_PHASES, ...OUTCOMES]),
  /** by then the phase is over, or a created clone's warm-up; null when it is */
  deadlineMs: wallMs.nullable(),
  /** `before_destroy` was called, and nobody has been told yet that the clone stays */
  hooked: z.boolean(),
  endedMs: wallMs.nullable(),
  reason: z.string().nullable(),
  text: z.string(),
});

/** Times are wall times in milliseconds; arguments and images are never in it. */
export type ActionRecord = Readonly<z.output<typeof actionSchema>>;

const fileSchema = z
  .object({ version: z.literal(VERSION), actions: z.array(actionSchema) })
  .transform(({ actions }): readonly ActionRecord[] => actions);

/** Reads the record's text. Throws as `parseState` does. */
export function parseRecord(text: string): readonly ActionRecord[] {
  return parseVersions(text, { [VERSION]: fileSchema });
}

/** Each write of the record has all actions, of which one or two have changed. */
const lineOf = new WeakMap<ActionRecord, string>();

export function recordText(actions: readonly ActionRecord[]): string {
  const lines = actions.map((action) => {
    const line = lineOf.get(action) ?? `\n${JSON.stringify(inSnakeCase(action))}`;
    lineOf.set(action, line);
    return line;
  });
  return `{"version":${VERSION},"actions":[${lines.join(",")}]}\n`;
}

/** Open actions, and those whose end the state file may not have yet. */
export const RECORD_FILE = { what: "record of actions", parse: parseRecord };

/** Whether more can come of it. */
export function isOpen({ phase }: Pick<ActionRecord, "phase">): boolean {
  return (OPEN_PHASES as readonly Phase[]).includes(phase);
}

/** What tells ends from each other, first what differs most: each that ends is compared with all on record. */
const END = ["clone", "host", "path", "operation", "phase", "reason"] as const;

/** Whether an action has ended as one before it: the record need not have both. */
export function isEndAgain(action: ActionRecord, before: ActionRecord): boolean {
  return action.id !== before.id && !before.hooked && END.every((key) => action[key] === before[key]);
}

/** An action as `/api/v1/actions` and the decision log show it. */
export type ActionJson = ReturnType<typeof actionJson>;

export function actionJson(action: ActionRecord) {
  const { id, host, path, group, operation, clone, phase, reason, text, decision, deadlineMs } = action;
  const time = (ms: number | null) => (ms === null ? null : new Date(Math.round(ms)).toISOString());
  return {
    /** RFC 3339: when it ended; while it is open when it was decided */
    time: time(action.endedMs ?? decision.sinceMs),
    id,
    host,
    path,
    group,
    operation,
    clone,
    phase,
    outcome: isOpen(action) ? null : phase,
    reason,
    text,
    decision_time: time(decision.sinceMs),
    deadline: time(isOpen(action) ? deadlineMs : null),
  };
}

/** What an action means to its group, on the clock of the group's state and of `decision`. */
export function changeOf(
  action: ActionRecord,
  clock: Pick<Clock, "nowUs" | "wallMs">,
  decision: Outstanding | null = null,
  more = false,
): ActionChange {
  const [nowMs, wallMs] = [clock.nowUs() / 1000, clock.wallMs()];
  const past = (ms: number) => Math.floor(nowMs - Math.max(0, wallMs - ms));
  const { phase, decision: recorded, cloneId, tombstoneMs, endedMs, deadlineMs } = action;
  return {
    phase,
    decision: decision ?? { ...recorded, sinceMs: past(recorded.sinceMs) },
    cloneId,
    tombstoneMs: tombstoneMs === null ? null : Math.floor(nowMs) + tombstoneMs - wallMs,
    more,
    isOnTrial: deadlineMs !== null,
    atMs: past(endedMs ?? recorded.sinceMs),
  };
}
