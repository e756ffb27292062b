import type { Problem } from "../config/checkedYaml.ts";
import { checkYaml, readTextFile } from "../config/checkedYaml.ts";
import type { Scenario } from "./model.ts";
import { scenarioSchema } from "./schema/scenario.ts";

export type ScenarioResult =
  | { readonly ok: true; readonly scenario: Scenario }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Reads and checks a scenario file. Never throws: a file that cannot be read is a problem like any other. */
export function loadScenarioFile(file: string): ScenarioResult {
  const read = readTextFile(file);
  return read.ok ? loadScenario(file, read.text) : read;
}

/** Checks the text of a scenario: all that is wrong with it at once, in the order of the file, or the scenario. */
export function loadScenario(file: string, text: string): ScenarioResult {
  const checked = checkYaml(file, text, scenarioSchema);
  return checked.ok ? { ok: true, scenario: checked.value } : checked;
}
