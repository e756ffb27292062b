/** What is done for one action, from its plan to what came of it. */
import type { ActingClient, Outcome, Sending } from "../../client/acting.ts";
import type { Clock } from "../../clock.ts";
import type { UnikernelInfo } from "../../wire/messages.ts";
import { type Name, parseName } from "../../wire/names.ts";
import type { GroupPolicy } from "../rules/types.ts";
import type { ActingHost } from "./executor.ts";
import type { HookEvent } from "./hooks.ts";
import type { ImageCache, OpenImage } from "./images.ts";
import {
  bridgesOf,
  type CloneBridge,
  type CreatePlan,
  identityOf,
  isSame,
  planCreate,
  planDestroy,
} from "./plan.ts";
import type { ActionRecord, Ending } from "./record.ts";

/** An action, and what carrying it out takes. */
export interface CarryingOut {
  /** as it stands on record now */
  readonly action: () => ActionRecord;
  readonly host: ActingHost;
  readonly policy: () => GroupPolicy | null;
  readonly client: ActingClient;
  readonly images: ImageCache;
  readonly clock: Clock;
  /** aborted when nothing more is to be done */
  readonly signal: AbortSignal;
  /** The host's requests one after the other; `work` never rejects. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  /** Why nothing may be sent now; null where all still holds. */
  readonly whyNot: () => Ending | null;
  /** Puts facts on record, to be written later. */
  readonly note: (facts: Partial<ActionRecord>) => void;
  /** Resolves to whether all that is on record is on the disk. */
  readonly recorded: () => Promise<boolean>;
  /** To be awaited before the first byte: puts `sent` on the disk. Resolves to why nothing may be sent; null to go on. */
  readonly sent: (deadlineMs: number) => Promise<Ending | null>;
  /** Resolves to whether a sample of the action's clone comes until then (wall time). */
  readonly sample: (untilMs: number) => Promise<boolean>;
  /** Tells a hook of the clone. Resolves to why it did not say yes; null where it did, or there is none. */
  readonly hook: (event: HookEvent, bridges: readonly CloneBridge[]) => Promise<string | null>;
}

/** `done`: albatrossd has done it. Null: it has been sent, and is to be settled when the program runs again. */
type Carried = Ending | "done" | null;

/** Beside the reply's timeout for an image. */
const REPLY_MS = 30_000;
const REPLY_MS_PER_MIB = 2_000;
const MIB = 2 ** 20;
/** How long after the reply a created clone has to be heard, and how many stats intervals more. */
const SAMPLE_MS = 60_000;
const SAMPLE_INTERVALS = 3;
/** Between two infos; only those asked for so long after a connection ended say that nothing came of it. */
const SETTLE_MS = 5_000;
const INFOS_UNTIL_LOST = 2;
const INFOS_MS = 5 * 60_000;
const STILL_THERE_MS = 60_000;

/** The name of the clone that an action is about. */
export function cloneOf({ path, clone }: Pick<ActionRecord, "path" | "clone">): Name {
  return parseName(`${path}:${clone}`);
}

/** Whether info tells of the unikernel that the action has created, or means to destroy. */
export function isListed(
  info: UnikernelInfo | null,
  { operation, digest, startedMs }: ActionRecord,
): boolean {
  if (info === null || digest === null) return false;
  const found = identityOf(info);
  return operation === "create" ? found.digest === digest : isSame(found, { startedMs, digest });
}

/** Plans a create and sends it. */
export async function create(carrying: CarryingOut): Promise<Carried> {
  const { client, images, signal, inTurn, note } = carrying;
  const { path, group } = carrying.action();
  const plan = carrying.whyNot() ?? (await inTurn(() => askAndPlan(carrying)));
  if (!("type" in plan)) return plan;
  note({ digest: plan.digest });
  const get: ActingClient["get"] = (...wanted) => inTurn(() => client.get(...wanted));
  const maxBytes = carrying.policy()?.clone.maxImageBytes ?? 0;
  const from = parseName(`${path}:${group}`);
  const opened = await images.open({ from, digest: plan.digest, maxBytes, signal }, { get });
  if (opened.type === "failure" && opened.reason === "changed") {
    return { outcome: "refused", reason: "changed", text: opened.text };
  }
  if (opened.type !== "success") return notAsked(opened);
  try {
    return await settled(carrying, await inTurn(() => sendCreate(carrying, plan, opened.value)));
  } finally {
    await opened.value.file.close();
  }
}

type Create = Extract<CreatePlan, { type: "create" }>;

/** The last look, and the request itself. */
async function sendCreate(carrying: CarryingOut, before: Create, { file, image }: OpenImage): Promise<Sent> {
  const plan = carrying.whyNot() ?? (await askAndPlan(carrying, before.digest));
  if (!("type" in plan)) return plan;
  const replyMs = REPLY_MS + Math.ceil((image.bytes / MIB) * REPLY_MS_PER_MIB);
  return send(carrying, replyMs, (sending) =>
    carrying.client.create(plan.name, plan.unikernel, file, image, sending),
  );
}

async function askAndPlan(carrying: CarryingOut, digestBefore?: string): Promise<Create | Ending> {
  const { client, host, signal } = carrying;
  const action = carrying.action();
  const { path, group, cloneId } = action;
  const forbidden = notAllowed(carrying);
  if (forbidden !== null) return forbidden;
  const primary = await client.info(parseName(`${path}:${group}`), signal);
  if (primary.type !== "success") return notAsked(primary);
  const policy = await client.policy(path === "" ? [] : path.split(":"), signal);
  if (policy.type !== "success") return notAsked(policy);
  const clone = await client.info(cloneOf(action), signal);
  if (clone.type !== "success") return notAsked(clone);
  const settings = carrying.policy()?.clone;
  if (settings === undefined) return { outcome: "abandoned", reason: "no_policy", text: "no policy matches" };
  const plan = planCreate({
    path,
    group,
    cloneId,
    settings,
    subscribe: host.subscribe,
    primary: primary.value,
    clone: clone.value,
    policy: policy.value,
    pinned: host.pinned(),
    ...(digestBefore === undefined ? {} : { digestBefore }),
  });
  return plan.type === "create" ? plan : { outcome: "refused", reason: plan.reason, text: plan.text };
}

/** Plans a destroy, tells its hook, and sends it. */
export async function destroy(carrying: CarryingOut): Promise<Carried> {
  const { client, signal, inTurn, note, whyNot } = carrying;
  const { path, clone } = carrying.action();
  const victim =
    whyNot() ?? notAllowed(carrying) ?? (await inTurn(() => client.info(cloneOf({ path, clone }), signal)));
  if ("outcome" in victim) return victim;
  if (victim.type !== "success") return notAsked(victim);
  const plan = planDestroy({ path, clone, victim: victim.value });
  if (plan.type === "done") return ALREADY_GONE;
  if (plan.type === "refused") return { outcome: "refused", reason: plan.reason, text: plan.text };
  note({ digest: plan.identity.digest, startedMs: plan.identity.startedMs });
  const refused = await tellBefore(carrying, plan.bridges);
  if (refused !== null) return refused;
  const lookAgain = async (): Promise<Ending | null> => {
    const again = whyNot() ?? (await client.info(plan.name, signal));
    if ("outcome" in again) return again;
    if (again.type !== "success") return notAsked(again);
    const confirmed = planDestroy({ path, clone, victim: again.value, before: plan.identity });
    if (confirmed.type === "done") return ALREADY_GONE;
    return confirmed.type === "destroy"
      ? null
      : { outcome: "refused", reason: confirmed.reason, text: confirmed.text };
  };
  const sent = await inTurn(async () => {
    const request = (sending: Sending) => client.destroy(plan.name, sending);
    return (await lookAgain()) ?? send(carrying, REPLY_MS, request, lookAgain);
  });
  return settled(carrying, sent);
}

const ALREADY_GONE: Ending = {
  outcome: "verified",
  reason: "already_gone",
  text: "it was not there any more: nothing was sent",
};

/** Why the clone is not to go, as its hook has it; null where nothing speaks against it. */
async function tellBefore(carrying: CarryingOut, bridges: readonly CloneBridge[]): Promise<Ending | null> {
  const hook = carrying.policy()?.clone.beforeDestroy;
  if (hook === null || hook === undefined) return null;
  const why = carrying.whyNot();
  if (why !== null) return why;
  // on the disk, so that whoever is told of the end is told if it does not come
  carrying.note({ hooked: true });
  if (!(await carrying.recorded())) {
    return { outcome: "failed", reason: "record", text: "the record of actions cannot be written" };
  }
  const refusal = await carrying.hook("before_destroy", bridges);
  if (refusal !== null) return { outcome: "failed", reason: "hook", text: refusal };
  await sleep(carrying, hook.waitMs);
  return null;
}

/** The same, and where it is not known what came of the request. */
type Sent = Ending | "done" | Extract<Outcome<never>, { type: "unknown" }>;

/**
 * Sends a request once. `lookAgain` looks a last time when all is written and the connection open: nothing but the request
 * follows it.
 */
async function send(
  carrying: CarryingOut,
  replyMs: number,
  request: (sending: Sending) => Promise<Outcome<string>>,
  lookAgain: () => Promise<Ending | null> = async () => null,
): Promise<Sent> {
  const { clock, signal } = carrying;
  let why: Ending | null = null;
  const outcome = await request({
    beforeFirstByte: async () => {
      why = (await carrying.sent(clock.wallMs() + replyMs)) ?? (await lookAgain());
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
async function settled(carrying: CarryingOut, sent: Sent): Promise<Carried> {
  if (sent === "done" || !("type" in sent)) return sent;
  return sent.why === "stopped" ? null : settle(carrying, sent.why, sent.text);
}

type Lost = Extract<Ending, { outcome: "lost" }>["reason"];

/** What came of a request whose reply is not known, as infos tell: asked for again and again, never sent again. */
export async function settle(carrying: CarryingOut, why: Lost, text: string): Promise<Carried> {
  const { clock } = carrying;
  const endUs = clock.nowUs();
  carrying.note({ deadlineMs: clock.wallMs() + INFOS_MS });
  let infos = 0;
  for (;;) {
    const askedUs = clock.nowUs();
    const info = await ask(carrying);
    if (carrying.signal.aborted) return null;
    const action = carrying.action();
    if (info.type === "success") {
      if (isListed(info.value, action) === (action.operation === "create")) return "done";
      if (askedUs - endUs >= SETTLE_MS * 1000) infos += 1;
      if (infos >= INFOS_UNTIL_LOST) return { outcome: "lost", reason: why, text };
    }
    if (clock.nowUs() - endUs >= INFOS_MS * 1000) {
      return { outcome: "lost", reason: "no_info", text: `${text}; albatrossd could not be asked since` };
    }
    await sleep(carrying, SETTLE_MS);
  }
}

/** Whether what albatrossd says to have done can be seen. */
export async function verify(carrying: CarryingOut): Promise<Ending | null> {
  const { clock, host, signal } = carrying;
  const { operation, deadlineMs } = carrying.action();
  if (operation === "create") {
    const untilMs = clock.wallMs() + SAMPLE_MS + SAMPLE_INTERVALS * host.intervalMs();
    carrying.note({ deadlineMs: untilMs });
    const isHeard = await carrying.sample(untilMs);
    if (signal.aborted) return null;
    if (!isHeard) {
      return { outcome: "failed", reason: "no_sample", text: "it was created, and no statistics of it came" };
    }
  } else if (deadlineMs !== null) carrying.note({ deadlineMs: clock.wallMs() + INFOS_MS });
  return seen(carrying);
}

async function seen(carrying: CarryingOut): Promise<Ending | null> {
  const { clock, signal } = carrying;
  const beganUs = clock.nowUs();
  for (;;) {
    const info = await ask(carrying);
    if (signal.aborted) return null;
    const action = carrying.action();
    const isThere = info.type === "success" && isListed(info.value, action);
    const sinceMs = (clock.nowUs() - beganUs) / 1000;
    if (info.type === "success" && isThere === (action.operation === "create")) {
      const told = info.value !== null && isThere;
      const why = told ? await carrying.hook("after_create", bridgesOf(info.value)) : null;
      return { outcome: "verified", reason: "done", text: why ?? "" };
    }
    if (info.type === "success" && action.operation === "create") {
      return { outcome: "failed", reason: "gone", text: "it was created, and is not listed any more" };
    }
    if (info.type === "success" && sinceMs >= STILL_THERE_MS) {
      return {
        outcome: "failed",
        reason: "still_there",
        text: "albatrossd destroyed it, and lists it still",
      };
    }
    if (sinceMs >= INFOS_MS) {
      return { outcome: "lost", reason: "no_info", text: "albatrossd could not be asked whether it is so" };
    }
    await sleep(carrying, SETTLE_MS);
  }
}

function ask({ client, action, signal, inTurn }: CarryingOut): Promise<Outcome<UnikernelInfo | null>> {
  return inTurn(() => client.info(cloneOf(action()), signal));
}

/** What the certificates for a host that is reached by TLS do not allow. */
function notAllowed({ host, action }: CarryingOut): Ending | null {
  const { path } = action();
  const found = host.endpoint.whyNotActing(path === "" ? [] : path.split(":"));
  return found && { outcome: "refused", ...found };
}

/** Nothing was sent where this is not known. */
function notAsked(outcome: Exclude<Outcome<unknown>, { type: "success" }>): Ending {
  const { text } = outcome;
  if (outcome.type === "unknown" || outcome.reason === "refused" || outcome.reason === "unsent") {
    return { outcome: "failed", reason: "unreachable", text };
  }
  return { outcome: "failed", reason: outcome.reason, text };
}

/** Resolves after this time, or when nothing more is to be done. */
function sleep({ clock, signal }: CarryingOut, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.after(ms, end);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
