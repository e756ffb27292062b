/**
 * Writes the tables of docs/choosing-thresholds.md and the plot beside it: the closed loop over six loads, and
 * `backtest --what-if` on a recorded trace. With --check it writes nothing and exits 1 if anything differs.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { hpa, LOADS, nomadThreshold, ourDefaults, playDay, quickProfile } from "../bench/loads.ts";
import { runBacktest } from "../src/backtest/backtest.ts";
import { ownRules } from "../src/backtest/player.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const DOCUMENT = "docs/choosing-thresholds.md";
const PLOT = "docs/what-if.svg";
const TRACES = "test/fixtures/wire/traces";
const SETTINGS = [
  "scale_up_trigger_ticks=1",
  "scale_up_trigger_ticks=9",
  "scale_down_trigger_ticks=4",
  "scale_down_trigger_ticks=12",
];

const PLAYED = {
  "ours, defaults": () => ownRules(ourDefaults()),
  "ours, quick profile": () => ownRules(quickProfile()),
  "HPA, 70 %": hpa,
  "Nomad, threshold": nomadThreshold,
};

/** A table of all loads under all rules: saturated minutes / clone-hours / reversals. */
export function loadsTable(): string {
  const cells = Object.keys(LOADS).map((load) => [
    load,
    ...Object.values(PLAYED).map((decider) => {
      const { saturatedMs, cloneMs, reversals } = playDay(load, decider());
      return `${Math.round(saturatedMs / 60_000)} / ${(cloneMs / 3_600_000).toFixed(1)} / ${reversals}`;
    }),
  ]);
  const head = ["load", ...Object.keys(PLAYED)];
  return [head, head.map(() => "---"), ...cells].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** The command on the recorded trace: what was typed and printed, and the plot. */
async function whatIf(): Promise<{ readonly text: string; readonly svg: string }> {
  const folder = mkdtempSync(join(tmpdir(), "thresholds-"));
  const plot = join(folder, "what-if.svg");
  let printed = "";
  const stdout = new Writable({
    write(chunk, _, done) {
      printed += String(chunk);
      done();
    },
  });
  try {
    const code = await runBacktest(
      {
        traces: [`${ROOT}/${TRACES}/real-web.ndjson`],
        file: `${ROOT}/${TRACES}/real-web.config.yaml`,
        format: "table",
        set: SETTINGS,
        all: false,
        ticks: "poll",
        whatIf: { startDelayMs: 20_000, plot },
      },
      { stdin: Readable.from([]), stdout, stderr: process.stderr },
    );
    if (code !== 0) throw new Error(`backtest ended with exit code ${code}`);
    const typed = [
      `albatross-exporter backtest --what-if --plot what-if.svg --config.file ${TRACES}/real-web.config.yaml`,
      ...SETTINGS.map((setting) => `  --set ${setting}`),
      `  ${TRACES}/real-web.ndjson`,
    ].join(" \\\n");
    return {
      text: `\`\`\`sh\n${typed}\n\`\`\`\n\n\`\`\`\n${printed.trimEnd()}\n\`\`\``,
      svg: readFileSync(plot, "utf8"),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `document` with this text between the two comments that name the part. */
function withPart(document: string, part: string, text: string): string {
  const [begin, end] = [`<!-- ${part}: written by \`npm run loads\` -->\n`, `<!-- end of ${part} -->\n`];
  const [from, to] = [document.indexOf(begin) + begin.length, document.indexOf(end)];
  if (!document.includes(begin) || to < from)
    throw new Error(`${DOCUMENT} has no ${begin.trim()} and ${end.trim()}`);
  return `${document.slice(0, from)}\n${text}\n\n${document.slice(to)}`;
}

/** The files as they should be, by path. */
export async function thresholdsDocuments(): Promise<ReadonlyMap<string, string>> {
  const { text, svg } = await whatIf();
  const document = readFileSync(`${ROOT}/${DOCUMENT}`, "utf8");
  const withLoads = withPart(document, "the six loads", loadsTable());
  return new Map([
    [DOCUMENT, withPart(withLoads, "what if", text)],
    [PLOT, svg],
  ]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [file, wanted] of await thresholdsDocuments()) {
    if (!process.argv.includes("--check")) writeFileSync(`${ROOT}/${file}`, wanted);
    else if (readFileSync(`${ROOT}/${file}`, "utf8") !== wanted) {
      console.error(
        `${file} does not say what the rules do now: run \`npm run loads\` and commit the result`,
      );
      process.exitCode = 1;
    }
  }
}
