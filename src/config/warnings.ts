import { formatName, parseName } from "../wire/names.ts";
import { formatPath, type Path, type Problem, type YamlFile } from "./checkedYaml.ts";
import { globCovers, matchesGlob, parseGlob } from "./glob.ts";
import {
  defaultPolicySettings,
  type PolicySettings,
  type ScalerConfig,
  type ScalerPolicy,
} from "./scaler.ts";
import type { Config, ExporterConfig } from "./sections.ts";
import type { Machine } from "./target.ts";
import { formatDuration } from "./units.ts";

interface Warning {
  readonly path: Path;
  readonly text: string;
}

/** Settings of a correct file without effect, or with another than was meant. Defaults are never warned about. */
export function findWarnings(config: Config, file: YamlFile, machine: Machine): readonly Problem[] {
  return [
    ...targetWarnings(config, file, machine),
    ...exporterWarnings(config),
    ...timingWarnings(config, file),
    ...scalerWarnings(config.scaler, file),
    ...subscriptionWarnings(config),
  ].map(({ path, text }) => file.problem(path, text));
}

function* targetWarnings(
  { targets, exporter }: Config,
  file: YamlFile,
  machine: Machine,
): Generator<Warning> {
  for (const [index, { subscribe, allowUncheckedPath }] of targets.entries()) {
    const name = ["targets", index, "name"];
    if (machine.isContainer && /^[0-9a-f]{12}$/.test(machine.name) && !file.has(name)) {
      const text = `is not set, and "${machine.name}" is the name of this container: the next one has another; give the host a name`;
      yield { path: name, text };
    }
    const isPath = (slot: string) => slot.endsWith(":") && parseName(slot).path.length > 0;
    if (allowUncheckedPath && !subscribe.some(isPath)) {
      const text = 'has no effect: no slot of this target is a path such as "user:"';
      yield { path: ["targets", index, "allow_unchecked_path"], text };
    }
    const pageSize = ["targets", index, "page_size"];
    if (file.has(pageSize) && !exporter.collectors.memory)
      yield { path: pageSize, text: "has no effect: exporter.collectors.memory is off" };
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
      const never = neverMatches(glob.pattern);
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

function neverMatches(pattern: string): string | null {
  if (/[*?:]/.test(pattern)) return null;
  return `has no effect: full names hold a colon; write ":${pattern}" for a unikernel at the root`;
}

/** Durations that do not fit the interval at which samples come, where the file tells that. */
function* timingWarnings({ targets, scaler, exporter }: Config, file: YamlFile): Generator<Warning> {
  const { pollIntervalMs, defaults } = scaler;
  const staleMs = "ms" in exporter.staleAfter ? exporter.staleAfter.ms : Number.POSITIVE_INFINITY;
  const rules: readonly [path: readonly string[], ms: number, intervals: number, why: string][] = [
    [["scaler", "poll_interval"], pollIntervalMs, 2, "ticks would find no new sample"],
    [
      ["scaler", "defaults", "death_timeout"],
      defaults.deathTimeoutMs,
      3,
      "a late sample would pass for a dead VM",
    ],
    [["exporter", "stale_after"], staleMs, 1, "VMs would come and go between samples"],
  ];
  for (const [index, { name, statsIntervalMs }] of targets.entries()) {
    if (statsIntervalMs === "auto") continue;
    for (const [path, ms, intervals, why] of rules) {
      if (ms >= intervals * statsIntervalMs) continue;
      const least = intervals === 1 ? "one stats interval" : `${intervals} stats intervals`;
      const text = `${formatDuration(ms)} is shorter than ${least} of ${name} (${formatDuration(statsIntervalMs)}): ${why}`;
      if (file.has(path)) yield { path, text };
      else yield { path: ["targets", index, "stats_interval"], text: `${formatPath(path)} at ${text}` };
    }
  }
}

function* scalerWarnings({ defaults, policies }: ScalerConfig, file: YamlFile): Generator<Warning> {
  const path = ["scaler", "defaults"];
  yield* thresholdWarnings(defaults, path, file);
  const keys = Object.keys(defaultPolicySettings) as (keyof PolicySettings)[];
  if (policies.length === 0 && keys.some((key) => defaults[key] !== defaultPolicySettings[key])) {
    yield { path, text: "has no effect on any group: scaler.policies names none" };
  }
  for (const [index, policy] of policies.entries()) {
    const path = ["scaler", "policies", index];
    const shadowing = policies.slice(0, index).findIndex((earlier) => shadows(earlier, policy));
    const never = neverMatches(policy.match);
    if (never !== null) yield { path: [...path, "match"], text: never };
    else if (shadowing >= 0) {
      const text = `the policy has no effect: policies[${shadowing}] comes first and matches all of it`;
      yield { path: [...path, "match"], text };
    }
    if (!policy.enabled && policy.paused && file.has([...path, "paused"]))
      yield { path: [...path, "paused"], text: "has no effect: enabled is false" };
    yield* thresholdWarnings(policy, path, file);
  }
}

function* subscriptionWarnings({ targets, scaler: { policies } }: Config): Generator<Warning> {
  for (const { name, subscribe } of targets) {
    for (const unikernel of subscribe.filter((text) => !text.endsWith(":"))) {
      const index = policies.findIndex(
        ({ match, host }) =>
          (host === null || host === name) && matchesGlob(parseGlob(match), formatName(parseName(unikernel))),
      );
      if (!policies[index]?.enabled) continue;
      const text = `matches ${unikernel}, to which alone ${name} is subscribed: its clones are never seen; subscribe to its path`;
      yield { path: ["scaler", "policies", index, "match"], text };
    }
  }
}

function shadows(earlier: ScalerPolicy, later: ScalerPolicy): boolean {
  const everyHost = earlier.host === null || earlier.host === later.host;
  return everyHost && globCovers(parseGlob(earlier.match), parseGlob(later.match));
}

function* thresholdWarnings(settings: PolicySettings, path: Path, file: YamlFile): Generator<Warning> {
  const { scaleUpThresholdPercent: up, scaleDownThresholdPercent: down } = settings;
  const keys = ["scale_down_threshold_percent", "scale_up_threshold_percent"];
  const at = keys.map((key) => [...path, key]).find((path) => file.has(path));
  if (at === undefined || 2 * down <= up) return;
  const text = `thresholds ${down} and ${up} are so close that removing one of two members would overload the other: the lower one should be at most half the upper one`;
  yield { path: at, text };
}
