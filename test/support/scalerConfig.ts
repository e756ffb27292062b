import { cloneDefaults } from "../../src/config/clone.ts";
import type { ScalerConfig, ScalerPolicy } from "../../src/config/scaler.ts";
import type { GroupPolicy } from "../../src/scaler/rules/types.ts";

/** The design's defaults, but for `adopt_clones`. */
const DEFAULTS: GroupPolicy = {
  scaleUpThresholdPercent: 90,
  scaleUpTriggerTicks: 3,
  scaleDownThresholdPercent: 40,
  scaleDownTriggerTicks: 5,
  cooldownPeriodMs: 10 * 60_000,
  scaleUpCooldownPeriodMs: 10 * 60_000,
  scaleDownCooldownPeriodMs: 10 * 60_000,
  scaleUpMaxStep: 1,
  targetPercent: 65,
  flapDampingMax: 1,
  warmupPeriodMs: 2 * 60_000,
  minClones: 0,
  maxClones: 3,
  adoptClones: true,
  enabled: true,
  paused: false,
  clone: cloneDefaults,
  mode: "dry_run",
  load: null,
  deathTimeoutMs: 15 * 60_000,
};

/** The default policy but for the keys given, and those that follow from them. */
export function policy(keys: Partial<GroupPolicy> = {}): GroupPolicy {
  const { cooldownPeriodMs, scaleUpThresholdPercent, scaleDownThresholdPercent } = { ...DEFAULTS, ...keys };
  return {
    ...DEFAULTS,
    scaleUpCooldownPeriodMs: cooldownPeriodMs,
    scaleDownCooldownPeriodMs: cooldownPeriodMs,
    targetPercent: (scaleUpThresholdPercent + scaleDownThresholdPercent) / 2,
    ...keys,
  };
}

/**
 * A dry run every minute with one policy, for `user:*`: the default one without warm-up, but for the keys given.
 * `scaler` replaces whole settings of the section.
 */
export function scalerConfig(
  keys: Partial<ScalerPolicy & GroupPolicy> = {},
  scaler: Partial<ScalerConfig> = {},
): ScalerConfig {
  const { match = "user:*", host = null, ...own } = keys;
  const { deathTimeoutMs, mode, ...settings } = policy({ warmupPeriodMs: 0, ...own });
  return {
    pollIntervalMs: 60_000,
    mode: "dry_run",
    maxScaleUpsPerTick: 1,
    stateFile: "state.json",
    decisionLog: "decisions.ndjson",
    decisionLogMaxBytes: 1_000_000,
    decisionLogFiles: 2,
    prometheus: null,
    defaults: { ...settings, deathTimeoutMs },
    policies: [{ ...settings, match, host, mode }],
    ...scaler,
  };
}
