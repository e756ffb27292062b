import { isDeepStrictEqual } from "node:util";
import { parseName } from "../wire/names.ts";
import type { Path, Problem, YamlFile } from "./checkedYaml.ts";
import type { Report } from "./fields.ts";
import { globCovers, parseGlob } from "./glob.ts";
import {
  defaultPolicySettings,
  type PolicySettings,
  type ScalerConfig,
  type ScalerPolicy,
} from "./scaler.ts";
import { type Config, withoutTheirClones } from "./sections.ts";
import type { Machine } from "./target.ts";
import { formatDuration } from "./units.ts";

/** Settings of a correct file without effect, or with another than was meant. Defaults are never warned about. */
export function findWarnings(config: Config, file: YamlFile, machine: Machine): readonly Problem[] {
  const problems: Problem[] = [];
  const warn: Report = (path, text) => problems.push(file.problem(path, text));
  warnOfTargets(config, file, machine, warn);
  warnOfExporter(config, warn);
  warnOfTiming(config, file, warn);
  warnOfScaler(config, file, warn);
  warnOfPrometheus(config.scaler, file, warn);
  for (const { index, text } of withoutTheirClones(config))
    warn(["scaler", "policies", index, "match"], `${text}; subscribe to its path`);
  return problems;
}

function warnOfTargets({ targets, exporter }: Config, file: YamlFile, machine: Machine, warn: Report): void {
  for (const [index, target] of targets.entries()) {
    const { subscribe, allowUncheckedPath, tls } = target;
    const at = (key: string) => ["targets", index, key];
    for (const key of ["enforces_policy", "allow_root"])
      if (tls === null && file.has(at(key))) warn(at(key), "has no effect: the target has no tls");
    if (tls === null && machine.isContainer && /^[0-9a-f]{12}$/.test(machine.name) && !file.has(at("name")))
      warn(
        at("name"),
        `is not set, and "${machine.name}" is the name of this container: the next one has another; give the host a name`,
      );
    const isPath = (slot: string) => slot.endsWith(":") && parseName(slot).path.length > 0;
    if (allowUncheckedPath && subscribe.length > 0 && !subscribe.some(isPath))
      warn(at("allow_unchecked_path"), 'has no effect: no slot of this target is a path such as "user:"');
    if (file.has(at("page_size")) && !exporter.collectors.memory)
      warn(at("page_size"), "has no effect: exporter.collectors.memory is off");
  }
}

function warnOfExporter({ exporter, scaler }: Config, warn: Report): void {
  const excluded = exporter.exclude.map(parseGlob);
  for (const list of ["include", "exclude"] as const) {
    const globs = exporter[list].map(parseGlob);
    for (const [index, glob] of globs.entries()) {
      const excluding = list === "include" ? excluded.find((other) => globCovers(other, glob)) : undefined;
      const wider = globs.find(
        (other, at) => at !== index && globCovers(other, glob) && (at < index || !globCovers(glob, other)),
      );
      const text =
        neverMatches(glob.pattern) ??
        (excluding && `has no effect: exclude has "${excluding.pattern}"`) ??
        (wider && `has no effect: "${wider.pattern}" matches all of it`);
      if (text !== undefined) warn(["exporter", list, index], text);
    }
  }
  const { staleAfter } = exporter;
  const { deathTimeoutMs } = scaler.defaults;
  if (!("ms" in staleAfter) || staleAfter.ms <= deathTimeoutMs) return;
  const gone = `a VM is gone after scaler.defaults.death_timeout, ${formatDuration(deathTimeoutMs)}`;
  warn(["exporter", "stale_after"], `has no effect: ${gone}`);
}

function neverMatches(pattern: string): string | undefined {
  if (/[*?:]/.test(pattern)) return undefined;
  return `has no effect: full names hold a colon; write ":${pattern}" for a unikernel at the root`;
}

/** Durations that do not fit the interval at which samples come, where the file tells that. */
function warnOfTiming({ targets, scaler, exporter }: Config, file: YamlFile, warn: Report): void {
  const { pollIntervalMs, defaults } = scaler;
  const staleMs = "ms" in exporter.staleAfter ? exporter.staleAfter.ms : Number.POSITIVE_INFINITY;
  const rules: readonly [key: string, ms: number, least: number, why: string][] = [
    ["scaler.poll_interval", pollIntervalMs, 2, "ticks would find no new sample"],
    ["scaler.defaults.death_timeout", defaults.deathTimeoutMs, 3, "a late sample would pass for a dead VM"],
    ["exporter.stale_after", staleMs, 1, "VMs would come and go between samples"],
  ];
  for (const [index, { name, statsIntervalMs }] of targets.entries()) {
    if (statsIntervalMs === "auto") continue;
    for (const [key, ms, least, why] of rules) {
      if (ms >= least * statsIntervalMs) continue;
      const intervals = least === 1 ? "one stats interval" : `${least} stats intervals`;
      const text = `${formatDuration(ms)} is shorter than ${intervals} of ${name} (${formatDuration(statsIntervalMs)}): ${why}`;
      const path = key.split(".");
      if (file.has(path)) warn(path, text);
      else warn(["targets", index, "stats_interval"], `${key} at ${text}`);
    }
  }
}

function warnOfScaler({ scaler }: Config, file: YamlFile, warn: Report): void {
  const { defaults, policies } = scaler;
  const path = ["scaler", "defaults"];
  warnOfSettings(defaults, path, scaler, file, warn);
  const { deathTimeoutMs: _, ...settings } = defaults;
  if (policies.length === 0 && !isDeepStrictEqual(settings, defaultPolicySettings))
    warn(path, "has no effect on any group: scaler.policies names none");
  for (const [index, policy] of policies.entries()) {
    const path = ["scaler", "policies", index];
    const shadowing = policies.slice(0, index).findIndex((earlier) => shadows(earlier, policy));
    const never = neverMatches(policy.match);
    if (never !== undefined) warn([...path, "match"], never);
    else if (shadowing >= 0) {
      const earlier = `policies[${shadowing}] comes first and matches all of it`;
      warn([...path, "match"], `the policy has no effect: ${earlier}`);
    }
    warnOfSettings(policy, path, scaler, file, warn);
  }
  warnOfActing(scaler, warn);
}

function warnOfActing({ mode, policies }: ScalerConfig, warn: Report): void {
  if (mode === "execute" && !policies.some((policy) => policy.mode === mode))
    warn(["scaler", "mode"], "has no effect: no policy says mode: execute, too");
  for (const [index, policy] of policies.entries()) {
    if (policy.mode !== "execute") continue;
    const at = ["scaler", "policies", index, "mode"];
    if (mode !== "execute") warn(at, "has no effect: scaler.mode is dry_run");
    else if (!policy.enabled) warn(at, "has no effect: enabled is false");
    else if (policy.clone.arguments === null) {
      const why = "arguments copied from the primary may hold its address, and take it off the net";
      warn(at, `creates no clone: clone.arguments is not given (${why}; [] copies them as they are)`);
    }
  }
}

function warnOfPrometheus(scaler: ScalerConfig, file: YamlFile, warn: Report): void {
  const { prometheus, policies, pollIntervalMs } = scaler;
  if (prometheus === null) return;
  const path = ["scaler", "prometheus"];
  if (policies.every(({ load }) => load === null)) warn(path, "has no effect: no policy has load");
  if (prometheus.tls !== null && !prometheus.url.startsWith("https:"))
    warn([...path, "tls_config"], "has no effect: the URL is not https");
  const half = formatDuration(pollIntervalMs / 2);
  if (prometheus.timeoutMs > pollIntervalMs / 2 && file.has([...path, "timeout"]))
    warn([...path, "timeout"], `is more than the queries have: half of poll_interval, ${half}`);
}

/** The period for both directions where they have their own, such as a policy's below the defaults' for one direction. */
function warnOfCooldown(path: Path, file: YamlFile, warn: Report): void {
  const common = [...path, "cooldown_period"];
  if (!file.has(common)) return;
  const keys = ["scale_up_cooldown_period", "scale_down_cooldown_period"];
  const others = keys.filter((key) => !file.has([...path, key]));
  const inherited = others.filter((key) => file.has(["scaler", "defaults", key]));
  if (inherited.length === others.length)
    warn(common, "has no effect: each direction has its own, here or in scaler.defaults");
  else if (inherited.length > 0)
    warn(common, `has no effect on one direction: scaler.defaults has ${inherited.join()}`);
}

function shadows(earlier: ScalerPolicy, later: ScalerPolicy): boolean {
  const everyHost = earlier.host === null || earlier.host === later.host;
  return everyHost && globCovers(parseGlob(earlier.match), parseGlob(later.match));
}

function warnOfSettings(
  settings: PolicySettings,
  path: Path,
  { maxScaleUpsPerTick }: ScalerConfig,
  file: YamlFile,
  warn: Report,
): void {
  const { enabled, paused, scaleUpMaxStep, scaleDownCooldownPeriodMs, flapDampingMax, clone } = settings;
  const middle = (settings.scaleUpThresholdPercent + settings.scaleDownThresholdPercent) / 2;
  const isMiddle = settings.targetPercent === middle;
  const said = (key: string, text: string) => {
    const at = [...path, ...key.split(".")];
    if (file.has(at)) warn(at, text);
  };
  if (paused && !enabled) said("paused", "has no effect: enabled is false");
  if (scaleUpMaxStep === 1 && !isMiddle) said("target_percent", "has no effect: scale_up_max_step is 1");
  const least = `max_scale_ups_per_tick, ${maxScaleUpsPerTick}, leaves at one evaluation`;
  if (scaleUpMaxStep > maxScaleUpsPerTick)
    said("scale_up_max_step", `${scaleUpMaxStep} is more than ${least}`);
  if (flapDampingMax > 1 && scaleDownCooldownPeriodMs === 0)
    said("flap_damping_max", "has no effect: there is no cooldown before a scale-down");
  if (clone.afterCreate && clone.afterCreate.waitMs > 0)
    said("clone.after_create.wait", "has no effect: nothing waits for a clone that has been created");
  warnOfThresholds(settings, path, file, warn);
  const isUnchanged = settings.cooldownPeriodMs === defaultPolicySettings.cooldownPeriodMs;
  if (!(isUnchanged && path.includes("defaults"))) warnOfCooldown(path, file, warn);
}

function warnOfThresholds(settings: PolicySettings, path: Path, file: YamlFile, warn: Report): void {
  const { scaleUpThresholdPercent: up, scaleDownThresholdPercent: down } = settings;
  const keys = ["scale_down_threshold_percent", "scale_up_threshold_percent"];
  const at = keys.map((key) => [...path, key]).find((path) => file.has(path));
  if (at === undefined || 2 * down <= up) return;
  const close = `thresholds ${down} and ${up} are so close that removing one of two members would overload the other`;
  warn(at, `${close}: the lower one should be at most half the upper one`);
}
