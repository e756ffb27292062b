import { expect, test } from "vitest";
import { folder, runJson, sampleLine, text, timeAt } from "./run.ts";

const files = folder();
const HOUR_S = 3_600;

/**
 * The averages of `user:web` at 60 s, 120 s and so on under a warm-up of two minutes, `-` while it is warming. It is heard
 * from `firstS` on at 50 %; info says that it started at `startedS`.
 */
async function averages(startedS: number, firstS: number): Promise<string[]> {
  const policies = `scaler:\n  poll_interval: 60s\n  defaults: { warmup_period: 2m }\n  policies: [{ match: "*" }]\n`;
  const lines: string[] = [];
  for (let at = 0; at <= 300; at += 10) {
    lines.push(sampleLine(at, "user:other", 0));
    if (at < firstS) continue;
    const vms = [{ name: "user:web", cpus: 1, started: timeAt(startedS) }];
    lines.push(JSON.stringify({ time: timeAt(at), host: "local", event: "info", vms }));
    lines.push(sampleLine(at, "user:web", (at - firstS) / 2));
  }
  const told = await runJson(
    { file: files.write("config.yaml", policies), traces: ["-"], all: true },
    text(lines),
  );
  return told.decisions
    .filter(({ group }) => group === "web")
    .map(({ average_percent: percent }) => (percent === null ? "-" : String(Math.round(percent))));
}

test.each<[string, number, number, string[]]>([
  ["had run for an hour when the trace began is not young", -HOUR_S, 0, ["50", "50", "50", "50", "50"]],
  ["started with the trace is young for two minutes", 0, 0, ["-", "50", "50", "50", "50"]],
  ["is said to start in an hour is as old as its samples", HOUR_S, 0, ["-", "50", "50", "50", "50"]],
  [
    "is said to start in 50 years is as old as its samples",
    50 * 8766 * HOUR_S,
    0,
    ["-", "50", "50", "50", "50"],
  ],
  [
    "came later, said to be 50 years old, is young when it comes",
    -50 * 8766 * HOUR_S,
    100,
    ["-", "-", "50", "50"],
  ],
])("a VM that %s", async (_, startedS, firstS, expected) => {
  expect(await averages(startedS, firstS)).toEqual(expected);
});
