import type { ActionJson } from "../scaler/actions/record.ts";
import { HISTORY_GROUPS } from "../scaler/report/history.ts";
import { clonesOf } from "../scaler/report/words.ts";
import { knownLoad } from "../scaler/rules/averages.ts";
import {
  type Evaluation,
  type GroupName,
  type HoldReason,
  modeOf,
  type Scale,
} from "../scaler/rules/types.ts";
import type { WebDeps } from "./app.ts";
import { counted, type Html, html, type Mood, NOTHING, pill } from "./html.ts";
import { amount, percent, smallLine } from "./line.ts";

/** How a group stands: what is said of it, how urgent it is, and what somebody may do. */
interface Standing {
  readonly mood: Mood;
  readonly words: string;
  readonly todo: string | null;
}

/** The nearer to the top: wrong, acting, holding, as it should be, left alone. */
const BY_URGENCY: readonly Mood[] = ["bad", "act", "watch", "good", "off"];

/** `load_unknown` is no_data where a query has no answer that is a load. */
type Hold = HoldReason | "load_unknown";

const HOLDS: Readonly<Record<Hold, readonly [Mood, words: string]>> = {
  no_policy: ["off", "no policy"],
  disabled: ["off", "disabled"],
  no_data: ["bad", "no data"],
  load_unknown: ["bad", "load not known"],
  orphaned: ["bad", "orphaned"],
  acting: ["act", "being carried out"],
  cooldown: ["watch", "cooling down"],
  backoff: ["bad", "an action failed"],
  at_max: ["bad", "busy at max_clones"],
  at_min: ["good", "idle at min_clones"],
  outstanding: ["act", "decided already"],
  no_clone_name: ["bad", "no name for a clone"],
  host_limit: ["watch", "waits for its host"],
  would_overload: ["watch", "idle, keeps its clones"],
  not_ours: ["watch", "clones of others"],
  paused: ["watch", "paused"],
  incomplete_data: ["watch", "members not measured"],
  cores_saturated: ["bad", "cores used up"],
  pending_up: ["watch", "busy"],
  pending_down: ["watch", "idle"],
  normal: ["good", "normal"],
};

const TODOS: Readonly<Partial<Record<Hold, string>>> = {
  no_data:
    "Look whether its members run and whether the host's subscription covers them: nothing is decided until they are measured.",
  load_unknown:
    "Put right why (the sentence says it): albatross-exporter check-config --online asks the query once. Nothing is decided until it has an answer.",
  orphaned:
    "Create the primary again, or destroy what is left of its clones: a group without its primary is never scaled.",
  backoff: "See why under /api/v1/actions; it is tried again by itself, and at once after a reload.",
  at_max: "Raise max_clones in its policy, give its members more CPUs, or find what loads them.",
  no_clone_name: "Scale it by hand, under another name.",
  not_ours: "Set adopt_clones: true in its policy, or destroy a clone by hand.",
  cores_saturated: "Pin its members to other cores, or move VMs off the ones that they share.",
};

/** A decision that has not been carried out yet comes first in what is said: in dry run it is what there is to do. */
export function standing(evaluation: Evaluation): Standing {
  const { decision, state, observation } = evaluation;
  const asked: Scale | null = decision.decision === "hold" ? state.outstanding : decision;
  if (asked === null) {
    const { hostLive, load } = observation;
    const isLoadUnknown = decision.reason === "no_data" && hostLive && load !== null && load.outcome !== "ok";
    const hold = isLoadUnknown ? "load_unknown" : (decision.reason as HoldReason);
    const [mood, words] = HOLDS[hold];
    return { mood, words, todo: TODOS[hold] ?? null };
  }
  const [verb, verbing] = asked.decision === "scale_up" ? ["create", "creating"] : ["remove", "removing"];
  const clones = clonesOf(asked);
  if (modeOf(evaluation) === "execute") return { mood: "act", words: `${verbing} ${clones}`, todo: null };
  const todo = `${verb[0]?.toUpperCase()}${verb.slice(1)} ${clones} on ${observation.host} by hand: in dry run a decision is not carried out.`;
  return { mood: "act", words: `${verb} ${clones}`, todo };
}

/** `user:web`, `:hello`. */
export function fullName({ path, group }: Omit<GroupName, "host">): string {
  return `${path}:${group}`;
}

/** The group's own page, seen from the front page. */
export function groupHref(name: GroupName): string {
  return `groups/${encodeURIComponent(name.host)}/${encodeURIComponent(fullName(name)).replaceAll("%3A", ":")}`;
}

/** 100 a page: a table that is read, not a list that is searched. */
const GROUPS_A_PAGE = 100;

export interface GroupsQuery {
  readonly page: number;
  /** a part of a group's name or of its host's */
  readonly group: string;
}

/** What a request asks for; what makes no sense is left out, as the page ignores what it does not know. */
export function groupsQuery({ page, group }: Readonly<Record<string, unknown>>): GroupsQuery {
  const number = typeof page === "string" && /^[1-9]\d{0,6}$/.test(page) ? Number(page) : 1;
  return { page: number, group: typeof group === "string" ? group.slice(0, 200).trim() : "" };
}

/** An evaluated group with how it stands. */
export interface GroupStanding {
  readonly evaluation: Evaluation;
  readonly standing: Standing;
}

/** Every evaluated group, the most urgent first. Those that no policy matches are the last. */
export function standings(scaler: WebDeps["scaler"]): readonly GroupStanding[] {
  return scaler.evaluations
    .map((evaluation) => ({ evaluation, standing: standing(evaluation) }))
    .sort((a, b) => BY_URGENCY.indexOf(a.standing.mood) - BY_URGENCY.indexOf(b.standing.mood));
}

/** The section of the front page that lists them. */
export function groupsSection(
  scaler: WebDeps["scaler"],
  all: readonly GroupStanding[],
  { page, group }: GroupsQuery,
): Html {
  const part = group.toLowerCase();
  const wanted = all.filter(
    ({ evaluation: { observation } }) =>
      part === "" || `${observation.host} ${fullName(observation)}`.toLowerCase().includes(part),
  );
  const pages = Math.max(1, Math.ceil(wanted.length / GROUPS_A_PAGE));
  const current = Math.min(page, pages);
  const shown = wanted.slice((current - 1) * GROUPS_A_PAGE, current * GROUPS_A_PAGE);
  const withPolicy = all.filter(({ evaluation: { policy } }) => policy !== null).length;
  const search =
    all.length < 2
      ? NOTHING
      : html`<form action="./" role="search">
<label for="group">Find a group</label> <input id="group" name="group" type="search" value="${group}" placeholder="user:web">
<button type="submit">Find</button>${part === "" ? NOTHING : html` <a href="./">Show all</a>`}
</form>
`;
  const beyond =
    withPolicy > HISTORY_GROUPS
      ? html`<p class="soft small">Lines are kept for ${HISTORY_GROUPS.toLocaleString("en")} groups;
${counted(withPolicy - HISTORY_GROUPS, "group")} more have none.</p>\n`
      : NOTHING;
  const found =
    part === ""
      ? NOTHING
      : html`<p>${counted(wanted.length, "group")} of ${all.length.toLocaleString("en")} with <code>${group}</code> in the name.</p>\n`;
  return html`${search}${beyond}${found}<ul>
${shown.map((one) => groupRow(scaler, one))}</ul>
${pageLinks(current, pages, group)}`;
}

function pageLinks(current: number, pages: number, group: string): Html {
  if (pages === 1) return NOTHING;
  const link = (page: number, words: string) => {
    const query = new URLSearchParams({ ...(group !== "" && { group }), page: String(page) });
    return html`<a href="./?${query.toString()}">${words}</a>\n`;
  };
  return html`<nav class="pages" aria-label="Pages of groups">
<span>Page ${current} of ${pages}</span>
${current > 1 ? [link(1, "First"), link(current - 1, "Previous")] : NOTHING}
${current < pages ? [link(current + 1, "Next"), link(pages, "Last")] : NOTHING}</nav>`;
}

function groupRow(scaler: WebDeps["scaler"], { evaluation, standing }: GroupStanding): Html {
  const { observation, policy, clones } = evaluation;
  const href = groupHref(observation);
  const points = scaler.history(observation);
  const told =
    policy === null
      ? { line: NOTHING, bounds: NOTHING, why: "" }
      : {
          line: points ? smallLine(points, policy) : html`<span class="soft small">no line kept</span>`,
          bounds: html`<div class="soft small">${policy.minClones} to ${policy.maxClones} allowed</div>`,
          why: scaler.explain(observation)?.text ?? "",
        };
  return html`<li class="card group" id="${href}">
<div><h3><a href="${href}">${fullName(observation)}</a></h3><div class="soft small">on ${observation.host}</div></div>
<div>${told.line}</div>
<div>${figure(evaluation)}</div>
<div><span class="figure">${clones}</span> ${clones === 1 ? "clone" : "clones"}${told.bounds}</div>
<div>${pill(standing.mood, standing.words)}<p class="small">${told.why}</p></div>
</li>
`;
}

const ACTION_MOODS: Readonly<Record<string, Mood>> = {
  verified: "good",
  refused: "bad",
  failed: "bad",
  lost: "bad",
  abandoned: "watch",
};

/** An action and its decision have one time, but for what is lost in reckoning between clocks. */
const SAME_MS = 50;

/** What has become of a decision where it is carried out: its actions, the oldest first, a line each. */
export function actionsOf(
  { host, path, group, time }: GroupName & { readonly time: string },
  actions: readonly ActionJson[],
): Html {
  const own = actions.filter(
    (one) =>
      one.host === host &&
      one.path === path &&
      one.group === group &&
      Math.abs(Date.parse(one.decision_time ?? "") - Date.parse(time)) <= SAME_MS,
  );
  const line = ({ operation, clone, outcome, phase, reason, text }: ActionJson) => {
    const mood = ACTION_MOODS[outcome ?? ""] ?? "act";
    const why = `${reason === null ? "" : ` (${reason})`}${text === "" ? "" : `: ${text}`}`;
    return html`<div class="small">${pill(mood, outcome ?? phase)} ${operation} ${clone}${why}</div>\n`;
  };
  return html`${own.reverse().map(line)}`;
}

/** How much a group has to do: its average CPU usage or, in its query's unit, its load and what its members can carry. */
export function figure({ observation, averages, policy }: Evaluation): Html {
  if (!policy?.load)
    return html`<span class="figure">${percent(averages.fresh)}</span> <span class="soft small">CPU</span>`;
  const capacity = amount(policy.load.capacityPerMember * averages.members);
  return html`<span class="figure">${amount(knownLoad(observation))}</span> <span class="soft small load">of ${capacity} that its members can take</span>`;
}
