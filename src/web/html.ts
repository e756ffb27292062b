import { createHash } from "node:crypto";

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

export const NOTHING = html``;

/** `good`: as it should be; `act`: something is being done; `watch`: may come to something; `bad`: somebody has to look; `off`: left alone. */
export type Mood = "good" | "act" | "watch" | "bad" | "off";

export function pill(mood: Mood, words: string): Html {
  return html`<span class="pill ${mood}">${words}</span>`;
}

/** A time span as a person would say it. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  const days = Math.round(seconds / 86_400);
  if (days < 730) return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${days} days`;
  return `${Math.floor(days / 365.25)} years`;
}

/** How long ago it was; the moment itself for who points at it. */
export function ago(timeMs: number, nowMs: number): Html {
  const iso = new Date(timeMs).toISOString();
  return html`<time datetime="${iso}" title="${iso}">${age(nowMs - timeMs)} ago</time>`;
}

/** `2 groups`, `1 group`. */
export function counted(count: number, word: string): string {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

/** What the columns of a table are. */
export function heads(...names: readonly string[]): Html {
  return html`<thead><tr>${names.map((name) => html`<th>${name}</th>`)}</tr></thead>`;
}

const STYLE = `
:root { color-scheme: light dark; --text: #1b2330; --soft: #556072;
  --line: #dde3ea; --page: #f3f5f8; --card: #fff;
  --link: #0b57a4; --good: #17693b; --bad: #b3261e; --act: #5a3ec0;
  --watch: #805200; --off: #556072;
  --high: #b3261e; --low: #0b57a4; }
@media (prefers-color-scheme: dark) { :root { --text: #e6ebf2;
  --soft: #a3b0c0; --line: #2c3745; --page: #10151c;
  --card: #18202a; --link: #86bfff; --good: #63d598; --bad: #ff958d;
  --act: #c0acff; --watch: #eac15f; --off: #a3b0c0;
  --high: #ff958d; --low: #86bfff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; text-wrap: pretty; }
header, main, footer { max-width: 76rem; margin: 0 auto;
  padding: 0 1.5rem; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1rem;
  align-items: baseline; padding-top: 1.5rem; }
header p { margin: 0; }
#live { margin-left: auto; }
footer { padding-top: .5rem; padding-bottom: 3rem; }
h1 { font-size: 1.35rem; margin: 0; }
h1 a { text-decoration: none; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; scroll-margin: 1rem; }
h3 { font-size: 1rem; margin: 0; }
p { margin: .3rem 0; }
a { color: var(--link); }
a:focus-visible, button:focus-visible, input:focus-visible {
  outline: 3px solid var(--link);
  outline-offset: 2px; }
code { font: .92em ui-monospace, monospace; }
ul, ol { list-style: none; margin: 0; padding: 0; }
[hidden] { display: none; }
.soft { color: var(--soft); }
.small { font-size: .87rem; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.act { color: var(--act); }
.watch { color: var(--watch); }
.off { color: var(--off); }
.pill { display: inline-block; border-radius: 1rem; padding: 0 .6rem;
  font-size: .87rem; font-weight: 600;
  border: 1px solid; }
.card { background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; padding: .75rem 1.1rem; margin: .5rem 0; }
.card.concern { border-left: .3rem solid; color: var(--text); }
.concern.bad { border-left-color: var(--bad); }
.concern.act { border-left-color: var(--act); }
.card h2 { margin-top: 0; }
main > section:first-child { margin-top: 1rem; }
.calm { border-left: .3rem solid var(--good); }
#lost { position: fixed; z-index: 1; top: .5rem; left: .9rem;
  right: .9rem; margin: 0; background: var(--bad); color: var(--card);
  border-radius: .6rem; padding: .5rem 1rem; font-weight: 600; }
button, input { font: inherit; color: inherit; background: var(--card);
  border: 1px solid var(--soft); border-radius: .4rem;
  padding: .15rem .7rem; min-width: 0; }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center;
  margin: .5rem 0; }
.group { display: grid; grid-template-columns: minmax(10rem,
  15rem) 14rem 8.25rem 7.5rem 1fr; gap: .25rem 1.25rem;
  align-items: center; }
.group p { margin: 0; }
.group .load { display: block; }
.figure { font-size: 1.25rem; font-weight: 600; }
svg { display: block; width: 100%; }
.line { height: 3.2rem; border-radius: .25rem; }
.chart { height: 17rem; }
.back { fill: var(--page); }
.above { fill: var(--high); opacity: .14; } .below { fill: var(--low);
  opacity: .1; }
.limit { fill: none; stroke-width: 1; stroke-dasharray: 4 3;
  vector-effect: non-scaling-stroke; }
.limit.up { stroke: var(--high); } .limit.down { stroke: var(--low); }
.measured { fill: none; stroke: var(--text); stroke-width: 1.6;
  stroke-linejoin: round; stroke-linecap: round;
  vector-effect: non-scaling-stroke; }
.chart text { font-size: .82rem; font-weight: 600; fill: currentColor; }
.high { color: var(--high); } .low { color: var(--low); }
.mark { stroke: var(--act); stroke-width: 1; stroke-dasharray: 2 4; }
figure.card { margin: .75rem 0; }
.bar { height: .5rem; border-radius: .25rem; max-width: 14rem; }
.bar .full { fill: var(--link); } .bar .back { fill: var(--line); }
.scale { display: flex; justify-content: space-between; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top;
  padding: .4rem 1rem .4rem 0; border-top: 1px solid var(--line); }
thead th { color: var(--soft); font-size: .87rem; border-top: 0;
  white-space: nowrap; }
th { font-weight: 600; }
.when { white-space: nowrap; }
.pages, .links { display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fill,
  minmax(19rem, 1fr)); gap: 0 2rem; margin: 0; }
.facts div { display: flex; justify-content: space-between; gap: 1rem;
  border-bottom: 1px solid var(--line); padding: .2rem 0; }
.facts dt { color: var(--soft); flex: none; max-width: 70%; } .facts dd { margin: 0;
  text-align: right; }
@media (max-width: 62rem) { .group { grid-template-columns: 1fr 1fr;
  } .group > :nth-child(n+5) { grid-column: 1 / -1; } }
/* No room for columns: each cell is a line of its own that says what it is. */
@media (max-width: 40rem) {
  header, main, footer { padding-left: .9rem; padding-right: .9rem; }
  .card { padding: .6rem .8rem; }
  .group > :nth-child(-n+2) { grid-column: 1 / -1; }
  .chart { height: 11rem; }
  form input { flex: 1; }
  table, tbody, tr, td, tbody th { display: block; }
  thead, thead * { display: none; }
  tr + tr { border-top: 1px solid var(--line); padding-top: .5rem;
  margin-top: .5rem; }
  td, tbody th { border: 0; padding: 0; }
  td[data-label]::before { content: attr(data-label) ": ";
  color: var(--soft); }
  .facts { grid-template-columns: 1fr; }
}
`;

/**
 * Renews what is in <main> every few seconds while the page is looked at. Only what has changed is touched, so that focus,
 * selection and the place on the page stay. Elements are known by their ids where they have some.
 */
const SCRIPT = `
(() => {
  const EVERY_MS = 5000, PATIENCE_MS = 15000;
  const [live, button, lost] = ["live", "pause", "lost"].map((id) => document.getElementById(id));
  let paused = false, busy = false, timer;
  const clock = () => new Date().toISOString().slice(11, 19) + " UTC";
  let heard = clock();
  const morph = (old, next) => {
    for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const known = new Map([...old.children].filter(({ id }) => id).map((child) => [child.id, child]));
    let at = old.firstChild;
    for (const node of [...next.childNodes]) {
      const same = node.id ? known.get(node.id) : at && !at.id && at.nodeName === node.nodeName ? at : null;
      if (!same) old.insertBefore(document.importNode(node, true), at);
      else {
        if (same === at) at = at.nextSibling;
        else old.insertBefore(same, at);
        if (same.nodeType === Node.ELEMENT_NODE) morph(same, node);
        else if (same.data !== node.data) same.data = node.data;
      }
    }
    while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
  };
  const renew = async () => {
    clearTimeout(timer);
    if (paused || busy || document.hidden) return;
    busy = true;
    try {
      const url = location.origin + location.pathname + location.search;
      const answer = await fetch(url, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(PATIENCE_MS) });
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = next.querySelector("main");
      if (!main || !answer.ok && answer.status !== 404) throw new Error(answer.status);
      // another version of the exporter
      if (document.getElementById("renew").text !== next.getElementById("renew")?.text) location.reload();
      const focused = document.activeElement;
      if (!paused) { morph(document.querySelector("main"), main); document.title = next.title; }
      if (focused && focused.isConnected) focused.focus({ preventScroll: true });
      lost.hidden = true;
      heard = clock();
    } catch {
      lost.textContent = "No answer since " + heard + ": what is shown is old. Is the exporter running?";
      lost.hidden = false;
    }
    busy = false;
    timer = setTimeout(renew, EVERY_MS);
  };
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Renew again" : "Pause";
    live.firstElementChild.textContent = paused ? "Paused" : "Live";
    renew();
  });
  document.addEventListener("visibilitychange", renew);
  live.hidden = false;
  timer = setTimeout(renew, EVERY_MS);
})();
`;

const hashOf = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** A page may run its own script, which may ask this exporter, and nothing else; script and style are known by their hashes. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src ${hashOf(STYLE)}`,
  `script-src ${hashOf(SCRIPT)}`,
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

interface PageParts {
  readonly title: string;
  /** relative, where the front page is: `./`, `../../` */
  readonly root: string;
  /** beside the heading */
  readonly about: string;
  readonly content: Html;
  readonly footer?: Html;
}

/** A whole page around its content, which renews itself. */
export function page({ title, root, about, content, footer = NOTHING }: PageParts): Html {
  return frame(
    title,
    html`<header>
<h1><a href="${root}">albatross-exporter</a></h1>
<p class="soft">${about}</p>
<p id="lost" role="alert" hidden></p>
<p id="live" hidden><span class="soft">Live</span> <button type="button" id="pause">Pause</button></p>
</header>
<main>
${unbroken(content)}
</main>
<footer>
${footer}
</footer>
<script id="renew">${{ text: SCRIPT }}</script>`,
  );
}

const FIGURE_AND_UNIT = /(\d) (?=(?:%|s|min|h|days|years)(?!\w))/g;

/** With each figure and its unit on one line: `90 %`. In attributes, where no `>` stands, all is as it was. */
function unbroken({ text }: Html): Html {
  return { text: text.replace(/>[^<]+/g, (words) => words.replace(FIGURE_AND_UNIT, "$1\u00a0")) };
}

/** Where nothing is, with the relative way to the front page. */
export function notFoundPage(root: string, why: Html): Html {
  return frame(
    "Not found · albatross-exporter",
    html`<main>
<h1>There is nothing here</h1>
<p>${why}</p>
<p><a href="${root}">Start at the front page</a>, which links to all there is.</p>
</main>`,
  );
}

function frame(title: string, body: Html): Html {
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
${body}
</body>
</html>
`;
}

/** The way from a path to the front page, whatever proxies have put before both. */
export function rootFrom(path: string): string {
  return "../".repeat(Math.max(0, path.split("/").length - 2)) || "./";
}
