/** `check-config --online`: asks the query of each policy once, and says what it would mean. */
import { endpointFor } from "../client/target.ts";
import { TlsEndpoint } from "../client/tls.ts";
import { VmmdClient, VmmdError } from "../client/vmmd.ts";
import type { Clock } from "../clock.ts";
import { matcherOf } from "../config/glob.ts";
import { fillIn, type Load, type QueryVariables } from "../config/promql.ts";
import type { ScalerPolicy } from "../config/scaler.ts";
import type { Config } from "../config/sections.ts";
import type { TargetConfig } from "../config/target.ts";
import { Fleet } from "../fleet/fleet.ts";
import type { LoadAnswer } from "../scaler/rules/types.ts";
import { FleetSource } from "../scaler/sources/fleet.ts";
import { connectPrometheus } from "../scaler/sources/prometheus.ts";
import { MAX_QUERIES } from "../scaler/sources/promql.ts";
import { type Name, parseName, tryParseName } from "../wire/names.ts";

/**
 * A line for each policy with `load`: policy, query, value, percent and verdict. A query is filled in for the first group
 * of its policy that unikernel info lists or, without any, that `match` spells out. One of a disabled policy is not asked,
 * as `serve` does not. Resolves to false when one fails.
 */
export async function checkOnline(
  { targets, scaler }: Config,
  clock: Clock,
  print: (line: string) => void,
): Promise<boolean> {
  const { policies, prometheus, defaults } = scaler;
  if (prometheus === null || policies.every(({ load }) => load === null)) {
    print("no policy asks Prometheus for its load");
    return true;
  }
  const isFor = policies.map(matcherOf);
  /** the first group of each policy, by the policy's index */
  const listed = new Map<number, QueryVariables>();
  for (const group of await listedGroups(targets, defaults.deathTimeoutMs, clock)) {
    const index = isFor.findIndex((matches) => matches(group.host, `${group.path}:${group.group}`));
    if (!listed.has(index)) listed.set(index, group);
  }
  const connection = connectPrometheus(prometheus);
  const check = async (policy: PolicyWithLoad): Promise<Checked> => {
    const { match, load, enabled, group } = policy;
    const notAsked = (why: string) => {
      return { isPassed: true, line: [match, load.query.text, "-", "-", `not asked: ${why}`] };
    };
    if (!enabled) return notAsked("the policy is disabled");
    if (group === null) return notAsked("no target that answers lists a group of this policy");
    const query = fillIn(load.query, group);
    const answer = await connection.ask(query, AbortSignal.timeout(prometheus.timeoutMs));
    const line = [match, query, ...verdict(answer, policy, group)];
    return { isPassed: answer.outcome === "ok", line };
  };
  const withLoad = policies.flatMap((policy, index) => {
    const { load } = policy;
    const group = listed.get(index) ?? spelledOut(policy, targets);
    return load === null ? [] : [{ ...policy, load, group }];
  });
  const checked: Checked[] = [];
  const waiting = withLoad.entries();
  // the time of a query begins when it is sent: none waits for a connection
  const work = async () => {
    for (const [index, policy] of waiting) checked[index] = await check(policy);
  };
  await Promise.all(Array.from({ length: MAX_QUERIES }, work));
  connection.close();
  for (const { line } of checked) print(line.map(oneLine).join("  "));
  return checked.every(({ isPassed }) => isPassed);
}

interface PolicyWithLoad extends ScalerPolicy {
  readonly load: Load;
  /** which the query is filled in for */
  readonly group: QueryVariables | null;
}

interface Checked {
  readonly isPassed: boolean;
  readonly line: readonly string[];
}

/** The group that the policy's glob is the name of; null where it may be many. */
function spelledOut({ match, host }: ScalerPolicy, targets: readonly TargetConfig[]): QueryVariables | null {
  const name = tryParseName(match);
  if (name === null || name.label === null) return null;
  return {
    host: host ?? targets[0]?.name ?? "",
    path: name.path.join(":"),
    group: name.label,
    members: [name.label],
  };
}

/** What unikernel info lists on the targets that answer. */
async function listedGroups(
  targets: readonly TargetConfig[],
  deathTimeoutMs: number,
  clock: Clock,
): Promise<QueryVariables[]> {
  const fleet = new Fleet({ clock, deathTimeoutMs });
  await Promise.all(
    targets.map(async (target) => {
      const endpoint = endpointFor(target, clock);
      let names: readonly Name[] = target.subscribe.map((text) => parseName(text));
      if (endpoint instanceof TlsEndpoint) {
        await endpoint.refresh();
        names = endpoint.credentials?.subscribe ?? [];
      }
      const maxFrameBytes = target.maxFrameBytes.vmmd;
      const client = new VmmdClient({ endpoint, maxFrameBytes, clock });
      try {
        const infos = await client.infosOf(names);
        const entries = infos.flatMap((info) => info.entries);
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

/** Value, percent and what they mean. */
function verdict(
  answer: LoadAnswer,
  { load, scaleUpThresholdPercent: up, scaleDownThresholdPercent: down }: PolicyWithLoad,
  { host, path, group, members }: QueryVariables,
): readonly [string, string, string] {
  if (answer.outcome !== "ok") return ["-", "-", `FAILED (${answer.outcome}): ${answer.text}`];
  const percent = (100 * answer.value) / (load.capacityPerMember * members.length);
  const count = members.length === 1 ? "1 member" : `${members.length} members`;
  const where =
    percent > up ? `above ${up} %` : percent < down ? `below ${down} %` : `between ${down} % and ${up} %`;
  const meaning = `ok: ${where}, as ${count} of ${host} ${path}:${group}`;
  return [String(answer.value), `${Number(percent.toFixed(1))} %`, meaning];
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}
