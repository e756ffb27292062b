import type { Group, GroupMember, VmInfo } from "../fleet/types.ts";
import { MAX_ACTIONS_TOLD } from "../scaler/actions/executor.ts";
import type { ActionJson } from "../scaler/actions/record.ts";
import type { RecentDecision } from "../scaler/report/log.ts";
import { knownLoad, loadThresholds } from "../scaler/rules/averages.ts";
import type { Evaluation, GroupName } from "../scaler/rules/types.ts";
import type { WebDeps } from "./app.ts";
import { actionsOf, figure, fullName, standing } from "./groups.ts";
import { age, ago, counted, type Html, heads, html, NOTHING, page, pill } from "./html.ts";
import { amount, chart, percent } from "./line.ts";

/** Its newest decisions, changes of hold among them. */
const DECISIONS_SHOWN = 50;

/** A group by its address, `HOST` and `PATH:NAME`; null where it neither is nor was decided about. */
export function groupPage(deps: WebDeps, host: string, name: string): Html | null {
  const parts = /^(?:(.*):)?([^:]+)$/.exec(name.toLowerCase());
  const wanted: GroupName = { host, path: parts?.[1] ?? "", group: parts?.[2] ?? "" };
  const { scaler } = deps;
  const isWanted = (one: GroupName) =>
    one.group === wanted.group && one.path === wanted.path && one.host === host;
  const group = deps.snapshot().groups().find(isWanted);
  const evaluation = scaler.evaluations.find(({ observation }) => isWanted(observation));
  const decisions = [...scaler.decisions({ limit: DECISIONS_SHOWN, host, group: fullName(wanted) })];
  if (group === undefined && evaluation === undefined && decisions.length === 0) return null;
  const nowMs = deps.clock.wallMs();
  return page({
    title: `${fullName(wanted)} on ${host} · albatross-exporter`,
    root: "../../",
    about: `Version ${deps.build.version}`,
    content: html`<h2>${fullName(wanted)} <span class="soft">on ${host}</span></h2>
${evaluation === undefined ? notEvaluated(group) : evaluated(deps, evaluation, decisions, nowMs)}
${group === undefined ? NOTHING : membersSection(group, evaluation, nowMs)}
${decisionsSection(decisions, [...scaler.actions({ limit: MAX_ACTIONS_TOLD })], nowMs)}
${evaluation?.policy ? policySection(deps, evaluation, nowMs) : NOTHING}`,
    footer: html`<nav aria-label="Also here"><ul class="links small">
<li><a href="../../">All groups and hosts</a></li>
<li><a href="../../api/v1/decisions?${new URLSearchParams({ host, group: fullName(wanted) }).toString()}">Its decisions as JSON</a></li>
</ul></nav>`,
  });
}

function notEvaluated(group: Group | undefined): Html {
  return group === undefined
    ? html`<p>${pill("off", "gone")} No member of it is alive. What was decided about it stands below.</p>`
    : html`<p>${pill("off", "not evaluated yet")} The scaler evaluates it at its next poll.</p>`;
}

/** How it stands and why, what to do, its figures, and the line of the last hour. */
function evaluated(
  { scaler }: WebDeps,
  evaluation: Evaluation,
  decisions: readonly RecentDecision[],
  nowMs: number,
): Html {
  const { observation, policy, averages, clones } = evaluation;
  const { mood, words, todo } = standing(evaluation);
  const told = scaler.explain(observation);
  const points = scaler.history(observation);
  const bounds = policy === null ? "" : ` of ${policy.minClones} to ${policy.maxClones}`;
  const desired =
    told !== null && told.desired_clones !== clones ? html`, ${told.desired_clones} wanted` : NOTHING;
  return html`<p>${pill(mood, words)} ${told?.text ?? ""}</p>
${todo === null ? NOTHING : html`<p class="card concern ${mood}"><strong>What to do:</strong> ${todo}</p>`}
<ul class="links">
<li>${policy?.load ? figure(evaluation) : html`<span class="figure">${percent(averages.fresh)}</span> CPU on average`}</li>
<li><span class="figure">${clones}</span> ${clones === 1 ? "clone" : "clones"}${bounds}${desired}</li>
</ul>
${policy === null || points === null ? NOTHING : chart(points, policy, decisions, nowMs)}`;
}

function membersSection(group: Group, evaluation: Evaluation | undefined, nowMs: number): Html {
  const observed = new Map(evaluation?.observation.members.map((one) => [one.vm, one]));
  const row = ({ record, role, state }: GroupMember) => {
    const info = "info" in record ? record.info : null;
    const seen = observed.get(record.vm);
    const starved = seen?.starved ? html` ${pill("watch", "starved: its cores are full")}` : NOTHING;
    const last = record.sample === null ? html`none yet` : ago(record.sample.arrivalWallMs, nowMs);
    return html`<tr>
<th scope="row">${record.vm}</th>
<td data-label="Role">${role}</td>
<td data-label="State">${pill(MEMBER_MOODS[state], state)}${starved}</td>
<td data-label="CPU now">${bar(record.usagePercent)}</td>
<td data-label="CPU at the last evaluation">${percent(seen?.usagePercent ?? null)}</td>
<td data-label="CPUs">${info === null ? "–" : cpusWords(info)}</td>
<td data-label="Restarts">${"restarts" in record ? record.restarts : 0}</td>
<td data-label="Last sample">${last}</td>
</tr>
`;
  };
  return html`<section aria-labelledby="members">
<h2 id="members">${counted(group.members.length, "member")}</h2>
<div class="card"><table>
${heads("VM", "Role", "State", "CPU now", "At the last evaluation", "CPUs", "Restarts", "Last sample")}
<tbody>
${group.members.map(row)}</tbody>
</table></div>
</section>`;
}

/** `2 (cpuid 0, 1)`. */
function cpusWords({ cpus, cpuids }: VmInfo): string {
  return cpuids === "" ? `${cpus}` : `${cpus} (cpuid ${cpuids.replaceAll(",", ", ")})`;
}

const MEMBER_MOODS = { fresh: "good", warming: "watch", missing: "watch", silent: "bad" } as const;

function bar(usage: number | null): Html {
  if (usage === null) return html`–`;
  return html`${percent(usage)}
<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
<rect class="back" width="100" height="1"/>
<rect class="full" width="${usage.toFixed(1)}" height="1"/>
</svg>`;
}

function decisionsSection(
  decisions: readonly RecentDecision[],
  actions: readonly ActionJson[],
  nowMs: number,
): Html {
  const row = (one: RecentDecision) => {
    const { time, decision, reason, clones, text } = one;
    const what =
      decision === "hold" ? html`<span class="soft">hold</span>` : pill("act", decision.replace("_", " "));
    return html`<tr>
<td data-label="When" class="when">${ago(Date.parse(time), nowMs)}</td>
<td data-label="Decision">${what} <span class="soft small">${reason}</span></td>
<td data-label="Clones">${clones}</td>
<td>${text}${decision === "hold" ? NOTHING : actionsOf(one, actions)}</td>
</tr>
`;
  };
  return html`<section aria-labelledby="decisions">
<h2 id="decisions">Last decisions and actions</h2>
${
  decisions.length === 0
    ? html`<p class="soft">None yet.</p>`
    : html`<div class="card"><table>
${heads("When", "Decision", "Clones", "Why")}
<tbody>
${decisions.map(row)}</tbody>
</table></div>`
}
</section>`;
}

/** What holds for it, and how far it is: counters, cooldowns, ids that rest. */
function policySection({ scaler }: WebDeps, evaluation: Evaluation, nowMs: number): Html {
  const { observation, policy: limits } = evaluation;
  const told = scaler.explain(observation);
  if (limits === null || told === null || told.policy === null) return NOTHING;
  const { policy } = told;
  const list = (items: readonly (string | number)[]) => (items.length === 0 ? "none" : items.join(", "));
  const free = (seconds: number) => (seconds > 0 ? age(seconds * 1000) : "free");
  const facts: readonly (readonly [string, string | number | Html])[] = [
    ["Evaluations above, in a row", `${told.high_ticks} of ${limits.scaleUpTriggerTicks}`],
    ["Evaluations below, in a row", `${told.low_ticks} of ${limits.scaleDownTriggerTicks}`],
    ...heldAgainst(evaluation),
    ["Cooldown before scaling up", free(told.scale_up_cooldown_remaining_seconds)],
    ["Cooldown before scaling down", free(told.scale_down_cooldown_remaining_seconds)],
    ["Last scale decision", told.last_action === null ? "none" : ago(Date.parse(told.last_action), nowMs)],
    ["Can be cloned", told.not_cloneable ?? (told.cloneable === true ? "yes" : "not known")],
    ["Clones made here", list(told.made_here)],
    ["Ids that rest", list(told.tombstones.map(({ clone_id }) => clone_id))],
  ];
  return html`<section aria-labelledby="counting">
<h2 id="counting">Where it stands</h2>
<dl class="card facts">
${facts.map(([name, value]) => fact(name, value))}</dl>
</section>
<section aria-labelledby="policy">
<h2 id="policy">Policy</h2>
<dl class="card facts">
${policyKeys(policy).map(([key, value]) => fact(html`<code>${key}</code>`, String(value)))}</dl>
</section>`;
}

/** What is held against each threshold or, in its query's unit, a load from PromQL and the thresholds. */
function heldAgainst({ policy, averages, observation }: Evaluation): readonly (readonly [string, string])[] {
  const { forUp, forDown } = averages;
  const thresholds = policy && loadThresholds(policy, averages);
  if (!thresholds)
    return [
      ["Average for scaling up", percent(forUp)],
      ["Average for scaling down", percent(forDown)],
    ];
  return [
    ["Load", amount(knownLoad(observation))],
    ["Threshold for scaling up", `${amount(thresholds.up)} (${policy.scaleUpThresholdPercent} %)`],
    ["Threshold for scaling down", `${amount(thresholds.down)} (${policy.scaleDownThresholdPercent} %)`],
    ["Last answer of its query", observation.load?.outcome ?? "none yet"],
  ];
}

function fact(name: string | Html, value: string | number | Html): Html {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>\n`;
}

/** The keys that say something, those of its sections below their names: `clone.memory`. */
function policyKeys(section: object, path = ""): readonly (readonly [string, unknown])[] {
  return Object.entries(section).flatMap(([key, value]) => {
    if (value === null || value === undefined) return [];
    if (Array.isArray(value)) return [[`${path}${key}`, value.join(" ") || "none"]];
    return typeof value === "object" ? policyKeys(value, `${path}${key}.`) : [[`${path}${key}`, value]];
  });
}
