import { createHash } from "node:crypto";
import type { SubscriptionSnapshot, SubscriptionState } from "../client/subscription.ts";
import type { TargetSnapshot } from "../client/target.ts";
import type { ScalerSummary } from "../scaler/scaler.ts";
import type { LastReload, WebDeps } from "./app.ts";
import { ROUTES } from "./routes.ts";

/** Text that is HTML already: what is put into other HTML as it stands. */
export interface Html {
  readonly text: string;
}

type Insertable = string | number | Html | readonly Html[];

/** HTML from a template. What is inserted is escaped unless it is HTML itself. */
export function html(parts: TemplateStringsArray, ...inserted: readonly Insertable[]): Html {
  return { text: parts.reduce((text, part, index) => text + insertable(inserted[index - 1]) + part) };
}

function insertable(value: Insertable = ""): string {
  if (Array.isArray(value)) return value.map(insertable).join("");
  if (typeof value === "object" && "text" in value) return value.text;
  return String(value).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

const STYLE = `
:root { color-scheme: light dark; --text: #1c2430; --soft: #5b6675; --line: #dde2e9; --page: #f6f8fa; --card: #fff;
  --link: #0b5cad; --good: #1a7f4b; --bad: #b3261e; --idle: #8a6100; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e9f0; --soft: #9aa6b5; --line: #2c3644; --page: #12171e;
  --card: #1a212b; --link: #79b8ff; --good: #57c98a; --bad: #ff8a80; --idle: #e3b341; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif;
  overflow-wrap: break-word; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0; }
p { margin: .35rem 0; }
main > p:last-child { margin-top: 1.5rem; }
a { color: var(--link); }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem 1.25rem; margin: .75rem 0; }
.state { font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); } .idle { color: var(--idle); }
table { border-collapse: collapse; width: 100%; margin-top: .5rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-top: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); font-size: .85rem; border-top: 0; white-space: nowrap; }
.wide { overflow-x: auto; }
/* No room for columns: each cell is a line of its own that says what it is. */
@media (max-width: 40rem) {
  main { padding: 1.5rem 1rem 3rem; }
  .card { padding: .75rem 1rem; }
  table, tbody, tr, td { display: block; }
  th { display: none; }
  tr + tr { border-top: 1px solid var(--line); padding-top: .5rem; margin-top: .5rem; }
  td { border: 0; padding: 0; }
  td[data-label]::before { content: attr(data-label) ": "; color: var(--soft); }
}
`;

const STYLE_HASH = createHash("sha256").update(STYLE).digest("base64");

/** Nothing may be loaded, run, framed or sent from a page; its one style is known by its hash. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${STYLE_HASH}'`,
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** A whole page around its content. */
export function page(title: string, content: Html): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${{ text: STYLE }}</style>
</head>
<body>
<main>
${content}
</main>
</body>
</html>
`;
}

export function notFoundPage(path: string): Html {
  const content = html`<h1>There is nothing here</h1>
<p><code>${path}</code> is not a page of this exporter.</p>
<p><a href="/">Start at the front page</a>, which links to all there is.</p>`;
  return page("Not found · albatross-exporter", content);
}

type Mood = "good" | "idle" | "bad";

const SUBSCRIPTION_STATES: Readonly<
  Record<SubscriptionState, { readonly mood: Mood; readonly words: string }>
> = {
  receiving: { mood: "good", words: "receiving samples" },
  subscribed: { mood: "good", words: "subscribed; no sample has arrived yet" },
  connecting: { mood: "idle", words: "connecting" },
  backoff: { mood: "bad", words: "not connected; waiting before the next attempt" },
  displaced: {
    mood: "bad",
    words: "displaced: another client (albatross-influx or mollymawk?) keeps taking this subscription",
  },
  blocked: {
    mood: "bad",
    words: "not opened: a unikernel may have the very name of this path, which would crash albatross-stats",
  },
  stopped: { mood: "idle", words: "stopped" },
};

export function landingPage(deps: WebDeps): Html {
  const targets = deps.targets();
  const nowMs = deps.clock.wallMs();
  const { telemetryPath } = deps.config().web;
  return page(
    "albatross-exporter",
    html`<h1>albatross-exporter</h1>
<p class="soft">Version ${deps.build.version}. Statistics of Albatross unikernels and VMs for Prometheus.</p>
<p><a href="${telemetryPath}">Metrics</a> are at <code>${telemetryPath}</code>.</p>
${refusedReload(deps.lastReload(), nowMs)}
<h2>Hosts</h2>
<p>${summary(targets)}</p>
${targets.map((target) => targetCard(target, nowMs))}
<h2>Scaler</h2>
<p>${scalerWords(deps.scaler.summary(), nowMs)}</p>
${lastDecisions(deps.scaler, nowMs)}
<h2>Also here</h2>
<div class="wide"><table>
${ROUTES.map(({ path, what }) => html`<tr><td><a href="${path}"><code>${path}</code></a></td><td>${what}</td></tr>\n`)}
</table></div>
<p class="soft">As of ${new Date(nowMs).toISOString().slice(0, 19).replace("T", " ")} UTC.</p>`,
  );
}

/** As many as are read at a glance; all of them are in the log and the API. */
const PROBLEMS_SHOWN = 10;

function refusedReload({ timeMs, problems }: LastReload, nowMs: number): Html {
  if (problems.length === 0) return html``;
  const more = problems.length - PROBLEMS_SHOWN;
  return html`<section class="card">
<p>${state("bad", "The configuration was not reloaded")} ${age(nowMs - timeMs)} ago: the one before stays in force.</p>
${problems.slice(0, PROBLEMS_SHOWN).map((problem) => html`<p><code>${problem}</code></p>\n`)}
${more > 0 ? html`<p>And ${more} more.</p>` : html``}
</section>`;
}

function summary(targets: readonly TargetSnapshot[]): string {
  const { length } = targets;
  const up = targets.filter((target) => target.up).length;
  if (length === 0) return "No host is configured.";
  if (up > 0 && up < length) return `${up} of ${length} hosts are up.`;
  return `${length === 1 ? "The one host is" : `All ${length} hosts are`} ${up > 0 ? "up" : "down"}.`;
}

function scalerWords({ groups, pollIntervalMs, lastTickMs }: ScalerSummary, nowMs: number): string {
  if (lastTickMs === null) return "No group has been evaluated yet.";
  const last = `${age(nowMs - lastTickMs)} ago`;
  if (groups === 0) return `No policy matches any group; they were last looked at ${last}.`;
  return `${groups === 1 ? "One group is" : `${groups} groups are`} evaluated every ${age(pollIntervalMs)}, last ${last}. Dry run: decisions are counted and logged, not carried out.`;
}

/** Those in Prometheus and in the API are more; here is what somebody may have to do. */
const DECISIONS_SHOWN = 10;

function lastDecisions(scaler: WebDeps["scaler"], nowMs: number): Html {
  const query = { limit: DECISIONS_SHOWN };
  const both = (["scale_up", "scale_down"] as const).flatMap((decision) => [
    ...scaler.decisions({ ...query, decision }),
  ]);
  const last = both.sort((a, b) => (a.time < b.time ? 1 : -1)).slice(0, DECISIONS_SHOWN);
  if (last.length === 0) return html``;
  return html`<section class="card">
<h3>Last scale decisions</h3>
<div class="wide"><table>
<tr><th>Group</th><th>When</th><th>Why</th></tr>
${last.map(({ host, path, group, time, text }) => html`<tr><td data-label="Group"><code>${host} ${path}:${group}</code></td><td data-label="When">${age(nowMs - Date.parse(time))} ago</td><td>${text}</td></tr>\n`)}
</table></div>
</section>
`;
}

function targetCard(target: TargetSnapshot, nowMs: number): Html {
  return html`<section class="card">
<h3>${target.name}: ${state(target.up ? "good" : "bad", target.up ? "up" : "down")}</h3>
<p>${unikernelInfo(target)}</p>
<div class="wide"><table>
<tr><th>Subscription</th><th>State</th><th>Last sample</th><th>Samples</th></tr>
${target.subscriptions.map((snapshot) => subscriptionRow(snapshot, nowMs))}
</table></div>
</section>
`;
}

function subscriptionRow(snapshot: SubscriptionSnapshot, nowMs: number): Html {
  const { mood, words } = SUBSCRIPTION_STATES[snapshot.state];
  const error = snapshot.lastError === null ? html`` : html`<p class="soft">${snapshot.lastError}</p>`;
  const last =
    snapshot.lastMessageWallMs === null ? "none yet" : `${age(nowMs - snapshot.lastMessageWallMs)} ago`;
  return html`<tr><td data-label="Subscription"><code>${snapshot.subscription}</code></td><td>${state(mood, words)}${error}</td><td data-label="Last sample">${last}</td><td data-label="Samples">${snapshot.messages.toLocaleString("en")}</td></tr>
`;
}

function unikernelInfo({ infoReadable, infoError }: TargetSnapshot): Html {
  if (infoReadable === true) return html`Unikernel info and policies are read from albatrossd.`;
  if (infoReadable === null && infoError === null) return html`Unikernel info has not been asked for yet.`;
  return html`${state("idle", "Unikernel info cannot be read")}, so limits, CPUs and policies are missing. ${infoError ?? ""}`;
}

function state(mood: Mood, words: string): Html {
  return html`<span class="state ${mood}">${words}</span>`;
}

/** A time span as a person would say it. */
function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}
