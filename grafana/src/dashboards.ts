import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { exporter } from "./exporter/index.ts";
import { fleet } from "./fleet/index.ts";
import { scaler } from "./scaler/index.ts";
import type { DashboardName } from "./shared/links.ts";
import { vm } from "./vm/index.ts";

/** Every dashboard by its name, which is also its file's. */
export const dashboards: Readonly<Record<DashboardName, () => Dashboard>> = { fleet, vm, scaler, exporter };

/** The text of a dashboard's file. */
export function fileText(name: DashboardName): string {
  return `${JSON.stringify(dashboards[name](), null, 2)}\n`;
}
