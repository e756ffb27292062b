import { expect, test } from "vitest";
import { folder, runJson, sampleLine, steadyTrace, text, timeAt } from "./run.ts";

const files = folder();
const connection = (seconds: number, up: boolean) =>
  JSON.stringify({ time: timeAt(seconds), host: "local", event: "connection", up });

/** What is said of user:web, which is at 95 %, at 60 s, 120 s and so on: reason, measured or not, high ticks. */
async function reasons(lines: readonly string[]): Promise<string[]> {
  const file = files.write(
    "config.yaml",
    `scaler:\n  poll_interval: 60s\n  defaults: { warmup_period: 0s }\n  policies: [{ match: "*" }]\n`,
  );
  const told = await runJson({ file, traces: ["-"], all: true }, text(lines));
  expect(told.summary.skipped_lines).toBe(0);
  return told.decisions.map(
    ({ reason, average_percent: percent, high_ticks: ticks }) =>
      `${reason}, ${percent === null ? "unknown" : Math.round(percent)}, ${ticks}`,
  );
}

test("nothing is decided while a recorded connection is lost, whatever had been measured by then", async () => {
  const until110 = steadyTrace(110, { "user:web": 95 });
  const from150 = [150, 160, 170, 180].map((at) => sampleLine(at, "user:web", at * 0.95));
  const lines = [...until110, connection(115, false), connection(145, true), ...from150];
  expect(await reasons(lines)).toEqual(["pending_up, 95, 1", "no_data, 95, 0", "pending_up, 95, 1"]);
});

test("a trace that says nothing of connections goes by its samples", async () => {
  const lines = [...steadyTrace(110, { "user:web": 95 }), sampleLine(180, "user:web", 171)];
  expect(await reasons(lines)).toEqual(["pending_up, 95, 1", "pending_up, 95, 2", "overloaded, 95, 0"]);
});
