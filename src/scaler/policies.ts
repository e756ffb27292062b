import { type Glob, matchesGlob, parseGlob } from "../config/glob.ts";
import type { ScalerConfig } from "../config/types.ts";
import type { GroupPolicy } from "./types.ts";

export interface GroupName {
  readonly host: string;
  readonly path: string;
  /** the primary's label */
  readonly group: string;
}

interface Rule {
  readonly glob: Glob;
  readonly host: string | null;
  readonly policy: GroupPolicy;
}

/** Answers are remembered for this many groups; beyond it they are looked up afresh. */
const MAX_REMEMBERED = 100_000;

/** Which policy holds for a group: the first whose pattern matches the primary's full name; null when none does. */
export function policyLookup(config: ScalerConfig): (group: GroupName) => GroupPolicy | null {
  const { deathTimeoutMs } = config.defaults;
  const rules: Rule[] = config.policies.map((policy) => ({
    glob: parseGlob(policy.match),
    host: policy.host,
    policy: { ...policy, deathTimeoutMs },
  }));
  const remembered = new Map<string, GroupPolicy | null>();
  return ({ host, path, group }) => {
    const key = `${host}/${path}:${group}`;
    const known = remembered.get(key);
    if (known !== undefined) return known;
    const name = `${path}:${group}`;
    const rule = rules.find((r) => (r.host === null || r.host === host) && matchesGlob(r.glob, name));
    const policy = rule?.policy ?? null;
    if (remembered.size < MAX_REMEMBERED) remembered.set(key, policy);
    return policy;
  };
}
