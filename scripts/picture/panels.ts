import type { Choices } from "../../test/e2e/support/panelQueries.ts";
import type { Wanted } from "./answers.ts";

/** The group that the picture is about. */
export const GROUP: Choices = { host: "demo", path: "^user$", group: "web" };
const VMS: Choices = { ...GROUP, vm: "web.*" };

/** What the picture shows, row by row. */
export const PANELS: readonly Wanted[] = [
  { dashboard: "vm", title: "CPU usage", queries: "A", choices: VMS },
  { dashboard: "scaler", title: "Averages against both thresholds", queries: "ADE", choices: GROUP },
  { dashboard: "scaler", title: "Clones", choices: GROUP },
  { dashboard: "scaler", title: "Reasons over time", choices: { path: "^user$" } },
  { dashboard: "vm", title: "Memory against its limit", choices: VMS },
  { dashboard: "fleet", title: "Network", choices: { path: "^user$" } },
];
