import { type Glob, matchesGlob, parseGlob } from "../config/glob.ts";
import type { ScalerConfig } from "../config/types.ts";
import { type GroupKey, groupKey } from "./names.ts";
import type { GroupName, GroupPolicy } from "./types.ts";

interface Rule {
  readonly glob: Glob;
  readonly host: string | null;
  readonly policy: GroupPolicy;
}

/** Answers are remembered for this many groups; beyond it all are forgotten and looked up afresh. */
const MAX_REMEMBERED = 100_000;

/** Which policy holds for a group: the first whose pattern matches the primary's full name; null when none does. */
export function policyLookup(config: ScalerConfig): (group: GroupName) => GroupPolicy | null {
  const { deathTimeoutMs } = config.defaults;
  const rules: Rule[] = config.policies.map((policy) => ({
    glob: parseGlob(policy.match),
    host: policy.host,
    policy: { ...policy, deathTimeoutMs },
  }));
  const policyFor = (host: string, name: string) =>
    rules.find((rule) => (rule.host === null || rule.host === host) && matchesGlob(rule.glob, name))
      ?.policy ?? null;
  const remembered = new Map<GroupKey, GroupPolicy | null>();
  return (group) => {
    const key = groupKey(group);
    const known = remembered.get(key);
    if (known !== undefined) return known;
    const policy = policyFor(group.host, `${group.path}:${group.group}`);
    if (remembered.size === MAX_REMEMBERED) remembered.clear();
    remembered.set(key, policy);
    return policy;
  };
}
