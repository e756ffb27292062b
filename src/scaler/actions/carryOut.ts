/** What is done for one action, from its plan to what came of it. */
import { type Outcome, replyTimeoutMs, type Sending } from "../../client/acting.ts";
import type { UnikernelInfo } from "../../wire/messages.ts";
import { parseName } from "../../wire/names.ts";
import type { Action } from "./action.ts";
import {
  bridgesOf,
  type CreatePlan,
  type DestroyPlan,
  identityOf,
  isSame,
  pinnedVms,
  planCreate,
  planDestroy,
} from "./plan.ts";
import type { ActionRecord, Ending } from "./record.ts";

/** `done`: albatrossd has done it. Null: it is to be settled when the program runs again. */
export type Carried = Ending | "done" | null;

/** How long after the reply a created clone has to be heard, and stats intervals more. */
const SAMPLE_MS = 60_000;
const SAMPLE_INTERVALS = 3;
/** Between two infos; one asked for sooner after a lost connection does not count. */
const SETTLE_MS = 5_000;
const INFOS_UNTIL_LOST = 2;
const INFOS_MS = 5 * 60_000;
const STILL_THERE_MS = 60_000;

/** Whether info tells of the unikernel that the action is about. */
export function isListed(
  info: UnikernelInfo | null,
  { operation, digest, startedMs }: ActionRecord,
): boolean {
  if (info === null || digest === null) return false;
  const found = identityOf(info);
  return operation === "create" ? found.digest === digest : isSame(found, { startedMs, digest });
}

/** Plans a create and sends it. */
export async function create(action: Action): Promise<Carried> {
  return settled(action, await action.inTurn(() => planAndSend(action)));
}

/**
 * In one turn of its host: the plan is still good when it is sent, others do not wait behind plans alone, and an image is
 * there for whoever comes next.
 */
async function planAndSend(action: Action): Promise<Sent> {
  const { client, signal, record } = action;
  const first = action.whyNot() ?? (await askAndPlan(action, null));
  if ("outcome" in first) return first;
  const { digest } = first;
  action.note({ digest });
  const maxBytes = action.policy?.clone.maxImageBytes ?? 0;
  const from = parseName(`${record.path}:${record.group}`);
  const opened = await action.executor.images.open({ from, digest, maxBytes, signal }, client);
  if (opened.type === "failure" && opened.reason === "changed") {
    return { outcome: "refused", reason: "changed", text: opened.text };
  }
  if (opened.type !== "success") return notAsked(opened);
  const { file, image, isKept } = opened.value;
  try {
    // an image takes its time to come
    const plan = isKept ? first : (action.whyNot() ?? (await askAndPlan(action, digest)));
    if ("outcome" in plan) return plan;
    return await send(action, replyTimeoutMs(image.bytes), (sending) =>
      client.create(plan.name, plan.unikernel, file, image, sending),
    );
  } finally {
    await file.close();
  }
}

async function askAndPlan(action: Action, digestBefore: string | null): Promise<CreatePlan | Ending> {
  const { client, host, signal, record } = action;
  const { path, group, cloneId } = record;
  const forbidden = notAllowed(action);
  if (forbidden !== null) return forbidden;
  const primary = await client.info(parseName(`${path}:${group}`), signal);
  if (primary.type !== "success") return notAsked(primary);
  const policy = await client.policy(pathOf(record), signal);
  if (policy.type !== "success") return notAsked(policy);
  const clone = await client.info(action.name, signal);
  if (clone.type !== "success") return notAsked(clone);
  const settings = action.policy?.clone;
  if (settings === undefined) return { outcome: "abandoned", reason: "no_policy", text: "no policy matches" };
  return planCreate({
    path,
    group,
    cloneId,
    settings,
    subscribe: host.subscribe,
    primary: primary.value,
    clone: clone.value,
    policy: policy.value,
    pinned: pinnedVms(action.hostVms.flatMap(({ info }) => info ?? [])),
    digestBefore,
  });
}

/** Plans a destroy, tells its hook, and sends it. */
export async function destroy(action: Action): Promise<Carried> {
  const { client, name, signal } = action;
  const look = async (before?: DestroyPlan): Promise<DestroyPlan | Ending> => {
    const why = action.whyNot() ?? notAllowed(action);
    if (why !== null) return why;
    const victim = await client.info(name, signal);
    return victim.type === "success" ? planDestroy(name, victim.value, before?.identity) : notAsked(victim);
  };
  const plan = await action.inTurn(() => look());
  if ("outcome" in plan) return plan;
  action.note(plan.identity);
  const refused = await tellBefore(action, plan);
  if (refused !== null) return refused;
  const lookAgain = async () => {
    const again = await look(plan);
    return "outcome" in again ? again : null;
  };
  const sent = await action.inTurn(async () => {
    const request = (sending: Sending) => client.destroy(name, sending);
    return (await lookAgain()) ?? send(action, replyTimeoutMs(), request, lookAgain);
  });
  return settled(action, sent);
}

/** Why the clone is not to go, as its hook has it. */
async function tellBefore(action: Action, { bridges }: DestroyPlan): Promise<Ending | null> {
  const hook = action.policy?.clone.beforeDestroy;
  if (hook === null || hook === undefined) return null;
  const why = action.whyNot();
  if (why !== null) return why;
  // on the disk, so that whoever is told of the end is told if it does not come
  action.note({ hooked: true });
  if (!(await action.executor.save())) {
    return { outcome: "failed", reason: "record", text: "the record of actions cannot be written" };
  }
  const refusal = await action.hook("before_destroy", bridges);
  if (refusal !== null) return { outcome: "failed", reason: "hook", text: refusal };
  await action.sleep(hook.waitMs);
  return null;
}

/** The same, and where it is not known what came of the request. */
type Sent = Ending | "done" | Extract<Outcome<never>, { type: "unknown" }>;

/** Sends a request once. `lookAgain` looks a last time, with the connection open. */
async function send(
  action: Action,
  replyMs: number,
  request: (sending: Sending) => Promise<Outcome<string>>,
  lookAgain: () => Promise<Ending | null> = async () => null,
): Promise<Sent> {
  const { clock, signal } = action;
  let why: Ending | null = null;
  const outcome = await request({
    beforeFirstByte: async () => {
      why = (await action.sent(clock.wallMs() + replyMs)) ?? (await lookAgain());
      if (why !== null) throw new Error(why.text);
    },
    signal,
  });
  if (why !== null) return why;
  switch (outcome.type) {
    case "success":
      return "done";
    case "failure":
      if (outcome.reason === "refused") return { outcome: "failed", reason: "unsent", text: outcome.text };
      return { outcome: "failed", reason: outcome.reason, text: outcome.text };
    case "unknown":
      return outcome;
  }
}

/** What came of a request. The host's other requests do not wait for it. */
async function settled(action: Action, sent: Sent): Promise<Carried> {
  if (sent === "done" || !("type" in sent)) return sent;
  return sent.why === "stopped" ? null : settle(action, sent.why, sent.text);
}

type Lost = Extract<Ending, { outcome: "lost" }>["reason"];

/** What came of a request whose reply is not known, as infos tell. */
export function settle(action: Action, why: Lost, text: string): Promise<Carried> {
  action.note({ deadlineMs: action.clock.wallMs() + INFOS_MS });
  let infos = 0;
  const judge = async (isAsAsked: boolean, askedMs: number): Promise<Carried> => {
    if (isAsAsked) return "done";
    if (askedMs >= SETTLE_MS) infos += 1;
    return infos >= INFOS_UNTIL_LOST ? { outcome: "lost", reason: why, text } : null;
  };
  return told(action, judge, `${text}; albatrossd could not be asked since`);
}

/** Whether what albatrossd says to have done can be seen. */
export async function verify(action: Action): Promise<Ending | null> {
  const { clock, record } = action;
  const isCreate = record.operation === "create";
  if (isCreate) {
    const untilMs = clock.wallMs() + SAMPLE_MS + SAMPLE_INTERVALS * action.intervalMs;
    action.note({ deadlineMs: untilMs });
    const isHeard = await action.isHeard(untilMs);
    if (action.signal.aborted) return null;
    if (!isHeard) {
      return { outcome: "failed", reason: "no_sample", text: "it was created, and no statistics of it came" };
    }
  } else if (record.deadlineMs !== null) action.note({ deadlineMs: clock.wallMs() + INFOS_MS });
  const judge = async (
    isAsAsked: boolean,
    askedMs: number,
    info: UnikernelInfo | null,
  ): Promise<Ending | null> => {
    if (isAsAsked) {
      const why = isCreate && info !== null ? await action.hook("after_create", bridgesOf(info)) : null;
      return { outcome: "verified", reason: "done", text: why ?? "" };
    }
    if (isCreate) {
      return { outcome: "failed", reason: "gone", text: "it was created, and is not listed any more" };
    }
    const text = "albatrossd destroyed it, and lists it still";
    return askedMs >= STILL_THERE_MS ? { outcome: "failed", reason: "still_there", text } : null;
  };
  return told(action, judge, "albatrossd could not be asked whether it is so");
}

/** What `judge` makes of infos, asked for until it is not null; null where the program ends. */
async function told<T extends Carried>(
  action: Action,
  judge: (isAsAsked: boolean, askedMs: number, info: UnikernelInfo | null) => Promise<T>,
  lost: string,
): Promise<T | Ending | null> {
  const { clock } = action;
  const beganUs = clock.nowUs();
  const sinceMs = () => (clock.nowUs() - beganUs) / 1000;
  for (;;) {
    const askedMs = sinceMs();
    const info = await action.info();
    if (action.signal.aborted) return null;
    if (info.type === "success") {
      const { record } = action;
      const isAsAsked = isListed(info.value, record) === (record.operation === "create");
      const judged = await judge(isAsAsked, askedMs, info.value);
      if (judged !== null) return judged;
    }
    if (sinceMs() >= INFOS_MS) return { outcome: "lost", reason: "no_info", text: lost };
    await action.sleep(SETTLE_MS);
  }
}

/** What the certificates for a host that is reached by TLS do not allow. */
function notAllowed({ host, record }: Action): Ending | null {
  const found = host.endpoint.whyNotActing(pathOf(record));
  return found && { outcome: "refused", ...found };
}

function pathOf({ path }: ActionRecord): readonly string[] {
  return path === "" ? [] : path.split(":");
}

/** Nothing was sent where this is not known. */
function notAsked(outcome: Exclude<Outcome<unknown>, { type: "success" }>): Ending {
  const { text } = outcome;
  if (outcome.type === "unknown" || outcome.reason === "refused" || outcome.reason === "unsent") {
    return { outcome: "failed", reason: "unreachable", text };
  }
  return { outcome: "failed", reason: outcome.reason, text };
}
