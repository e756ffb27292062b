import type { SubscriptionSnapshot, SubscriptionState } from "../client/subscription.ts";
import type { TargetSnapshot } from "../client/target.ts";
import { MAX_ACTIONS_TOLD } from "../scaler/actions/executor.ts";
import { modeOf } from "../scaler/rules/types.ts";
import type { ScalerSummary } from "../scaler/scaler.ts";
import type { LastReload, WebDeps } from "./app.ts";
import {
  actionsOf,
  fullName,
  type GroupStanding,
  type GroupsQuery,
  groupHref,
  groupsSection,
  standings,
} from "./groups.ts";
import { age, ago, counted, type Html, heads, html, type Mood, NOTHING, page, pill } from "./html.ts";
import { ROUTES } from "./routes.ts";

/** Something that somebody has to look at: what is wrong, why, and what to do. */
interface Concern {
  readonly mood: Mood;
  readonly what: string | Html;
  readonly why: string | (() => string);
  readonly todo: string;
}

/** As many as are read at a glance. */
const MOST_SHOWN = 10;
/** A table of hosts is long at this. */
const MOST_HOSTS = 100;

/** The front page: what is wrong, why and what to do; then groups, what was decided, and hosts. */
export function landingPage(deps: WebDeps, query: GroupsQuery): Html {
  const targets = deps.targets();
  const nowMs = deps.clock.wallMs();
  const summary = deps.scaler.summary();
  const groups = standings(deps.scaler);
  const lastReload = deps.lastReload();
  const concerns = [
    ...reloadConcerns(lastReload, nowMs),
    ...targets.flatMap((target) => targetConcerns(target, nowMs)),
    ...scalerConcerns(summary, nowMs),
    ...groups.flatMap((group) => groupConcerns(deps.scaler, group, nowMs)),
  ];
  const { telemetryPath } = deps.config().web;
  const now = new Date(nowMs).toISOString().slice(0, 19).replace("T", " ");
  const todo = concerns.length === 0 ? "" : `(${concerns.length}) `;
  return page({
    title: `${todo}albatross-exporter`,
    root: "./",
    about: `Version ${deps.build.version}`,
    content: html`${concernsSection(concerns)}
<section aria-labelledby="groups">
<h2 id="groups">Groups</h2>
<p class="soft">${scalerWords(summary, groups, nowMs)}</p>
${groupsSection(deps.scaler, groups, query)}
</section>
${lastDecisions(deps.scaler, nowMs)}
<section aria-labelledby="hosts">
<h2 id="hosts">Hosts</h2>
<p class="soft">${hostsWords(targets)}</p>
${hostsTable(targets, nowMs)}
</section>
<p class="soft small">Configuration ${lastReload.problems.length === 0 ? "read" : "refused"} ${ago(lastReload.timeMs, nowMs)}. As of ${now} UTC.</p>`,
    footer: html`<nav aria-label="Also here"><ul class="links small">
<li><a href=".${telemetryPath}">Metrics</a></li>
${ROUTES.map(({ path, what }) => html`<li><a href=".${path}" title="${what}">${path}</a></li>\n`)}</ul></nav>`,
  });
}

function concernsSection(concerns: readonly Concern[]): Html {
  if (concerns.length === 0) {
    return html`<section class="card calm" aria-labelledby="now">
<h2 id="now" class="good">Nothing needs you</h2>
<p>Every host is heard, and no group waits for somebody.</p>
</section>`;
  }
  const more = concerns.length - MOST_SHOWN;
  return html`<section aria-labelledby="now">
<h2 id="now">${concerns.length === 1 ? "One thing needs" : `${concerns.length.toLocaleString("en")} things need`} somebody</h2>
<ol>
${concerns.slice(0, MOST_SHOWN).map(
  ({ mood, what, why, todo }) => html`<li class="card concern ${mood}">
<h3>${what}</h3>
<p>${typeof why === "string" ? why : why()}</p>
<p><strong>What to do:</strong> ${todo}</p>
</li>
`,
)}</ol>
${more > 0 ? html`<p>And ${more.toLocaleString("en")} more: the groups among them come first below.</p>` : NOTHING}
</section>`;
}

function bad(what: string | Html, why: string, todo: string): Concern {
  return { mood: "bad", what, why, todo };
}

function reloadConcerns({ timeMs, problems }: LastReload, nowMs: number): readonly Concern[] {
  if (problems.length === 0) return [];
  const more = problems.length - MOST_SHOWN;
  return [
    bad(
      html`The configuration was not reloaded ${ago(timeMs, nowMs)}: the one before stays in force`,
      `${problems.slice(0, MOST_SHOWN).join("; ")}${more > 0 ? `; and ${more} more` : ""}`,
      "Mend the file, try it with check-config, and reload again (SIGHUP).",
    ),
  ];
}

function targetConcerns(target: TargetSnapshot, nowMs: number): readonly Concern[] {
  const { name, up, subscriptions, infoReadable, infoError } = target;
  const wrong = subscriptions.find(({ state }) => SUBSCRIPTIONS[state].mood === "bad");
  const concerns: Concern[] = [];
  if (!up || wrong !== undefined) {
    const { words = null, todo = LOOK_AT_STATS } = wrong ? SUBSCRIPTIONS[wrong.state] : {};
    const none = subscriptions.length === 0 ? infoError : null;
    const what = up ? `Subscription ${wrong?.subscription} of ${name} does not work` : `Host ${name} is down`;
    concerns.push(bad(what, wrong?.lastError ?? words ?? none ?? "No sample arrives.", todo));
  }
  if (up && infoReadable === false) {
    concerns.push(
      bad(
        `Unikernel info of ${name} cannot be read`,
        infoError ?? "albatrossd does not answer",
        "Look whether albatrossd runs there and is reached as configured: limits, CPUs and policies are missing.",
      ),
    );
  }
  return [...concerns, ...certificateConcerns(target, nowMs)];
}

const LOOK_AT_STATS =
  "Look whether albatross-stats runs there and is reached as configured: until then its VMs are not served and its groups not scaled.";
const SOON_MS = 14 * 86_400_000;

function certificateConcerns(
  { name, certificates, certificateError, policyDifference }: TargetSnapshot,
  nowMs: number,
): readonly Concern[] {
  const concerns: Concern[] = [];
  const todo = "Put another in its place: files are read again within half a minute.";
  // where there are none before them, that is said already
  if (certificateError !== null && certificates.length > 0) {
    const what = `New certificates of ${name} cannot be used: those before stay in use`;
    concerns.push(bad(what, certificateError, todo));
  }
  if (policyDifference !== null) {
    concerns.push(
      bad(
        `The policy on ${name} is not its certificate's: somebody else changes it`,
        policyDifference,
        "Make a certificate with the policy that is wanted, or have nobody else set one: until then each undoes what the other set.",
      ),
    );
  }
  for (const { certificate, notAfterMs } of certificates) {
    if (notAfterMs - nowMs > SOON_MS) continue;
    const date = new Date(notAfterMs).toISOString().slice(0, 16).replace("T", " ");
    const verb = notAfterMs < nowMs ? "has expired" : "expires soon";
    const which = certificate === "server" ? "The one that the host shows" : certificate;
    concerns.push(bad(`A certificate of ${name} ${verb}`, `${which} is valid until ${date} UTC.`, todo));
  }
  return concerns;
}

function scalerConcerns(
  { isOff, lastTickMs, pollIntervalMs }: ScalerSummary,
  nowMs: number,
): readonly Concern[] {
  if (isOff)
    return [
      bad(
        "Nothing is scaled: the scaler's state cannot be read",
        "Without it a decision might be taken twice, so no group is evaluated; it is tried again every minute.",
        "The log says which file and why: make it readable for this program.",
      ),
    ];
  if (lastTickMs === null || nowMs - lastTickMs < 3 * pollIntervalMs + 1_000) return [];
  return [
    bad(
      `No group has been evaluated for ${age(nowMs - lastTickMs)}`,
      `poll_interval is ${age(pollIntervalMs)}: evaluations should come as often.`,
      "Look at the log, and at how busy this machine is.",
    ),
  ];
}

/** Where a host is down that is said of the host, not of all its groups. */
function groupConcerns(
  scaler: WebDeps["scaler"],
  { evaluation, standing }: GroupStanding,
  nowMs: number,
): readonly Concern[] {
  const { observation, state } = evaluation;
  const { mood, todo, words } = standing;
  if (todo === null || mood === "watch" || !observation.hostLive) return [];
  const why = () => {
    const { host } = observation;
    const decision = state.outstanding?.decision;
    const [decided] = decision
      ? scaler.decisions({ limit: 1, host, group: fullName(observation), decision })
      : [];
    if (decided === undefined) return scaler.explain(observation)?.text ?? "";
    return `${decided.text} Decided ${age(nowMs - Date.parse(decided.time))} ago.`;
  };
  const what = html`<a href="${groupHref(observation)}">${fullName(observation)}</a> on ${observation.host}: ${words}`;
  return [{ mood, what, why, todo }];
}

function scalerWords(
  { groups: matched, pollIntervalMs, lastTickMs }: ScalerSummary,
  groups: readonly GroupStanding[],
  nowMs: number,
): Html {
  if (lastTickMs === null) return html`No group has been evaluated yet.`;
  const evaluated = html`evaluated every ${age(pollIntervalMs)}, last ${ago(lastTickMs, nowMs)}`;
  if (matched === 0)
    return html`No policy matches any of ${counted(groups.length, "group")}; they are ${evaluated}.`;
  const others = groups.length - matched;
  const only = others > 0 ? ` No policy matches ${counted(others, "other")}: only observed.` : "";
  const acting = groups.filter(({ evaluation }) => modeOf(evaluation) === "execute").length;
  const dry =
    acting > 0
      ? ` Decisions about ${acting === matched ? "all of them" : acting.toLocaleString("en")} are carried out.`
      : " Dry run: decisions are counted and logged, not carried out.";
  return html`${counted(matched, "group")} under policies, ${evaluated}.${dry}${only}`;
}

/** Those in Prometheus and in the API are more. */
const DECISIONS_SHOWN = 10;

function lastDecisions(scaler: WebDeps["scaler"], nowMs: number): Html {
  const both = (["scale_up", "scale_down"] as const).flatMap((decision) => [
    ...scaler.decisions({ limit: DECISIONS_SHOWN, decision }),
  ]);
  const last = both.sort((a, b) => (a.time < b.time ? 1 : -1)).slice(0, DECISIONS_SHOWN);
  const actions = [...scaler.actions({ limit: MAX_ACTIONS_TOLD })];
  const table = html`<div class="card"><table>
${heads("When", "Group", "Why")}
<tbody>
${last.map(
  (one) => html`<tr>
<td data-label="When" class="when">${ago(Date.parse(one.time), nowMs)}</td>
<th scope="row"><a href="${groupHref(one)}">${fullName(one)}</a> <div class="soft small">on ${one.host}</div></th>
<td>${one.text}${actionsOf(one, actions)}</td>
</tr>\n`,
)}</tbody>
</table></div>`;
  return html`<section aria-labelledby="decisions">
<h2 id="decisions">Last decisions and actions</h2>
${last.length === 0 ? html`<p class="soft">None yet: no group has called for a clone or given one up.</p>` : table}
</section>`;
}

const SUBSCRIPTIONS: Readonly<
  Record<SubscriptionState, { readonly mood: Mood; readonly words: string; readonly todo?: string }>
> = {
  receiving: { mood: "good", words: "receiving samples" },
  subscribed: { mood: "watch", words: "subscribed; no sample has arrived yet" },
  connecting: { mood: "watch", words: "connecting" },
  backoff: { mood: "bad", words: "not connected; waiting before the next attempt" },
  displaced: {
    mood: "bad",
    words: "displaced: another client (albatross-influx or mollymawk?) keeps taking this subscription",
    todo: "Stop the other client, or subscribe to paths that it does not: it is tried again every displaced_retry.",
  },
  blocked: {
    mood: "bad",
    words: "not opened: a unikernel may have the very name of this path, which would crash albatross-stats",
    todo: "Rename that unikernel, make unikernel info readable, or subscribe to another path.",
  },
  stopped: { mood: "off", words: "stopped" },
};

function hostsWords(targets: readonly TargetSnapshot[]): string {
  const { length } = targets;
  const up = targets.filter((target) => target.up).length;
  if (length === 0) return "No host is configured.";
  if (up > 0 && up < length) return `${up} of ${length} hosts are up.`;
  return `${length === 1 ? "The one host is" : `All ${length} hosts are`} ${up > 0 ? "up" : "down"}.`;
}

/** Those that are down come first. */
function hostsTable(targets: readonly TargetSnapshot[], nowMs: number): Html {
  if (targets.length === 0) return NOTHING;
  const inOrder = [...targets].sort((a, b) => Number(a.up) - Number(b.up));
  const more = targets.length - MOST_HOSTS;
  return html`<div class="card"><table>
${heads("Host", "Subscription", "State", "Last sample", "Samples", "Unikernel info", "Certificate")}
<tbody>
${inOrder.slice(0, MOST_HOSTS).flatMap((target) => hostRows(target, nowMs))}</tbody>
</table></div>
${more > 0 ? html`<p>And ${counted(more, "host")} more, in <a href="./api/v1/targets">/api/v1/targets</a>.</p>` : NOTHING}`;
}

/** A row for each subscription; one without any is still a host. */
function hostRows(target: TargetSnapshot, nowMs: number): readonly Html[] {
  const { name, up, subscriptions } = target;
  const row = (subscription: Html) => html`<tr>
<th scope="row">${name} ${pill(up ? "good" : "bad", up ? "up" : "down")}</th>
${subscription}
<td data-label="Unikernel info">${infoWords(target)}</td>
<td data-label="Certificate">${certificateWords(target, nowMs)}</td>
</tr>
`;
  if (subscriptions.length === 0) return [row(html`<td colspan="4">no subscription yet</td>`)];
  return subscriptions.map((one) => row(subscriptionCells(one, nowMs)));
}

function subscriptionCells(snapshot: SubscriptionSnapshot, nowMs: number): Html {
  const { mood, words } = SUBSCRIPTIONS[snapshot.state];
  const { lastMessageWallMs: lastMs, lastError } = snapshot;
  const error = lastError === null ? NOTHING : html`<div class="soft small">${lastError}</div>`;
  const last = lastMs === null ? html`none yet` : ago(lastMs, nowMs);
  return html`<td data-label="Subscription"><code>${snapshot.subscription}</code></td>
<td data-label="State"><span class="${mood}">${words}</span>${error}</td>
<td data-label="Last sample">${last}</td>
<td data-label="Samples">${snapshot.messages.toLocaleString("en")}</td>`;
}

function infoWords({ infoReadable, infoError }: TargetSnapshot): Html {
  if (infoReadable === true) return html`<span class="good">read</span>`;
  if (infoReadable === null && infoError === null) return html`not asked for yet`;
  return html`<span class="bad">cannot be read</span><div class="soft small">${infoError ?? ""}</div>`;
}

/** Of all that its connection depends on, what ends first; a host whose sockets are here has none. */
function certificateWords({ certificates, certificateError }: TargetSnapshot, nowMs: number): Html {
  if (certificates.length === 0) return html`${certificateError === null ? "none" : "cannot be read"}`;
  const leftMs = Math.min(...certificates.map(({ notAfterMs }) => notAfterMs)) - nowMs;
  const mood = leftMs > SOON_MS ? "good" : "bad";
  return html`<span class="${mood}">${leftMs < 0 ? "expired" : `valid for ${age(leftMs)}`}</span>`;
}
