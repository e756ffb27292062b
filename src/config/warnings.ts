import { parseName } from "../wire/names.ts";
import { type ConfigDocument, formatPath, type Path } from "./document.ts";
import { type Glob, globCovers, parseGlob } from "./glob.ts";
import { defaultPolicySettings } from "./scaler.ts";
import type {
  Config,
  ExporterConfig,
  PolicySettings,
  ScalerConfig,
  ScalerPolicy,
  TargetConfig,
} from "./types.ts";
import { formatDuration } from "./units.ts";

export interface Warning {
  readonly path: Path;
  readonly text: string;
}

/** What `findWarnings` needs to know of the file: defaults are never warned about. */
type Written = Pick<ConfigDocument, "has">;

/** Settings of a correct file that have no effect, or another one than was meant. */
export function findWarnings(config: Config, written: Written): readonly Warning[] {
  return [
    ...config.targets.flatMap((target, index) => [...targetWarnings(target, index, config, written)]),
    ...exporterWarnings(config),
    ...timingWarnings(config, written),
    ...scalerWarnings(config.scaler, written),
  ];
}

function* targetWarnings(
  target: TargetConfig,
  index: number,
  { exporter }: Config,
  written: Written,
): Generator<Warning> {
  const path = ["targets", index];

  const hasPathSlot = target.subscribe
    .map((slot) => parseName(slot))
    .some((slot) => slot.label === null && slot.path.length > 0);
  if (target.allowUncheckedPath && !hasPathSlot) {
    yield {
      path: [...path, "allow_unchecked_path"],
      text: 'has no effect: no slot of this target is a path such as "user:"',
    };
  }
  if (written.has([...path, "page_size"]) && !exporter.collectors.memory) {
    yield { path: [...path, "page_size"], text: "has no effect: exporter.collectors.memory is off" };
  }
}

function* exporterWarnings({ exporter, scaler }: Config): Generator<Warning> {
  yield* globWarnings(exporter);
  const { staleAfter } = exporter;
  const { deathTimeoutMs } = scaler.defaults;
  if ("ms" in staleAfter && staleAfter.ms > deathTimeoutMs) {
    const text = `has no effect: a VM is gone after scaler.defaults.death_timeout, ${formatDuration(deathTimeoutMs)}`;
    yield { path: ["exporter", "stale_after"], text };
  }
}

function* globWarnings(exporter: ExporterConfig): Generator<Warning> {
  const excluded = exporter.exclude.map(parseGlob);
  for (const list of ["include", "exclude"] as const) {
    const globs = exporter[list].map(parseGlob);
    for (const [index, glob] of globs.entries()) {
      const path = ["exporter", list, index];
      const never = neverMatches(glob);
      const excluding = list === "include" ? excluded.find((other) => globCovers(other, glob)) : undefined;
      const wider = globs.find(
        (other, at) => at !== index && globCovers(other, glob) && (at < index || !globCovers(glob, other)),
      );
      if (never !== null) yield { path, text: never };
      else if (excluding !== undefined)
        yield { path, text: `has no effect: exclude has "${excluding.pattern}"` };
      else if (wider !== undefined)
        yield { path, text: `has no effect: "${wider.pattern}" matches all of it` };
    }
  }
}

/** A full name holds a colon, so a glob without one, and without a wildcard that could be one, matches nothing. */
function neverMatches({ pattern }: Glob): string | null {
  if (/[*?:]/.test(pattern)) return null;
  return `has no effect: full names hold a colon; write ":${pattern}" for a unikernel at the root`;
}

/** Durations that do not fit the interval at which samples come, as far as the file tells that interval. */
function* timingWarnings({ targets, scaler, exporter }: Config, written: Written): Generator<Warning> {
  const rules = [
    {
      path: ["scaler", "poll_interval"],
      ms: scaler.pollIntervalMs,
      intervals: 2,
      why: "ticks would find no new sample",
    },
    {
      path: ["scaler", "defaults", "death_timeout"],
      ms: scaler.defaults.deathTimeoutMs,
      intervals: 3,
      why: "a late sample would pass for a dead VM",
    },
    ...("ms" in exporter.staleAfter
      ? [
          {
            path: ["exporter", "stale_after"],
            ms: exporter.staleAfter.ms,
            intervals: 1,
            why: "VMs would come and go between samples",
          },
        ]
      : []),
  ];
  for (const [index, { name, statsIntervalMs }] of targets.entries()) {
    if (statsIntervalMs === "auto") continue;
    for (const { path, ms, intervals, why } of rules) {
      if (ms >= intervals * statsIntervalMs) continue;
      const text = `${formatDuration(ms)} is shorter than ${intervals === 1 ? "one stats interval" : `${intervals} stats intervals`} of ${name} (${formatDuration(statsIntervalMs)}): ${why}`;
      if (written.has(path)) yield { path, text };
      else yield { path: ["targets", index, "stats_interval"], text: `${formatPath(path)} at ${text}` };
    }
  }
}

function* scalerWarnings({ defaults, policies }: ScalerConfig, written: Written): Generator<Warning> {
  const path = ["scaler", "defaults"];
  yield* thresholdWarnings(defaults, path, written);
  if (policies.length === 0 && differs(defaults, defaultPolicySettings)) {
    yield { path, text: "has no effect on any group: scaler.policies names none" };
  }
  for (const [index, policy] of policies.entries()) yield* policyWarnings(policy, index, policies, written);
}

function* policyWarnings(
  policy: ScalerPolicy,
  index: number,
  policies: readonly ScalerPolicy[],
  written: Written,
): Generator<Warning> {
  const path = ["scaler", "policies", index];
  const glob = parseGlob(policy.match);
  const shadowing = policies.slice(0, index).findIndex((earlier) => shadows(earlier, policy));
  const never = neverMatches(glob);
  if (never !== null) yield { path: [...path, "match"], text: never };
  else if (shadowing >= 0) {
    yield {
      path: [...path, "match"],
      text: `the policy has no effect: policies[${shadowing}] comes first and matches all of it`,
    };
  }
  if (!policy.enabled && policy.paused && written.has([...path, "paused"])) {
    yield { path: [...path, "paused"], text: "has no effect: enabled is false" };
  }
  yield* thresholdWarnings(policy, path, written);
}

function shadows(earlier: ScalerPolicy, later: ScalerPolicy): boolean {
  const everyHost = earlier.host === null || earlier.host === later.host;
  return everyHost && globCovers(parseGlob(earlier.match), parseGlob(later.match));
}

/** Removing one of two members doubles the other's load. */
function* thresholdWarnings(settings: PolicySettings, path: Path, written: Written): Generator<Warning> {
  const { scaleUpThresholdPercent: up, scaleDownThresholdPercent: down } = settings;
  const at = ["scale_down_threshold_percent", "scale_up_threshold_percent"]
    .map((key) => [...path, key])
    .find(written.has);
  if (at === undefined || 2 * down <= up) return;
  yield {
    path: at,
    text: `thresholds ${down} and ${up} are so close that removing one of two members would overload the other: the lower one should be at most half the upper one`,
  };
}

function differs(a: PolicySettings, b: PolicySettings): boolean {
  return (Object.keys(b) as (keyof PolicySettings)[]).some((key) => key in a && a[key] !== b[key]);
}
