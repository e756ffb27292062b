import { type Response, Router } from "express";
import type { TargetSnapshot } from "../client/target.ts";
import { type Clock, yieldToEventLoop } from "../clock.ts";
import { configToYaml } from "../config/load.ts";
import type { Config } from "../config/sections.ts";
import { factsFrom } from "../exporter/families.ts";
import { residentBytes } from "../exporter/vmTable.ts";
import type { FleetSnapshot } from "../fleet/types.ts";
import { MAX_ACTIONS_TOLD } from "../scaler/actions/executor.ts";
import { MAX_RECENT, type RecentQuery } from "../scaler/report/log.ts";
import { HOLD_REASONS, SCALE_REASONS } from "../scaler/rules/types.ts";
import type { Scaler } from "../scaler/scaler.ts";
import type { WebDeps } from "./app.ts";
import { ConcurrencyLimit, deliver, JSON_TYPE, sendData, sendError, toJson } from "./responses.ts";
import { knownParameters, quoted } from "./routes.ts";
import { streamHandler } from "./stream.ts";

const DEFAULT_LIMIT = 100;

/** The routes below /api/v1, which answer as Prometheus' API does. */
export function apiRouter(deps: WebDeps): Router {
  const { clock } = deps;
  const limit = new ConcurrencyLimit();

  /** Answers with a list that may be long, made as fast as the client takes it. */
  async function sendList(response: Response, items: () => Iterable<unknown>): Promise<void> {
    const { maxRequests } = deps.config().web;
    response.setHeader("Content-Type", JSON_TYPE);
    const refuse = () =>
      sendError(response, 503, "unavailable", "too many requests at once, try again later");
    if (!limit.begin(response, maxRequests, refuse)) return;
    await deliver(response, (signal) => jsonPieces(items(), { signal, clock }));
  }

  return Router({ caseSensitive: true, strict: true })
    .use(knownParameters)
    .get("/targets", (_request, response) => sendData(response, targetsJson(deps.targets())))
    .get("/vms", (_request, response) => sendList(response, () => vmsJson(deps.snapshot(), deps.config())))
    .get("/groups", (_request, response) =>
      sendList(response, () => groupsJson(deps.snapshot(), deps.scaler)),
    )
    .get("/decisions", async ({ query }, response) => {
      const wanted = decisionsQuery(query);
      if (typeof wanted === "string") sendError(response, 400, "bad_data", wanted);
      else await sendList(response, () => deps.scaler.decisions(wanted));
    })
    .get("/actions", async ({ query }, response) => {
      const limit = limitOf(query, MAX_ACTIONS_TOLD);
      if (typeof limit === "string") sendError(response, 400, "bad_data", limit);
      else await sendList(response, () => deps.scaler.actions({ limit }));
    })
    .get("/stream", streamHandler(deps))
    .get("/status/config", (_request, response) => {
      const { timeMs, problems } = deps.lastReload();
      const last_reload = {
        successful: problems.length === 0,
        time: new Date(timeMs).toISOString(),
        problems,
      };
      sendData(response, { yaml: configToYaml(deps.config()), last_reload });
    })
    .get("/status/buildinfo", (_request, response) => {
      const { version, revision } = deps.build;
      sendData(response, { version, revision: revision ?? undefined, nodeVersion: process.version });
    });
}

/** Which of the scaler's last decisions are asked for, or what is wrong with that. */
function decisionsQuery(parameters: Readonly<Record<string, unknown>>): RecentQuery | string {
  const { limit: _, ...filters } = parameters;
  const count = limitOf(parameters, MAX_RECENT);
  if (typeof count === "string") return count;
  for (const [name, { allows, allowed }] of Object.entries(DECISION_FILTERS)) {
    const { [name]: value } = filters;
    if (value !== undefined && !(typeof value === "string" && allows(value)))
      return `${name} ${quoted(value)}: ${allowed}`;
  }
  const { group, ...others } = filters as Omit<RecentQuery, "limit">;
  return { limit: count, ...others, ...(group && { group: group.toLowerCase() }) };
}

/** How many of a list are asked for, or what is wrong with that. */
function limitOf({ limit = String(DEFAULT_LIMIT) }: Readonly<Record<string, unknown>>, most: number) {
  const count = typeof limit === "string" && /^\d{1,9}$/.test(limit) ? Number(limit) : 0;
  return count >= 1 && count <= most
    ? count
    : `limit ${quoted(limit)}: a whole number from 1 to ${most} is allowed`;
}

const isName = (value: string) => value !== "";

/** What `/api/v1/decisions` may be asked for beside the limit. */
const DECISION_FILTERS = {
  group: { allows: isName, allowed: "one name is allowed, such as web or user:web" },
  host: { allows: isName, allowed: "the name of one target is allowed" },
  decision: oneOf([...Object.keys(SCALE_REASONS), "hold"]),
  reason: oneOf([...Object.values(SCALE_REASONS).flat(), ...HOLD_REASONS]),
};

function oneOf(values: readonly string[]) {
  return {
    allows: (value: string) => values.includes(value),
    allowed: `one of ${values.join(", ")} is allowed`,
  };
}

/** Every VM that is not gone, whether `/metrics` serves it or not. Integers may be bigints. */
export function* vmsJson(snapshot: FleetSnapshot, { targets }: Pick<Config, "targets">): Generator<object> {
  const facts = factsFrom(targets);
  const liveHosts = new Set(snapshot.hosts.filter(({ live }) => live).map(({ host }) => host));
  for (const [index, vm] of snapshot.vms.entries()) {
    const { info } = vm;
    const state = snapshot.states[index] ?? "missing";
    yield {
      host: vm.host,
      path: vm.path,
      vm: vm.vm,
      name: vm.fullName,
      group: vm.primary,
      role: vm.cloneId === 0 ? "primary" : "clone",
      state,
      cpu_usage_percent: vm.usagePercent,
      cpu_seconds: vm.cpuUs === null ? null : vm.cpuUs / 1e6,
      restarts: vm.restarts,
      last_sample: rfc3339(vm.sample.arrivalWallMs),
      stats_interval_seconds: vm.sample.intervalUs / 1e6,
      devices: vm.sample.stats.ifdata.map(({ bridge }) => bridge),
      info: info && {
        type: info.type,
        digest: info.digest,
        cpuids: info.cpuids,
        cpus: info.cpus,
        memory_limit_bytes: info.memoryLimitBytes,
        started: rfc3339(info.startedMs),
      },
      served: liveHosts.has(vm.host) && (state === "fresh" || state === "warming"),
      memory_resident_bytes: residentBytes(vm, facts(vm.host)),
    };
  }
}

/** Every group, also of hosts that are not live, and why the scaler decides about it as it does. */
export function* groupsJson(snapshot: FleetSnapshot, scaler: Pick<Scaler, "explain">): Generator<object> {
  for (const group of snapshot.groups()) {
    yield {
      host: group.host,
      path: group.path,
      group: group.group,
      orphaned: group.orphaned,
      clones: group.clones,
      cpu_usage_percent: group.usagePercent,
      members: group.members.map(({ record, role, cloneId, state }) => ({
        vm: record.vm,
        role,
        clone_id: cloneId,
        state,
        cpu_usage_percent: record.usagePercent,
      })),
      scaler: scaler.explain(group),
    };
  }
}

/** Every target with its subscriptions. */
export function targetsJson(targets: readonly TargetSnapshot[]): object[] {
  return targets.map((target) => ({
    name: target.name,
    up: target.up,
    info_readable: target.infoReadable,
    info_error: target.infoError,
    info_errors: target.infoErrors,
    subscriptions: target.subscriptions.map((snapshot) => ({
      subscription: snapshot.subscription,
      state: snapshot.state,
      messages: snapshot.messages,
      bytes: snapshot.bytes,
      connects: snapshot.connects,
      decode_errors: snapshot.decodeErrors,
      disconnects: snapshot.disconnects,
      last_message: rfc3339(snapshot.lastMessageWallMs),
      stats_interval_seconds: snapshot.intervalUs / 1e6,
      last_error: snapshot.lastError,
    })),
    certificates: target.certificates.map(({ certificate, use, notAfterMs }) => ({
      certificate,
      use,
      not_after: rfc3339(notAfterMs),
    })),
    certificate_error: target.certificateError,
    policy_difference: target.policyDifference,
  }));
}

function rfc3339(wallMs: number | null): string | null {
  return wallMs === null ? null : new Date(wallMs).toISOString();
}

const PIECE_CHARACTERS = 64 * 1024;
const SLICE_US = 5_000;

/**
 * An answer whose data is a long list, in pieces that are made as they are pulled, each a turn of the
 * event loop. Ends early when `signal` is aborted.
 */
export async function* jsonPieces(
  items: Iterable<unknown>,
  {
    signal,
    clock,
    yieldTurn = yieldToEventLoop,
  }: { signal: AbortSignal; clock: Clock; yieldTurn?: () => Promise<void> },
): AsyncGenerator<Buffer, void, void> {
  let text = '{"status":"success","data":[';
  let separator = "";
  await yieldTurn();
  let sliceEndUs = clock.nowUs() + SLICE_US;
  for (const item of items) {
    text += separator + toJson(item);
    separator = ",";
    if (text.length < PIECE_CHARACTERS && clock.nowUs() < sliceEndUs) continue;
    yield Buffer.from(text);
    text = "";
    if (signal.aborted) return;
    await yieldTurn();
    sliceEndUs = clock.nowUs() + SLICE_US;
  }
  yield Buffer.from(`${text}]}`);
}
