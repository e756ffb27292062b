/** What the variables of a dashboard choose, as conditions of a PromQL selector. */

/**
 * The values of `path` are regular expressions already, see pathVariable: they are put in as they are, where Grafana would
 * escape those of any other variable.
 */
// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana fills it in
const PATH = "${path:pipe}";

/** The exporters, by what Prometheus calls them: a host's name is only unique within one. */
export const EXPORTERS = 'job=~"$job",instance=~"$instance"';
export const HOSTS = `${EXPORTERS},host=~"$host"`;
export const PATHS = `${HOSTS},path=~"${PATH}"`;
export const GROUPS = `${PATHS},group=~"$group"`;
export const VMS = `${PATHS},vm=~"$vm"`;

/** What tells exporters, hosts and so on apart, for `by` and `on`: two exporters may both call their host `local`. */
export const BY_EXPORTER = "job, instance";
export const BY_HOST = `${BY_EXPORTER}, host`;
export const BY_PATH = `${BY_HOST}, path`;
export const BY_GROUP = `${BY_PATH}, group`;
export const BY_VM = `${BY_PATH}, vm`;

/** How far a rate looks back: as far as Grafana finds right for the scrape interval and the width of the graph. */
export const RATE = "[$__rate_interval]";

/** How a VM, a group or a path is called in a legend: as Albatross writes it, behind its host. */
export const VM_LEGEND = "{{host}} {{path}}:{{vm}}";
export const GROUP_LEGEND = "{{host}} {{path}}:{{group}}";
export const PATH_LEGEND = "{{host}} {{path}}:";

/** The same behind its exporter, where those of several are seen at once. */
export function ofExporter(legend: string): string {
  return `{{instance}} ${legend}`;
}

/**
 * Gives series a label `at` that a link can hand to the variable `path`: it is never empty, while the label `path` of what
 * stands at the root is, and Grafana leaves the name of an empty label as it stands.
 */
export function withAt(expression: string): string {
  return `label_replace(${expression}, "at", "^$1$$", "path", "(.*)")`;
}
