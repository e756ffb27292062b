import type { z } from "zod";
import {
  duration,
  field,
  flag,
  integer,
  list,
  oneOf,
  type Reader,
  Refused,
  rule,
  section,
} from "../fields.ts";
import { formatListenAddress, listenAddress, telemetryPath } from "../listen.ts";
import type { Machine } from "../machine.ts";
import type {
  Config,
  ExporterConfig,
  ListenAddress,
  LogConfig,
  LogFormat,
  LogLevel,
  StaleAfter,
  TargetConfig,
  WebConfig,
} from "../types.ts";
import { glob } from "./glob.ts";
import { scalerSection } from "./scaler.ts";
import { targetList } from "./targets.ts";

export const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];
export const LOG_FORMATS: readonly LogFormat[] = ["logfmt", "json"];

const MAX_VMS = 10_000_000;
export const maxRequests = integer({ min: 0, max: 100_000, hint: " (0: no limit)" });

/** A number of stats intervals, or a duration. */
const staleAfter: Reader<StaleAfter> = (value) => {
  if (typeof value === "number" && value >= 1 && value <= 1000) return { intervals: value };
  const ms = duration({ min: 100 })(typeof value === "number" ? null : value);
  if (!(ms instanceof Refused)) return { ms };
  return new Refused(`a number of stats intervals from 1 to 1000, or ${ms.allowed}`, ms.found);
};

const on = field(flag).default(true);
const off = field(flag).default(false);
const globs = list(field(glob), "globs on full names").default([]);

const exporterSection: z.ZodType<ExporterConfig, unknown> = section({
  collectors: section({ cpu: on, memory: on, process: on, network: on, vmm: on, info: on, policy: on }),
  include: globs,
  exclude: globs,
  max_vms: field(integer({ min: 0, max: MAX_VMS, hint: " (0: no cap)" })).default(0),
  stale_after: field(staleAfter).default({ intervals: 3.5 }),
  unfilled_fields: off,
}).transform((exporter) => ({
  collectors: exporter.collectors,
  include: exporter.include,
  exclude: exporter.exclude,
  maxVms: exporter.max_vms,
  staleAfter: exporter.stale_after,
  unfilledFields: exporter.unfilled_fields,
}));

const webSection: z.ZodType<WebConfig, unknown> = section({
  listen_addresses: list(field(listenAddress), "addresses to listen on").default([
    { host: null, port: 10_042 },
  ]),
  telemetry_path: field(telemetryPath).default("/metrics"),
  max_requests: field(maxRequests).default(40),
  write_timeout: field(duration({ min: 100 })).default(30_000),
  disable_exporter_metrics: off,
})
  .check(
    rule<{ listen_addresses: readonly ListenAddress[] }>(
      ["listen_addresses"],
      ({ listen_addresses }, report) => {
        if (listen_addresses.length === 0)
          report(["listen_addresses"], "names no address; allowed: one or more");
        const texts = listen_addresses.map(formatListenAddress);
        texts.forEach((text, index) => {
          if (text.endsWith(":0") || texts.indexOf(text) === index) return;
          report(["listen_addresses", index], `"${text}" is there twice; allowed: each address once`);
        });
      },
    ),
  )
  .transform((web) => ({
    listenAddresses: web.listen_addresses,
    telemetryPath: web.telemetry_path,
    maxRequests: web.max_requests,
    writeTimeoutMs: web.write_timeout,
    disableExporterMetrics: web.disable_exporter_metrics,
  }));

const logSection: z.ZodType<LogConfig, unknown> = section({
  level: field(oneOf(LOG_LEVELS)).default("info"),
  format: field(oneOf(LOG_FORMATS)).default("logfmt"),
});

/** The whole file. What a target leaves out is as on `machine`. */
export function configSchema(machine: Machine): z.ZodType<Config, unknown> {
  return section({
    targets: targetList(machine),
    exporter: exporterSection,
    web: webSection,
    log: logSection,
    scaler: scalerSection(),
  }).check(
    rule<Config>(["targets", "scaler"], ({ targets, scaler }, report) => {
      const names = targets.map(({ name }: TargetConfig) => name);
      scaler.policies.forEach(({ host }, index) => {
        if (host === null || names.includes(host)) return;
        report(
          ["scaler", "policies", index, "host"],
          `no target is called ${JSON.stringify(host)}; allowed: ${names.join(", ")}`,
        );
      });
    }),
  );
}
