import { type Glob, matchesGlob, parseGlob } from "../config/glob.ts";
import type { ScalerConfig } from "../config/types.ts";
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
  // Maps in maps: asked twice a tick for every group, this spares putting a key together each time.
  const remembered = new Map<string, Map<string, Map<string, GroupPolicy | null>>>();
  let count = 0;
  return ({ host, path, group }) => {
    const known = remembered.get(host)?.get(path)?.get(group);
    if (known !== undefined) return known;
    const policy = policyFor(host, `${path}:${group}`);
    if (count === MAX_REMEMBERED) {
      remembered.clear();
      count = 0;
    }
    const paths = getOrAdd(remembered, host, () => new Map<string, Map<string, GroupPolicy | null>>());
    getOrAdd(paths, path, () => new Map<string, GroupPolicy | null>()).set(group, policy);
    count++;
    return policy;
  };
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
