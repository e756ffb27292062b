/** `npm run picture`: lets the stack run, asks Prometheus what the dashboards ask, and draws it for the README. */
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { loadScenario } from "../src/simulator/scenarioFile.ts";
import { askPanel, askScaleDecisions } from "./picture/answers.ts";
import { draw } from "./picture/draw.ts";
import { GROUP, PANELS } from "./picture/panels.ts";
import { STACK_SCALER, STACK_SCENARIO } from "./stack/scenario.ts";
import { missingPackages, startStack } from "./stack/stack.ts";

const PICTURE = fileURLToPath(new URL("../docs/dashboards.svg", import.meta.url));
const SPEED = 30;
const STATS_INTERVAL_MS = 333;
/**
 * Soon after that the scenario removes the clones. That they are gone is seen at the next look into albatrossd's list,
 * which does not get faster with all else.
 */
const RUN_MS = 208_000;

const missing = missingPackages();
if (missing.length > 0) throw new Error(`not installed: ${missing.join(", ")}`);
const scenario = loadScenario("stack", STACK_SCENARIO);
if (!scenario.ok) throw new Error(`the stack's scenario is wrong: ${JSON.stringify(scenario.problems)}`);

const stack = await startStack({
  hosts: { demo: { ...scenario.scenario, intervalMs: STATS_INTERVAL_MS } },
  speed: SPEED,
  scaler: STACK_SCALER,
  onEvent: (_, text) => console.log(text),
});
try {
  const fromMs = Date.now();
  console.log(`Draws ${PICTURE} in ${RUN_MS / 1000} s.`);
  // The timer holds nobody up who has had enough.
  const over = setTimeout(RUN_MS, null, { ref: false });
  const interrupted = ["SIGINT", "SIGTERM"].map(async (signal) => {
    await once(process, signal);
    return signal;
  });
  const cutShort = await Promise.race([stack.broken, over, ...interrupted]);
  if (cutShort !== null) throw new Error(cutShort);
  const asked = { prometheusUrl: stack.prometheus.url, speed: SPEED, fromMs, toMs: Date.now() };
  const panels = [];
  for (const panel of PANELS) panels.push(await askPanel(panel, asked));
  const decisions = await askScaleDecisions(GROUP, asked);
  await writeFile(PICTURE, draw({ panels, decisions, fromMs, toMs: asked.toMs, speed: SPEED }));
  console.log(`${PICTURE}: ${(await readFile(PICTURE)).length} bytes`);
} finally {
  await stack.stop();
}
