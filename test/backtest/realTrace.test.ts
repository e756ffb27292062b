import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { DecisionJson } from "../../src/scaler/report/json.ts";
import { runJson } from "./run.ts";

const TRACES = fileURLToPath(new URL("../fixtures/wire/traces", import.meta.url));

/** As an independent implementation of the same rules tells an evaluation. */
type Expected = DecisionJson;

const PERCENTAGES = ["average_percent", "average_for_up_percent", "average_for_down_percent"] as const;

function expected(policy: string): Expected[] {
  const lines = readFileSync(`${TRACES}/${policy}.expected.ndjson`, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line): Expected => JSON.parse(line));
}

function inOrder<T extends Expected>(decisions: readonly T[]): T[] {
  const key = ({ time, path, group }: T) => `${time} ${path}:${group}`;
  return [...decisions].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

test.each(["real-web", "real-web-quick"])(
  "every evaluation of a trace of real processes is as another implementation has it: %s",
  async (policy) => {
    const { decisions, ticks, evaluations } = await runJson({
      all: true,
      file: `${TRACES}/${policy}.config.yaml`,
      traces: [`${TRACES}/real-web.ndjson`],
    });
    const wanted = inOrder(expected(policy));
    expect([ticks, evaluations, decisions.length]).toEqual([39, wanted.length, wanted.length]);
    for (const [index, told] of inOrder(decisions).entries()) {
      const want = wanted[index];
      for (const key of PERCENTAGES) {
        const percent = want?.[key] ?? null;
        if (percent === null) expect(told[key]).toBeNull();
        else expect(told[key]).toBeCloseTo(percent, 1);
      }
      const percentages = { average_percent: 0, average_for_up_percent: 0, average_for_down_percent: 0 };
      expect({ ...told, ...percentages }).toEqual({ ...want, ...percentages });
    }
  },
);
