import { type CloneSettings, cloneDefaults, cloneSection } from "./clone.ts";
import {
  duration,
  flag,
  integer,
  oneOf,
  percent,
  type Reader,
  Refused,
  type Report,
  size,
  text,
} from "./fields.ts";
import { glob } from "./glob.ts";
import {
  type Codec,
  defaultsOf,
  type Key,
  key,
  keyOrNull,
  listOf,
  type Rule,
  sectionOf,
  type Values,
} from "./keys.ts";
import { loadSection, prometheusSection } from "./promql.ts";

const ticks = integer({ min: 1, max: 10_000 });
const clones = integer({ min: 0, max: 1000 });
const file = text({
  what: "the path of a file; a relative one is below $STATE_DIRECTORY, else below ./data",
  maxLength: 4096,
});

const mode = oneOf(["dry_run", "execute"]);

/** 100 as the upper threshold could never be exceeded, for usage ends there. */
const upThreshold: Reader<number> = (value) => {
  const read = percent(value);
  const allowed = "a number of at least 0 and below 100";
  if (read === 100) return new Refused(allowed, "100 can never be exceeded");
  return read instanceof Refused ? new Refused(allowed) : read;
};

/** All that holds for a group, in the order in which the API tells it. */
const groupKeys = {
  scaleUpThresholdPercent: key("scale_up_threshold_percent", upThreshold, 90),
  scaleUpTriggerTicks: key("scale_up_trigger_ticks", ticks, 3),
  scaleDownThresholdPercent: key("scale_down_threshold_percent", percent, 40),
  scaleDownTriggerTicks: key("scale_down_trigger_ticks", ticks, 5),
  cooldownPeriodMs: key("cooldown_period", duration({ min: 0 }), 10 * 60_000),
  /** The same for one direction; `cooldown_period` where it is left out. */
  scaleUpCooldownPeriodMs: keyOrNull("scale_up_cooldown_period", duration({ min: 0 })),
  scaleDownCooldownPeriodMs: keyOrNull("scale_down_cooldown_period", duration({ min: 0 })),
  scaleUpMaxStep: key("scale_up_max_step", integer({ min: 1, max: 1000 }), 1),
  /** The average that a step aims at; the middle of the thresholds where it is left out. */
  targetPercent: keyOrNull("target_percent", percent),
  /** The most that flap damping multiplies the cooldown before a scale-down by; 1 switches it off. */
  flapDampingMax: key("flap_damping_max", integer({ min: 1, max: 1000 }), 1),
  /** 0 switches warming off. */
  warmupPeriodMs: key("warmup_period", duration({ min: 0 }), 2 * 60_000),
  /** Silence after which a VM is gone, for groups and for the fleet. Below a second every VM would be, between two samples. */
  deathTimeoutMs: key("death_timeout", duration({ min: 1000 }), 15 * 60_000),
  minClones: key("min_clones", clones, 0),
  maxClones: key("max_clones", clones, 3),
  adoptClones: key("adopt_clones", flag, false),
  enabled: key("enabled", flag, true),
  paused: key("paused", flag, false),
  /** What the group's load is; null is the CPU usage of its members. */
  load: keyOrNull("load", loadSection),
  clone: key("clone", cloneSection, {}),
};
const { deathTimeoutMs: deathTimeoutKey, ...policyKeys } = groupKeys;

/** The keys of `scaler.defaults`; those of a policy are the same but for the death timeout, which is one for all groups. */
export const defaultsKeys = { ...policyKeys, deathTimeoutMs: deathTimeoutKey };

type Said = Values<typeof policyKeys>;

/** The settings that follow from others where they are left out. */
function derived(said: Said) {
  const { cooldownPeriodMs, scaleUpThresholdPercent: upper, scaleDownThresholdPercent: lower } = said;
  const clone: CloneSettings = { ...cloneDefaults, ...said.clone };
  return {
    scaleUpCooldownPeriodMs: said.scaleUpCooldownPeriodMs ?? cooldownPeriodMs,
    scaleDownCooldownPeriodMs: said.scaleDownCooldownPeriodMs ?? cooldownPeriodMs,
    targetPercent: said.targetPercent ?? (lower + upper) / 2,
    clone,
  };
}
type Derived = Readonly<ReturnType<typeof derived>>;

/** What a scaling policy says about a group; `scaler.defaults` and each policy carry all of it. */
export type PolicySettings = Omit<Said, keyof Derived> & Derived;
type ScalerDefaults = PolicySettings & { readonly deathTimeoutMs: number };

const nothingSaid: Said = defaultsOf(policyKeys);

/** The settings of a group when the file says nothing about them. */
export const defaultPolicySettings: PolicySettings = { ...nothingSaid, ...derived(nothingSaid) };

/** The keys that stand under `scaler` itself, `defaults` and `policies` excepted. */
export const scalerKeys = {
  pollIntervalMs: key("poll_interval", duration({ min: 100 }), 60_000),
  /** A policy acts where both this and its own say execute. */
  mode: key("mode", mode, "dry_run"),
  /** Per host. */
  maxScaleUpsPerTick: key("max_scale_ups_per_tick", integer({ min: 1, max: 1000 }), 1),
  /** As written; a relative path is under the state directory (see `statePath`). */
  stateFile: key("state_file", file, "scaler-state.json"),
  decisionLog: key("decision_log", file, "decisions.ndjson"),
  /** The decision log is rotated when it reaches this size. */
  decisionLogMaxBytes: key("decision_log_max_size", size({ min: 4096, max: 2 ** 40 }), 10 * 2 ** 20),
  /** How many decision log files are kept, the current one included. */
  decisionLogFiles: key("decision_log_files", integer({ min: 1, max: 100 }), 5),
  /** Whom policies with `load` ask. */
  prometheus: keyOrNull("prometheus", prometheusSection),
};

/** Where a key stands that people look for elsewhere. */
function standing(place: string, keys: Readonly<Record<string, { readonly key: string }>>) {
  return Object.fromEntries(Object.values(keys).map(({ key }) => [key, place]));
}
const UNDER_SCALER = {
  ...standing("under scaler", scalerKeys),
  [scalerKeys.mode.key]: "under scaler and in policies",
};

const BOUNDS = [
  { low: "scaleDownThresholdPercent", high: "scaleUpThresholdPercent", equal: false },
  { low: "minClones", high: "maxClones", equal: true },
  { low: "scaleDownThresholdPercent", high: "targetPercent", equal: false },
  { low: "targetPercent", high: "scaleUpThresholdPercent", equal: true },
] as const;

type Given = Partial<Said>;

function checkBound(
  { low, high, equal }: (typeof BOUNDS)[number],
  given: Given,
  basis: Said,
  report: Report,
): void {
  const { [low]: lowest, [high]: highest } = { ...basis, ...given };
  // what follows from the thresholds is between them
  if (lowest === null || highest === null) return;
  const at = [low, high].find((key) => given[key] !== undefined);
  if (at === undefined || lowest < highest || (equal && lowest === highest)) return;
  const [lowKey, highKey] = [policyKeys[low].key, policyKeys[high].key];
  const found =
    at === low ? `${lowest} while ${highKey} is ${highest}` : `${highest} while ${lowKey} is ${lowest}`;
  report([at], `${found}; allowed: ${lowKey} ${equal ? "at most" : "below"} ${highKey}`);
}

const boundRules = BOUNDS.map(
  (bound): Rule<Given> => ({
    of: [bound.low, bound.high],
    check: (given, report) => checkBound(bound, given, nothingSaid, report),
  }),
);
const defaultsSection = sectionOf({}, { given: defaultsKeys, elsewhere: UNDER_SCALER, rules: boundRules });

const ownKeys = {
  /** Glob on the primary's full name, lower-cased. */
  match: key("match", glob),
  /** Name of the target it is for; null is all of them. */
  host: keyOrNull("host", text({ what: "the name of a target" })),
  mode: key("mode", mode, "dry_run"),
};
const policySection = sectionOf(ownKeys, {
  given: policyKeys,
  elsewhere: {
    ...UNDER_SCALER,
    ...standing("in scaler.defaults, one for all groups", { deathTimeoutKey }),
  },
});

/** One entry of `scaler.policies`, what it leaves out taken from `scaler.defaults`. The first match wins. */
export type ScalerPolicy = PolicySettings & Values<typeof ownKeys>;
export type Mode = ScalerPolicy["mode"];

export type ScalerConfig = Values<typeof scalerKeys> & {
  readonly defaults: ScalerDefaults;
  readonly policies: readonly ScalerPolicy[];
};

const sections = sectionOf(
  {
    ...scalerKeys,
    defaults: key("defaults", defaultsSection),
    policies: key("policies", listOf(policySection, "policies"), []),
  },
  {
    elsewhere: {
      ...standing("in scaler.defaults and in policies", policyKeys),
      ...standing("in scaler.defaults", { deathTimeoutKey }),
    },
    rules: [
      {
        of: ["defaults", "policies"],
        check: ({ defaults, policies }, report) => {
          const basis = { ...nothingSaid, ...defaults };
          for (const [index, policy] of policies.entries()) {
            const reportHere: Report = (path, text) => report(["policies", index, ...path], text);
            for (const bound of BOUNDS) checkBound(bound, policy, basis, reportHere);
          }
        },
      },
      {
        of: ["defaults", "policies", "prometheus"],
        check: ({ defaults, policies, prometheus }, report) => {
          if (prometheus !== null) return;
          const text = "has nobody to ask; allowed: with scaler.prometheus";
          if (defaults.load) report(["defaults", "load"], text);
          for (const [index, { load }] of policies.entries())
            if (load) report(["policies", index, "load"], text);
        },
      },
      {
        of: ["stateFile", "decisionLog"],
        check: ({ stateFile, decisionLog }, report) => {
          if (stateFile !== decisionLog) return;
          report(["decisionLog"], "is the same file as state_file; allowed: another file");
        },
      },
    ],
  },
);

/** The section `scaler`: every policy with all its settings. */
export const scalerSection: Codec<ScalerConfig> = {
  ...sections,
  schema: sections.schema.transform(({ defaults: given, policies, ...scaler }) => {
    const defaults = { ...defaultsOf(defaultsKeys), ...given };
    const { deathTimeoutMs: _, ...basis } = defaults;
    return {
      ...scaler,
      defaults: { ...defaults, ...derived(defaults) },
      policies: policies.map((policy) => {
        const said = { ...basis, ...policy, clone: { ...basis.clone, ...policy.clone } };
        return { ...said, ...derived(said) };
      }),
    };
  }),
};

/** What holds for a group: its policy's keys over the defaults, and whether it acts. */
export type GroupPolicy = ScalerDefaults & Pick<ScalerPolicy, "mode">;

/** As the API tells it: under the file's keys, durations in seconds, `clone` as the file has it but for its secrets. */
export function policyJson({ mode, clone, load, ...policy }: GroupPolicy) {
  const { clone: _, load: __, ...keys } = groupKeys;
  const entries = Object.entries(keys) as [keyof typeof policy, Key<number | boolean>][];
  const values: Record<string, number | boolean> = Object.fromEntries(
    entries.map(([property, { key }]) => {
      const value = policy[property];
      if (!property.endsWith("Ms")) return [key, value];
      return [`${key.replace(/_period$/, "")}_seconds`, Number(value) / 1000];
    }),
  );
  return { mode, ...values, load: load && loadSection.write(load), clone: cloneSection.write(clone) };
}

/** The numbers that a decision goes by, as its line in the log tells them: neither durations nor switches. */
export function policyNumbers(policy: GroupPolicy): Readonly<Record<string, number>> {
  const numbers = Object.entries(policyJson(policy)).filter(
    ([key, value]) => typeof value === "number" && !key.endsWith("_seconds"),
  );
  return Object.fromEntries(numbers) as Record<string, number>;
}
