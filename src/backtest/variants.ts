/** `--set key=value`: the configuration with other values, several of one key to compare them. */
import { stringify } from "yaml";
import { YamlFile } from "../config/checkedYaml.ts";
import { loadConfig } from "../config/load.ts";
import type { ScalerConfig } from "../config/scaler.ts";
import { defaultsKeys, scalerKeys } from "../config/scaler.ts";

/** A `--set` that cannot be followed; the message says which and why. */
export class SettingError extends Error {
  override readonly name = "SettingError";
}

export interface Variant {
  /** what was set, in the order of the command line; empty for the file as it is */
  readonly set: Readonly<Record<string, string>>;
  readonly config: ScalerConfig;
  /** what was set without effect, or with less than it says */
  readonly warnings: readonly string[];
}

/** What the file says under `scaler`, as it stands there. */
type GivenScaler = Record<string, unknown> & {
  defaults?: object;
  policies?: readonly object[] | undefined;
};

/** The keys under `scaler` itself that change decisions. */
const SCALER_KEYS = [scalerKeys.pollIntervalMs.key, scalerKeys.maxScaleUpsPerTick.key];
/** What `--set` takes: no section, such as what a clone is made of. */
export const SETTABLE_KEYS: readonly string[] = [
  ...Object.values(defaultsKeys).flatMap(({ key, codec }) => (codec.keys === undefined ? [key] : [])),
  ...SCALER_KEYS,
];

const MAX_VARIANTS = 50;

/**
 * The configurations to try: a key given more than once is tried with each of its values, in every combination with
 * the other keys. `text` is the configuration file's, which must be valid by itself. Throws SettingError.
 */
export function variants(file: string, text: string, settings: readonly string[]): readonly Variant[] {
  const values = new Map<string, string[]>();
  for (const setting of settings) {
    const [key, value] = parseSetting(setting);
    values.set(key, [...(values.get(key) ?? []), value]);
  }
  let sets: Record<string, string>[] = [{}];
  for (const [key, choices] of values) {
    sets = sets.flatMap((set) => choices.map((value) => ({ ...set, [key]: value })));
  }
  if (sets.length > MAX_VARIANTS) {
    throw new SettingError(
      `--set: ${sets.length} combinations to compare; at most ${MAX_VARIANTS} are allowed`,
    );
  }
  return sets.map((set) => ({ set, ...configWith(file, text, set) }));
}

function parseSetting(setting: string): [string, string] {
  const at = setting.indexOf("=");
  const key = setting.slice(0, Math.max(at, 0)).trim();
  if (at === -1 || !SETTABLE_KEYS.includes(key)) {
    throw new SettingError(
      `--set ${setting}: expected KEY=VALUE with KEY one of ${SETTABLE_KEYS.join(", ")}`,
    );
  }
  return [key, setting.slice(at + 1).trim()];
}

/** What was set, as on the command line: `max_clones=5`. */
export function settingsOf(set: Variant["set"]): string[] {
  return Object.entries(set).map(([key, value]) => `${key}=${value}`);
}

/** Sets each key where it holds for every group: in the defaults, and in the policies that have their own value. */
function configWith(file: string, text: string, set: Variant["set"]): Omit<Variant, "set"> {
  const content = (new YamlFile(file, text).content?.value ?? {}) as { scaler?: GivenScaler };
  const scaler = { ...content.scaler };
  const own = Object.entries(set).map(
    ([key, value]) => [key, new YamlFile(key, value).content?.value ?? null] as const,
  );
  for (const [key, value] of own) {
    if (SCALER_KEYS.includes(key)) scaler[key] = value;
    else scaler.defaults = { ...scaler.defaults, [key]: value };
    scaler.policies = scaler.policies?.map((policy) =>
      key in policy ? { ...policy, [key]: value } : policy,
    );
  }
  const result = loadConfig(file, stringify({ ...content, scaler }));
  if (result.ok) {
    const warnings = result.warnings.flatMap(({ path, text }) => {
      const [, key] = /\.(\w+)$/.exec(path) ?? [];
      // what thresholds make of each other shows in what is decided
      const isIdle = key !== undefined && key in set && !key.endsWith("_threshold_percent");
      return isIdle ? `--set ${key}=${set[key]}: ${text}` : [];
    });
    return { config: result.config.scaler, warnings };
  }
  const settings = settingsOf(set).map((setting) => `--set ${setting}`);
  const problems = result.problems.map(({ path, text }) => `${path}: ${text}`);
  throw new SettingError(`${settings.join(" ")}: ${problems.join("; ")}`);
}
