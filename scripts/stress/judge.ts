/** What must hold of a run, judged from albatrossd's own list of requests, the decision log and the metrics. */
import type { ActionJson } from "../../src/scaler/actions/record.ts";
import type { ReceivedRequest } from "../../src/simulator/vmmDaemon.ts";

/** All that is known of a run when it has ended. */
export interface Evidence {
  /** in the order in which albatrossd has received them; nobody else sends any */
  readonly requests: readonly ReceivedRequest[];
  /** the decision log's lines about actions, in order */
  readonly actions: readonly ActionJson[];
  /** the last exposition of a program that ran from the beginning; null where it was killed in between */
  readonly exposition: string | null;
  /** lines of the program's log at level error or above, and what was no event */
  readonly complaints: readonly string[];
  /** names of the clones that may be created and destroyed */
  readonly isClone: (name: string) => boolean;
  /** of those the ones that may be destroyed whoever created them */
  readonly isAdopted: (name: string) => boolean;
}

/** Commands that change something; the others are questions. */
const QUESTIONS = ["info", "policy_info", "get"];
/** Wall times are told in whole milliseconds. */
const ROUNDING_MS = 1;

/** What is wrong, a sentence each; none where all is as it must be. */
export function judge(evidence: Evidence): readonly string[] {
  return [
    ...onlyClones(evidence),
    ...oncePerAction(evidence),
    ...theOneMeant(evidence),
    ...counted(evidence),
    ...evidence.complaints.map((line) => `complains: ${line}`),
  ];
}

function* onlyClones({ requests, isClone }: Evidence): Generator<string> {
  for (const { command, name, time } of requests) {
    if (QUESTIONS.includes(command)) continue;
    if (command !== "create" && command !== "destroy") yield `${time} sends ${command} ${name}`;
    else if (!isClone(name)) yield `${time} sends ${command} ${name}, which is no clone of a group that acts`;
  }
}

/** Each create and destroy belongs to one action, and no other belongs to that one. */
function* oncePerAction({ requests, actions }: Evidence): Generator<string> {
  const spans = spansOf(actions);
  const used = new Map<string, string>();
  for (const { command, name, time } of requests) {
    if (command !== "create" && command !== "destroy") continue;
    const atMs = Date.parse(time);
    const [span, ...others] = spans.filter(
      (one) =>
        one.what === `${command} ${name}` &&
        atMs >= one.fromMs - ROUNDING_MS &&
        atMs <= one.untilMs + ROUNDING_MS,
    );
    if (span === undefined) yield `${time} ${command} ${name} belongs to no action`;
    else if (others.length > 0) yield `${time} ${command} ${name} belongs to several actions`;
    else if (used.has(span.id))
      yield `${command} ${name} was sent at ${used.get(span.id)} and ${time} for ${span.id}`;
    else if (span.isUnsent)
      yield `${time} ${command} ${name} was sent for ${span.id}, which says that nothing was`;
    if (span !== undefined) used.set(span.id, time);
  }
}

/** Endings of which the log says that nothing was sent. */
const UNSENT = ["refused", "abandoned"];

function spansOf(actions: readonly ActionJson[]) {
  const byId = new Map<string, ActionJson[]>();
  for (const action of actions) byId.set(action.id, [...(byId.get(action.id) ?? []), action]);
  return Array.from(byId, ([id, lines]) => {
    const [first] = lines as [ActionJson];
    return {
      id,
      what: `${first.operation} ${first.path}:${first.clone}`,
      fromMs: Date.parse(first.decision_time ?? ""),
      untilMs: Math.max(...lines.map(({ time }) => Date.parse(time ?? ""))),
      isUnsent: UNSENT.includes(first.outcome ?? "") && first.reason !== "target",
    };
  });
}

/** What a destroy ends is what the last question about it found, and was created at the program's word before. */
function* theOneMeant({ requests, isAdopted }: Evidence): Generator<string> {
  const seen = new Map<string, string>();
  const created = new Set<string>();
  for (const { command, name, digest, started, time, outcome } of requests) {
    const identity = `${started} ${digest}`;
    if (command === "info" && outcome === "success") seen.set(name, identity);
    if (command === "create" && outcome === "success") created.add(name);
    if (command !== "destroy" || started === null) continue;
    if (seen.get(name) !== identity) {
      yield `${time} destroys another ${name} than it saw: ${identity}, saw ${seen.get(name)}`;
    }
    if (!created.has(name) && !isAdopted(name)) yield `${time} destroys ${name}, which it never created`;
  }
}

/** The counters say what the log says. */
function* counted({ exposition, actions }: Evidence): Generator<string> {
  if (exposition === null) return;
  const told = tally(
    actions.map(({ path, group, operation, outcome, reason }) =>
      JSON.stringify([path, group, operation, outcome, reason]),
    ),
  );
  const metered = new Map<string, number>();
  for (const [, labels = "", value] of exposition.matchAll(
    /^albatross_scaler_actions_total\{(.*)\} (\d+)$/gm,
  )) {
    if (Number(value) === 0) continue;
    const label = (name: string) => new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1];
    const key = ["path", "group", "operation", "outcome", "reason"].map(label);
    metered.set(JSON.stringify(key), Number(value));
  }
  for (const key of new Set([...told.keys(), ...metered.keys()])) {
    if (told.get(key) !== metered.get(key)) {
      yield `${key}: ${told.get(key) ?? 0} in the decision log, ${metered.get(key) ?? 0} in /metrics`;
    }
  }
}

export function tally(keys: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}
