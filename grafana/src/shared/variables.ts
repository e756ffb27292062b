/** The variables that every dashboard has, so that links can keep them; those that a dashboard does not use are hidden. */
import {
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  VariableHide,
  VariableRefresh,
  VariableSort,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { EXPORTERS, GROUPS, HOSTS, PATHS, withAt } from "./selectors.ts";

/** Prometheus as whoever looks chose it. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana fills it in
export const DATASOURCE = { type: "prometheus", uid: "${datasource}" };

export type VariableName = "job" | "instance" | "host" | "path" | "group" | "vm";

/** The variables of a dashboard that shows `shown` of them. */
export function variables(shown: readonly VariableName[]) {
  const datasource = new DatasourceVariableBuilder("datasource")
    .label("Data source")
    .description("The Prometheus that scrapes the exporters.")
    .type("prometheus");
  const all = [
    jobVariable(),
    instanceVariable(),
    hostVariable(),
    pathVariable(),
    groupVariable(),
    vmVariable(),
  ];
  const hidden = all.map((variable) => {
    const { name } = variable.build();
    const isShown = shown.some((wanted) => wanted === name);
    return isShown ? variable : variable.hide(VariableHide.HideVariable);
  });
  return [datasource, ...hidden];
}

/** Without a value for all of them: there are other programs whose metrics are called process_ and nodejs_. */
function jobVariable() {
  return labelValues("job", "Job", "albatross_exporter_build_info").description(
    "Scrape jobs of Prometheus that have exporters.",
  );
}

/** Without a value for all of them, as the jobs. */
function instanceVariable() {
  return labelValues("instance", "Exporter", 'albatross_exporter_build_info{job=~"$job"}').description(
    "Exporters by where Prometheus scrapes them.",
  );
}

function hostVariable() {
  return labelValues("host", "Host", `albatross_up{${EXPORTERS}}`)
    .allValue(".*")
    .description("Targets of the exporters.");
}

/**
 * At the root the label `path` is empty, which Prometheus does not list as a value and a list of values joined by `|` could
 * not hold. So each value is an expression of its own, `^user$` or `^$`, beside the name to show.
 */
function pathVariable() {
  const paths = withAt(`count by (path) (albatross_group_clones{${HOSTS}})`);
  const named = `label_replace(${paths}, "name", "$1", "path", "(.+)")`;
  const rootNamed = `label_replace(${named}, "name", "(root)", "path", "")`;
  return query("path", "Path", `query_result(${rootNamed})`)
    .regex('/at="(?<value>[^"]+)",name="(?<text>[^"]+)"/')
    .allValue(".*")
    .description("Paths of the VMs: users and what they have below them. (root) is above all of them.");
}

function groupVariable() {
  return labelValues("group", "Group", `albatross_group_clones{${PATHS}}`)
    .allValue(".*")
    .description("Groups of a primary and its clones, by the primary's name.");
}

/** Without a value for all of them: all are then those of the chosen groups and no others. */
function vmVariable() {
  return labelValues("vm", "VM", `albatross_group_member_info{${GROUPS}}`).description(
    "VMs of the chosen groups.",
  );
}

/** How the data source's editor of variables tells its kinds of queries apart. */
const LABEL_VALUES = 1;
const QUERY_RESULT = 3;

function labelValues(name: VariableName, label: string, selector: string) {
  return query(name, label, `label_values(${selector}, ${name})`);
}

function query(name: VariableName, label: string, text: string) {
  return new QueryVariableBuilder(name)
    .label(label)
    .datasource(DATASOURCE)
    .query({
      qryType: text.startsWith("label_values") ? LABEL_VALUES : QUERY_RESULT,
      query: text,
      refId: "PrometheusVariableQueryEditor-VariableQuery",
    })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.NaturalAsc)
    .multi(true)
    .includeAll(true);
}
