/** `check-config --online`: asks the query of each policy once, and says what it would mean. */
import { SocketDirectory } from "../client/endpoint.ts";
import { VmmdClient, VmmdError } from "../client/vmmd.ts";
import type { Clock } from "../clock.ts";
import { matchesGlob, parseGlob } from "../config/glob.ts";
import { fillIn, type Load, type QueryVariables } from "../config/promql.ts";
import type { ScalerDefaults, ScalerPolicy } from "../config/scaler.ts";
import type { Config } from "../config/sections.ts";
import type { TargetConfig } from "../config/target.ts";
import { Fleet } from "../fleet/fleet.ts";
import type { LoadAnswer } from "../scaler/rules/types.ts";
import { FleetSource } from "../scaler/sources/fleet.ts";
import { connectPrometheus } from "../scaler/sources/prometheus.ts";
import { parseName } from "../wire/names.ts";

/**
 * A line for each policy with `load`: policy, query, value, percent and verdict. A query is filled in for the first group of
 * its policy that unikernel info lists or, without any, that `match` spells out. False when one fails.
 */
export async function checkOnline({ targets, scaler }: Config, clock: Clock, print: (line: string) => void) {
  const { policies, prometheus } = scaler;
  if (prometheus === null) {
    print("no policy asks Prometheus for its load");
    return true;
  }
  const groups = await listedGroups(targets, scaler.defaults, clock);
  const { ask, close } = connectPrometheus(prometheus);
  const asked = policies.map(async (policy, index) => {
    if (policy.load === null) return null;
    const isOf = ({ host, path, group }: QueryVariables) =>
      policies.findIndex((one) => matches(one, host, `${path}:${group}`)) === index;
    const variables = groups.find(isOf) ?? spelledOut(policy, targets);
    const head = `${policy.match}  ${oneLine(policy.load.query.text)}`;
    if (variables === null)
      return {
        line: `${head}  -  -  not asked: no target that answers lists a group of this policy`,
        ok: true,
      };
    const query = fillIn(policy.load.query, variables);
    const answer = await ask(query, AbortSignal.timeout(prometheus.timeoutMs));
    const line = `${policy.match}  ${oneLine(query)}  ${verdict(answer, policy, policy.load, variables)}`;
    return { line, ok: answer.outcome === "ok" };
  });
  const told = (await Promise.all(asked)).filter((one) => one !== null);
  close();
  for (const { line } of told) print(line);
  return told.every(({ ok }) => ok);
}

function matches({ match, host }: ScalerPolicy, onHost: string, name: string): boolean {
  return (host === null || host === onHost) && matchesGlob(parseGlob(match), name);
}

/** The group that the policy's glob is the name of; null where it may be many. */
function spelledOut({ match, host }: ScalerPolicy, targets: readonly TargetConfig[]): QueryVariables | null {
  if (/[*?[]/.test(match)) return null;
  const { path, label } = parseName(match);
  if (label === null) return null;
  const onHost = host ?? targets[0]?.name ?? "";
  return { host: onHost, path: path.join(":"), group: label, members: [label] };
}

/** What unikernel info lists on the targets that answer. */
async function listedGroups(
  targets: readonly TargetConfig[],
  { deathTimeoutMs }: Pick<ScalerDefaults, "deathTimeoutMs">,
  clock: Clock,
): Promise<QueryVariables[]> {
  const fleet = new Fleet({ clock, deathTimeoutMs });
  await Promise.all(
    targets.map(async (target) => {
      const endpoint = new SocketDirectory(target);
      const client = new VmmdClient({ endpoint, maxFrameBytes: target.maxFrameBytes.vmmd, clock });
      try {
        for (const { entries } of await client.infosOf(target.subscribe.map(parseName)))
          fleet.recordInfo(target.name, entries, clock.nowUs());
      } catch (error) {
        // one need not be where the hosts are to check a configuration
        if (!(error instanceof VmmdError)) throw error;
      }
    }),
  );
  return new FleetSource(fleet).groups().map(({ host, path, group, members }) => {
    return { host, path, group, members: members.map(({ record }) => record.vm) };
  });
}

function verdict(
  answer: LoadAnswer,
  { scaleUpThresholdPercent: up, scaleDownThresholdPercent: down }: ScalerPolicy,
  { capacityPerMember }: Load,
  { host, path, group, members }: QueryVariables,
): string {
  if (answer.outcome !== "ok") return `-  -  FAILED (${answer.outcome}): ${answer.text}`;
  const percent = (100 * answer.value) / (capacityPerMember * members.length);
  const count = members.length === 1 ? "1 member" : `${members.length} members`;
  const meaning =
    percent > up ? `above ${up} %` : percent < down ? `below ${down} %` : `between ${down} % and ${up} %`;
  return `${answer.value}  ${Number(percent.toFixed(1))} %  ok: ${meaning}, as ${count} of ${host} ${path}:${group}`;
}

function oneLine(query: string): string {
  return query.replaceAll(/\s+/g, " ").trim();
}
