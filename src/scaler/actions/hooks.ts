/** Tells a load balancer, or whatever else `clone` names, of clones that come and go. */
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { type Clock, sleep } from "../../clock.ts";
import type { Hook } from "../../config/clone.ts";
import { plainMessage } from "../../systemError.ts";
import type { CloneBridge } from "./plan.ts";

/** `kept` takes a `before_destroy` back: the clone stays after all. */
export const HOOK_EVENTS = ["after_create", "before_destroy", "kept"] as const;
export type HookEvent = (typeof HOOK_EVENTS)[number];

/** What a hook is told besides the event. */
export interface HookSubject {
  readonly id: string;
  readonly host: string;
  readonly path: string;
  readonly group: string;
  readonly clone: string;
  readonly reason: string;
  readonly bridges: readonly CloneBridge[];
}

/** Resolves to null when the hook has said yes, else to why not. Never rejects. */
export type PostHook = (
  hook: Hook,
  event: HookEvent,
  subject: HookSubject,
  signal?: AbortSignal,
) => Promise<string | null>;

/** Nothing depends on these: they are told again of what they may not have heard. */
const TRIES: Readonly<Record<HookEvent, number>> = { after_create: 3, before_destroy: 1, kept: 3 };
const RETRY_MS = 5_000;

export function hookPoster(clock: Clock): PostHook {
  return async (hook, event, subject, signal) => {
    const body = JSON.stringify({ event, ...fieldsOf(subject) });
    let failure = await post(hook, body, clock, signal);
    for (let tries = 1; failure !== null && tries < TRIES[event]; tries++) {
      await sleep(clock, RETRY_MS, signal);
      if (signal?.aborted) break;
      failure = await post(hook, body, clock, signal);
    }
    // all else of a URL may be a secret
    return failure === null ? null : `${event} at ${new URL(hook.url).host}: ${failure}`;
  };
}

/** What may be more than that is not told. */
function fieldsOf({ id, host, path, group, clone, reason, bridges }: HookSubject): HookSubject {
  return { id, host, path, group, clone, reason, bridges };
}

/** Null when it answers with 2xx. It is not asked again where it points elsewhere. */
async function post(
  { url, timeoutMs }: Hook,
  body: string,
  clock: Clock,
  signal?: AbortSignal,
): Promise<string | null> {
  if (signal?.aborted) return "stopped";
  let result: { readonly failure: string | null } | null = null;
  const settle = (failure: string | null) => {
    result ??= { failure };
  };
  const release: (() => void)[] = [];
  try {
    const target = new URL(url);
    const send = target.protocol === "https:" ? requestHttps : requestHttp;
    const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };
    const request = send(target, { method: "POST", headers, agent: false });
    const end = (why: string) => {
      settle(why);
      request.destroy();
    };
    const stop = () => end("stopped");
    signal?.addEventListener("abort", stop);
    release.push(() => signal?.removeEventListener("abort", stop));
    release.push(clock.after(timeoutMs, () => end(`no answer within ${timeoutMs / 1000} s`)));
    await new Promise<void>((resolve) => {
      request.on("close", resolve);
      request.on("error", (error) => settle(plainMessage(error)));
      request.on("response", (response) => {
        const { statusCode = 0 } = response;
        settle(statusCode >= 200 && statusCode < 300 ? null : `it answers with status ${statusCode}`);
        response.on("error", () => undefined).resume();
      });
      request.end(body);
    });
  } catch (error) {
    settle(plainMessage(error));
  }
  for (const one of release) one();
  return (result ?? { failure: "connection lost" }).failure;
}
