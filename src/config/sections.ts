import { isIP } from "node:net";
import type { z } from "zod";
import { formatName, parseName } from "../wire/names.ts";
import { duration, flag, integer, oneOf, type Reader, Refused, reader } from "./fields.ts";
import { glob, matcherOf } from "./glob.ts";
import { type Key, key, keyOrNull, listOf, sectionOf, type Values } from "./keys.ts";
import { type ScalerConfig, scalerSection } from "./scaler.ts";
import { type Machine, type TargetConfig, targetsKey } from "./target.ts";
import { formatDuration } from "./units.ts";

const ALLOWED = "an address to listen on such as :10042, 127.0.0.1:10042, [::1]:10042 or localhost:10042";
const MAX_PORT = 65_535;

export interface ListenAddress {
  /** null is every address, IPv4 and IPv6 */
  readonly host: string | null;
  /** 0 lets the system choose */
  readonly port: number;
}

/** `:PORT` or `HOST:PORT`; an IPv6 address in brackets. */
export const listenAddress = reader<ListenAddress>((value) => {
  if (typeof value === "number") return new Refused(ALLOWED, `${value} is a number; write ":${value}"`);
  const groups =
    typeof value === "string"
      ? /^(?<host>|\[[^\]]*\]|[^:[\]]+):(?<port>\d{1,5})$/.exec(value)?.groups
      : undefined;
  if (groups === undefined) return new Refused(ALLOWED);
  const host = groups["host"] ?? "";
  const port = Number(groups["port"]);
  if (port > MAX_PORT) return new Refused(ALLOWED, `port ${port} is above ${MAX_PORT}`);
  if (host === "") return { host: null, port };
  if (host.startsWith("[")) {
    const address = host.slice(1, -1);
    return isIP(address) === 6 ? { host: address, port } : new Refused(ALLOWED, `${host} is no IPv6 address`);
  }
  return /^[a-zA-Z0-9._-]+$/.test(host) ? { host, port } : new Refused(ALLOWED);
}, formatListenAddress);

export function formatListenAddress({ host, port }: ListenAddress): string {
  if (host === null) return `:${port}`;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Where the web side listens: also the path of a unix socket, or a socket that systemd handed over. */
export type WebAddress = ListenAddress | { readonly unix: string } | { readonly fd: number };

/** A socket's path ends at 103 characters on FreeBSD, 107 on Linux. */
const MAX_SOCKET_PATH = 103;

/** An address as above, or `unix:/PATH`. */
export const webAddress = reader<WebAddress>((value) => {
  const path = typeof value === "string" && value.startsWith("unix:") ? value.slice("unix:".length) : null;
  if (path === null) {
    const address = listenAddress(value);
    if (!(address instanceof Refused)) return address;
    return new Refused(`${address.allowed}, or unix:/run/albatross-exporter.sock`, address.found);
  }
  const isPath = /^\/[^\p{Cc}]*[^/\p{Cc}]$/u.test(path) && Buffer.byteLength(path) <= MAX_SOCKET_PATH;
  return isPath
    ? { unix: path }
    : new Refused(`unix: and an absolute path of at most ${MAX_SOCKET_PATH} bytes`);
}, formatWebAddress);

export function formatWebAddress(address: WebAddress): string {
  if ("unix" in address) return `unix:${address.unix}`;
  return "fd" in address ? `systemd's socket ${address.fd}` : formatListenAddress(address);
}

function canonical({ host }: ListenAddress): string | null {
  if (host === null || isIP(host) !== 6) return host?.toLowerCase() ?? null;
  const short = `http://[${host}]`;
  return URL.canParse(short) ? new URL(short).hostname.slice(1, -1) : host.toLowerCase();
}

/** Whether `[::]` is to leave out IPv4, because another of the addresses is for that. */
export function leavesOutIPv4(address: WebAddress, addresses: readonly WebAddress[]): boolean {
  if (!("port" in address)) return false;
  const { host, port } = address;
  const isOther = (other: WebAddress) =>
    "port" in other && other.port === port && other.host !== null && isIP(other.host) !== 6;
  return host !== null && canonical({ host, port }) === "::" && addresses.some(isOther);
}

/** Why an address cannot be listened on while another is, as far as their texts tell; or null. */
function exclusion(address: WebAddress, other: WebAddress): string | null {
  const [text, otherText] = [formatWebAddress(address), formatWebAddress(other)];
  const isTwice = `"${text}" is there twice; allowed: each address once`;
  if (!("port" in address && "port" in other)) return text === otherText ? isTwice : null;
  const [host, otherHost] = [canonical(address), canonical(other)];
  if (address.port !== other.port || address.port === 0) return null;
  if (host === otherHost) return isTwice;
  const family = isIP(host ?? "") === isIP(otherHost ?? "") ? isIP(host ?? "") : 0;
  const all = { 4: "0.0.0.0", 6: "::" }[family];
  const widest = [host, otherHost].find((one) => one === null || one === all);
  if (widest === undefined) return null;
  const [wide, narrow] = widest === host ? [text, otherText] : [otherText, text];
  return `"${wide}" has "${narrow}" in it: only one of them can be listened on; allowed: one of them`;
}

export function listenProblems(addresses: readonly WebAddress[]): readonly [index: number, text: string][] {
  return addresses.flatMap((address, index) => {
    const texts = addresses.slice(0, index).map((earlier) => exclusion(address, earlier));
    const text = texts.find((one) => one !== null);
    return text ? [[index, text]] : [];
  });
}

const KEPT_ROUTES = /^\/(?:-|api)(?:\/|$)/;

export const telemetryPath: Reader<string> = (value) => {
  const allowed =
    "a path such as /metrics, of letters, digits and ._~-/, not / itself, not below /api or /-, and without . or .. as a step";
  if (
    typeof value !== "string" ||
    !/^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)+$/.test(value) ||
    KEPT_ROUTES.test(value)
  )
    return new Refused(allowed);
  return value;
};

/** Without a slash at its end; empty for the root. */
export const routePrefix: Reader<string> = (value) => {
  const bare = typeof value === "string" ? value.replace(/^\/+|\/+$/g, "") : null;
  if (bare === "") return "";
  if (bare === null || !/^(?:(?:\/|^)(?!\.{1,2}(?:\/|$))[\w.~%-]+)+$/.test(bare))
    return new Refused(
      "a path such as /albatross, of letters, digits and ._~%-/, without . or .. as a step; / for none",
    );
  return `/${bare}`;
};

/** Without a slash at its end. */
export const externalUrl: Reader<string> = (value) => {
  const allowed = "a URL such as https://monitoring.example.org/albatross, without user, query and fragment";
  if (typeof value !== "string" || !/^https?:\/\//i.test(value) || !URL.canParse(value))
    return new Refused(allowed);
  const { username, password, search, hash, origin, pathname } = new URL(value);
  if (username || password || search || hash)
    return new Refused(allowed, "it has a user, a query or a fragment");
  const prefix = routePrefix(pathname);
  return prefix instanceof Refused ? new Refused(allowed) : origin + prefix;
};

/** Below which path all is served, empty for the root: as Prometheus has it, by default the path of the external URL. */
export function routePrefixOf({ routePrefix, externalUrl }: WebConfig): string {
  if (routePrefix !== null) return routePrefix;
  return externalUrl === null ? "" : new URL(externalUrl).pathname.replace(/\/$/, "");
}

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export const LOG_FORMATS = ["logfmt", "json"] as const;

export const maxRequests = integer({ min: 0, max: 100_000, hint: " (0: no limit)" });

type StaleAfter = { readonly intervals: number } | { readonly ms: number };

const staleAfter = reader<StaleAfter>(
  (value) => {
    if (typeof value === "number" && value >= 1 && value <= 1000) return { intervals: value };
    const ms = duration({ min: 100 })(typeof value === "number" ? null : value);
    if (!(ms instanceof Refused)) return { ms };
    return new Refused(`a number of stats intervals from 1 to 1000, or ${ms.allowed}`, ms.found);
  },
  (stale) => ("intervals" in stale ? stale.intervals : formatDuration(stale.ms)),
);

export const COLLECTORS = ["cpu", "memory", "process", "network", "vmm", "info", "policy"] as const;
export type CollectorName = (typeof COLLECTORS)[number];
const collectorKeys = Object.fromEntries(COLLECTORS.map((name) => [name, key(name, flag, true)])) as Record<
  CollectorName,
  Key<boolean>
>;
const globs = listOf(glob, "globs on full names");

const exporterKeys = {
  collectors: key("collectors", sectionOf(collectorKeys)),
  /** lower-cased; empty takes every VM */
  include: key("include", globs, []),
  /** wins over `include` */
  exclude: key("exclude", globs, []),
  /** 0 is no cap */
  maxVms: key("max_vms", integer({ min: 0, max: 10_000_000, hint: " (0: no cap)" }), 0),
  staleAfter: key("stale_after", staleAfter, { intervals: 3.5 }),
  /** export what the target's operating system leaves at zero */
  unfilledFields: key("unfilled_fields", flag, false),
};

const webKeys = {
  listenAddresses: key("listen_addresses", listOf(webAddress, "addresses to listen on"), [
    { host: null, port: 10_042 },
  ]),
  telemetryPath: key("telemetry_path", telemetryPath, "/metrics"),
  /** under which people reach it through a proxy; null where that is as it listens */
  externalUrl: keyOrNull("external_url", externalUrl),
  /** null is the path of the external URL */
  routePrefix: keyOrNull("route_prefix", routePrefix),
  /** scrapes at once; 0 is no limit */
  maxRequests: key("max_requests", maxRequests, 40),
  writeTimeoutMs: key("write_timeout", duration({ min: 100 }), 30_000),
  disableExporterMetrics: key("disable_exporter_metrics", flag, false),
  /** `POST /-/reload` */
  enableLifecycle: key("enable_lifecycle", flag, false),
};

const logKeys = {
  level: key("level", oneOf(LOG_LEVELS), "info"),
  format: key("format", oneOf(LOG_FORMATS), "logfmt"),
};

export type ExporterConfig = Values<typeof exporterKeys>;
export type WebConfig = Values<typeof webKeys>;
export type LogConfig = Values<typeof logKeys>;

const webSection = sectionOf(webKeys, {
  rules: [
    {
      of: ["listenAddresses"],
      check: ({ listenAddresses }, report) => {
        const at = ["listenAddresses"];
        if (listenAddresses.length === 0) report(at, "names no address; allowed: one or more");
        for (const [index, text] of listenProblems(listenAddresses)) report([...at, index], text);
      },
    },
  ],
});

interface BlindPolicy {
  readonly index: number;
  readonly acts: boolean;
  readonly text: string;
}

/** Policies that hold for a unikernel to which alone a target is subscribed. */
export function withoutTheirClones({
  targets,
  scaler: { mode, policies },
}: {
  readonly targets: readonly Pick<TargetConfig, "name" | "subscribe">[];
  readonly scaler: Pick<ScalerConfig, "mode" | "policies">;
}): readonly BlindPolicy[] {
  return targets.flatMap(({ name, subscribe }) =>
    subscribe.flatMap((unikernel): BlindPolicy[] => {
      if (unikernel.endsWith(":")) return [];
      const full = formatName(parseName(unikernel));
      const index = policies.findIndex((policy) => matcherOf(policy)(name, full));
      const policy = policies[index];
      if (!policy?.enabled) return [];
      const acts = mode === "execute" && policy.mode === "execute";
      const alone = `matches ${unikernel}, to which alone ${name} is subscribed`;
      return [{ index, acts, text: `${alone}: its clones are never seen` }];
    }),
  );
}

/** What a target leaves out is as on `machine`. */
export function configFile(machine: () => Machine) {
  return sectionOf(
    {
      targets: targetsKey(machine),
      exporter: key("exporter", sectionOf(exporterKeys)),
      web: key("web", webSection),
      log: key("log", sectionOf(logKeys)),
      scaler: key("scaler", scalerSection),
    },
    {
      rules: [
        {
          of: ["targets", "scaler"],
          check: ({ targets, scaler }, report) => {
            const names = targets.map(({ name }) => name);
            for (const [index, { host }] of scaler.policies.entries()) {
              if (host === null || names.includes(host)) continue;
              const text = `no target is called ${JSON.stringify(host)}; allowed: ${names.join(", ")}`;
              report(["scaler", "policies", index, "host"], text);
            }
            for (const { index, acts, text } of withoutTheirClones({ targets, scaler })) {
              const allowed = "allowed: mode: dry_run, or a subscription of its path";
              if (acts) report(["scaler", "policies", index, "match"], `${text}; ${allowed}`);
            }
          },
        },
      ],
    },
  );
}

/** Durations in ms, sizes in bytes, every default filled in. */
export type Config = z.output<ReturnType<typeof configFile>["schema"]>;
