import { createHash } from "node:crypto";
import { Html, html } from "./html.ts";

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
<style>${new Html(STYLE)}</style>
</head>
<body>
<main>
${content}
</main>
</body>
</html>
`;
}

/** What a person sees who asked for something that is not there. */
export function notFoundPage(path: string): Html {
  return page(
    "Not found · albatross-exporter",
    html`<h1>There is nothing here</h1>
<p><code>${path}</code> is not a page of this exporter.</p>
<p><a href="/">Start at the front page</a>, which links to all there is.</p>`,
  );
}
