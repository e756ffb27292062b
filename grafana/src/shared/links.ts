/** The ways from one dashboard to another; all of them keep the time range. */
import { DashboardLinkBuilder, DashboardLinkType } from "@grafana/grafana-foundation-sdk/dashboard";

/** What tells the dashboards apart in addresses: never changed, so that bookmarks and links last. */
export const UIDS = {
  fleet: "albatross-fleet",
  vm: "albatross-vm",
  scaler: "albatross-scaler",
  exporter: "albatross-exporter",
} as const;
export type DashboardName = keyof typeof UIDS;

const TITLES: Readonly<Record<DashboardName, string>> = {
  fleet: "Fleet",
  vm: "VM",
  scaler: "Scaler",
  exporter: "Exporter",
};

const ANSWERS: Readonly<Record<DashboardName, string>> = {
  fleet: "How are all hosts and VMs doing?",
  vm: "What does this VM do?",
  scaler: "Why did this group (not) scale?",
  exporter: "Can the figures be trusted?",
};

/** Links at the top of a dashboard to the others, with the values of all variables. */
export function linksFrom(name: DashboardName) {
  const others = (Object.keys(UIDS) as DashboardName[]).filter((other) => other !== name);
  return others.map((other) =>
    new DashboardLinkBuilder(TITLES[other])
      .type(DashboardLinkType.Link)
      .url(`/d/${UIDS[other]}`)
      .icon("dashboard")
      .tooltip(ANSWERS[other])
      .includeVars(true)
      .keepTime(true),
  );
}

/** A link of a figure, as Grafana keeps it. */
export interface DataLink {
  readonly title: string;
  readonly url: string;
  readonly targetBlank: boolean;
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana fills it in
const KEEP_DATASOURCE = "${datasource:queryparam}";
// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana fills it in
const KEEP_TIME = "${__url_time_range}";

type Choices = Readonly<Record<string, string>>;

/** Variables, and the labels or columns that tell what to choose in each. */
const PATH: Choices = { job: "job", instance: "instance", host: "host", path: "at" };
const VM: Choices = { ...PATH, vm: "vm" };
const GROUP: Choices = { ...PATH, group: "group" };

/** From a series with the labels job, instance, host, at and vm to its VM. */
export const toVm = seriesLink("Show this VM", "vm", VM);

/** From a series with the labels job, instance, host, at and group to its group's decisions. */
export const toGroup = seriesLink("Why did it (not) scale?", "scaler", GROUP);

/** From a row of a table with the same as columns to its VM. */
export const rowToVm = rowLink("Show this VM", "vm", VM);

/** From a row of a table with the same as columns to its group's decisions. */
export const rowToGroup = rowLink("Why did it (not) scale?", "scaler", GROUP);

function seriesLink(title: string, to: DashboardName, choices: Choices): DataLink {
  return link(title, to, choices, (label) => `__field.labels.${label}`);
}

function rowLink(title: string, to: DashboardName, choices: Choices): DataLink {
  return link(title, to, choices, (column) => `__data.fields.${column}`);
}

function link(
  title: string,
  to: DashboardName,
  choices: Choices,
  source: (name: string) => string,
): DataLink {
  const chosen = Object.entries(choices).map(
    ([variable, name]) => `var-${variable}=\${${source(name)}:percentencode}`,
  );
  const parameters = [KEEP_DATASOURCE, ...chosen, KEEP_TIME];
  return { title, url: `/d/${UIDS[to]}?${parameters.join("&")}`, targetBlank: false };
}
