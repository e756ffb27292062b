import { z } from "zod";
import {
  duration,
  field,
  flag,
  integer,
  list,
  percent,
  type Reader,
  Refused,
  type Report,
  rule,
  section,
  size,
  text,
} from "../fields.ts";
import type { PolicySettings, ScalerConfig, ScalerPolicy } from "../types.ts";
import { glob } from "./glob.ts";

const ticks = integer({ min: 1, max: 10_000 });
const clones = integer({ min: 0, max: 1000 });
// Below a second every VM would be gone between two samples.
const deathTimeout = duration({ min: 1000 });
const statePath = text({
  what: "the path of a file; a relative one is below $STATE_DIRECTORY, else below ./data",
  maxLength: 4096,
});

const mode: Reader<"dry_run"> = (value) => {
  if (value === "dry_run") return value;
  const notYet = "execute is not built yet: decisions are counted and logged, not carried out";
  return new Refused("dry_run", value === "execute" ? notYet : undefined);
};

/** 100 as the upper threshold could never be exceeded, for usage ends there. */
const upThreshold: Reader<number> = (value) => {
  const read = percent(value);
  const allowed = "a number of at least 0 and below 100";
  if (read === 100) return new Refused(allowed, "100 can never be exceeded");
  return read instanceof Refused ? new Refused(allowed) : read;
};

/** The keys of `scaler.defaults` and of each policy, as the file spells them. */
const settings = {
  scale_up_threshold_percent: field(upThreshold),
  scale_up_trigger_ticks: field(ticks),
  scale_down_threshold_percent: field(percent),
  scale_down_trigger_ticks: field(ticks),
  cooldown_period: field(duration({ min: 0 })),
  warmup_period: field(duration({ min: 0 })),
  min_clones: field(clones),
  max_clones: field(clones),
  adopt_clones: field(flag),
  enabled: field(flag),
  paused: field(flag),
};

type Settings = z.infer<z.ZodObject<typeof settings>>;

const defaultSettings: Settings = {
  scale_up_threshold_percent: 90,
  scale_up_trigger_ticks: 3,
  scale_down_threshold_percent: 40,
  scale_down_trigger_ticks: 5,
  cooldown_period: 10 * 60_000,
  warmup_period: 2 * 60_000,
  min_clones: 0,
  max_clones: 3,
  adopt_clones: true,
  enabled: true,
  paused: false,
};
const DEFAULT_DEATH_TIMEOUT_MS = 15 * 60_000;

type GivenSettings = { readonly [Key in keyof Settings]?: Settings[Key] | undefined };

/** Two settings of which the first has to stay below the second, or may at most equal it. */
const BOUNDS = [
  { low: "scale_down_threshold_percent", high: "scale_up_threshold_percent", equal: false },
  { low: "min_clones", high: "max_clones", equal: true },
] as const;
type Bound = (typeof BOUNDS)[number];

/** Reports a bound the wrong way round, at the key of it that was written in this place. */
function checkBound(
  { low, high, equal }: Bound,
  given: GivenSettings,
  basis: Settings,
  report: Report,
): void {
  if (given[low] === undefined && given[high] === undefined) return;
  const lowest = given[low] ?? basis[low];
  const highest = given[high] ?? basis[high];
  if (equal ? lowest <= highest : lowest < highest) return;
  const allowed = `allowed: ${low} ${equal ? "at most" : "below"} ${high}`;
  if (given[low] !== undefined) report([low], `${lowest} while ${high} is ${highest}; ${allowed}`);
  else report([high], `${highest} while ${low} is ${lowest}; ${allowed}`);
}

const optionalSettings = z.object(settings).partial().shape;

// Where people look for a key in vain, and where it is.
const SCALER_ONLY = Object.fromEntries(
  ["poll_interval", "mode", "max_scale_ups_per_tick", "state_file", "decision_log"].map((key) => [
    key,
    "under scaler",
  ]),
);
const SETTINGS_ONLY = {
  ...Object.fromEntries(Object.keys(settings).map((key) => [key, "in scaler.defaults and in policies"])),
  death_timeout: "in scaler.defaults",
};

const defaultsSection = section(
  { ...optionalSettings, death_timeout: field(deathTimeout).default(DEFAULT_DEATH_TIMEOUT_MS) },
  SCALER_ONLY,
).check(
  ...BOUNDS.map((bound) =>
    rule<GivenSettings>([bound.low, bound.high], (given, report) =>
      checkBound(bound, given, defaultSettings, report),
    ),
  ),
);

const policySection = section(
  {
    match: field(glob),
    host: field(text({ what: "the name of a target" })).optional(),
    ...optionalSettings,
  },
  { ...SCALER_ONLY, death_timeout: "in scaler.defaults, one for all groups" },
);

/** The section `scaler`. */
export function scalerSection(): z.ZodType<ScalerConfig, unknown> {
  const keys = section(
    {
      poll_interval: field(duration({ min: 100 })).default(60_000),
      mode: field(mode).default("dry_run"),
      max_scale_ups_per_tick: field(integer({ min: 1, max: 1000 })).default(1),
      state_file: field(statePath).default("scaler-state.json"),
      decision_log: field(statePath).default("decisions.ndjson"),
      decision_log_max_size: field(size({ min: 4096, max: 2 ** 40 })).default(10 * 2 ** 20),
      decision_log_files: field(integer({ min: 1, max: 100 })).default(5),
      defaults: defaultsSection,
      policies: list(policySection, "policies").default([]),
    },
    SETTINGS_ONLY,
  );
  return keys
    .check(
      rule<{ defaults: GivenSettings; policies: readonly GivenSettings[] }>(
        ["defaults", "policies"],
        ({ defaults, policies }, report) => {
          const basis = merge(defaultSettings, defaults);
          policies.forEach((policy, index) => {
            for (const bound of BOUNDS) {
              checkBound(bound, policy, basis, (path, message) =>
                report(["policies", index, ...path], message),
              );
            }
          });
        },
      ),
      rule<{ state_file: string; decision_log: string }>(["state_file", "decision_log"], (files, report) => {
        if (files.state_file !== files.decision_log) return;
        report(["decision_log"], "is the same file as state_file; allowed: another file");
      }),
    )
    .transform((scaler) => {
      const basis = merge(defaultSettings, scaler.defaults);
      return {
        pollIntervalMs: scaler.poll_interval,
        mode: scaler.mode,
        maxScaleUpsPerTick: scaler.max_scale_ups_per_tick,
        stateFile: scaler.state_file,
        decisionLog: scaler.decision_log,
        decisionLogMaxBytes: scaler.decision_log_max_size,
        decisionLogFiles: scaler.decision_log_files,
        defaults: { ...policySettings(basis), deathTimeoutMs: scaler.defaults.death_timeout },
        policies: scaler.policies.map(
          ({ match, host, ...given }): ScalerPolicy => ({
            match,
            host: host ?? null,
            ...policySettings(merge(basis, given)),
          }),
        ),
      };
    });
}

/** The settings of a group when the file says nothing about them. */
export const defaultPolicySettings = policySettings(defaultSettings);

function merge(basis: Settings, given: GivenSettings): Settings {
  return {
    ...basis,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  };
}

function policySettings(from: Settings): PolicySettings {
  return {
    scaleUpThresholdPercent: from.scale_up_threshold_percent,
    scaleUpTriggerTicks: from.scale_up_trigger_ticks,
    scaleDownThresholdPercent: from.scale_down_threshold_percent,
    scaleDownTriggerTicks: from.scale_down_trigger_ticks,
    cooldownPeriodMs: from.cooldown_period,
    warmupPeriodMs: from.warmup_period,
    minClones: from.min_clones,
    maxClones: from.max_clones,
    adoptClones: from.adopt_clones,
    enabled: from.enabled,
    paused: from.paused,
  };
}
