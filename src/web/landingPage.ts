import type { SubscriptionSnapshot, SubscriptionState } from "../client/subscription.ts";
import type { TargetSnapshot } from "../client/target.ts";
import type { ScalerSummary } from "../scaler/scaler.ts";
import type { WebDeps } from "./deps.ts";
import { type Html, html } from "./html.ts";
import { page } from "./pages.ts";

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

const LINKS: readonly { readonly path: string; readonly what: string }[] = [
  { path: "/api/v1/targets", what: "the hosts and their subscriptions" },
  { path: "/api/v1/vms", what: "every unikernel and VM as it is known now" },
  { path: "/api/v1/groups", what: "primaries and their clones, and why the scaler does what it does" },
  { path: "/api/v1/decisions", what: "what the scaler decided, newest first" },
  { path: "/api/v1/stream", what: "samples as they arrive, one JSON object a line" },
  { path: "/api/v1/status/config", what: "the configuration in force" },
  { path: "/api/v1/status/buildinfo", what: "version and build" },
  { path: "/-/healthy", what: "answers while the process runs" },
  { path: "/-/ready", what: "answers once the configuration is loaded" },
];

/** The front page: what this is, where the metrics are, and how each host is doing, in words. */
export function landingPage(
  deps: Pick<WebDeps, "build" | "clock" | "settings" | "targets" | "scaler">,
): Html {
  const targets = deps.targets();
  const nowMs = deps.clock.wallMs();
  const { telemetryPath } = deps.settings();
  return page(
    "albatross-exporter",
    html`<h1>albatross-exporter</h1>
<p class="soft">Version ${deps.build.version}. Statistics of Albatross unikernels and VMs for Prometheus.</p>
<p><a href="${telemetryPath}">Metrics</a> are at <code>${telemetryPath}</code>.</p>
<h2>Hosts</h2>
<p>${summary(targets)}</p>
${targets.map((target) => targetCard(target, nowMs))}
<h2>Scaler</h2>
<p>${scalerWords(deps.scaler(), nowMs)}</p>
<h2>Also here</h2>
<div class="wide"><table>
${LINKS.map(({ path, what }) => html`<tr><td><a href="${path}"><code>${path}</code></a></td><td>${what}</td></tr>\n`)}
</table></div>
<p class="soft">As of ${new Date(nowMs).toISOString().slice(0, 19).replace("T", " ")} UTC.</p>`,
  );
}

function summary(targets: readonly TargetSnapshot[]): string {
  if (targets.length === 0) return "No host is configured.";
  const up = targets.filter((target) => target.up).length;
  if (up === targets.length) return up === 1 ? "The one host is up." : `All ${up} hosts are up.`;
  if (up === 0)
    return targets.length === 1 ? "The one host is down." : `All ${targets.length} hosts are down.`;
  return `${up} of ${targets.length} hosts are up.`;
}

function scalerWords({ groups, pollIntervalMs, lastTickMs }: ScalerSummary, nowMs: number): string {
  if (lastTickMs === null) return "No group has been evaluated yet.";
  const last = `${age(nowMs - lastTickMs)} ago`;
  if (groups === 0) return `No policy matches any group; they were last looked at ${last}.`;
  return `${groups === 1 ? "One group is" : `${groups} groups are`} evaluated every ${age(pollIntervalMs)}, last ${last}. Dry run: decisions are counted and logged, not carried out.`;
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
