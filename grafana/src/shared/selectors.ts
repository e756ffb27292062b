/** What the variables of a dashboard choose, as conditions of a PromQL selector. */

/**
 * The values of `path` are regular expressions already, see pathVariable: they are put in as they are, where Grafana would
 * escape those of any other variable.
 */
// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana fills it in
const PATH = "${path:pipe}";

export const HOSTS = 'host=~"$host"';
export const PATHS = `${HOSTS},path=~"${PATH}"`;
export const GROUPS = `${PATHS},group=~"$group"`;
export const VMS = `${PATHS},vm=~"$vm"`;
/** For what has no host: the exporters themselves. */
export const EXPORTERS = 'instance=~"$instance"';

/** How far a rate looks back: as far as Grafana finds right for the scrape interval and the width of the graph. */
export const RATE = "[$__rate_interval]";

/** How a VM, a group or a path is called in a legend: as Albatross writes it, behind its host. */
export const VM_LEGEND = "{{host}} {{path}}:{{vm}}";
export const GROUP_LEGEND = "{{host}} {{path}}:{{group}}";
export const PATH_LEGEND = "{{host}} {{path}}:";

/**
 * Gives series a label `at` that a link can hand to the variable `path`: it is never empty, while the label `path` of what
 * stands at the root is, and Grafana leaves the name of an empty label as it stands.
 */
export function withAt(expression: string): string {
  return `label_replace(${expression}, "at", "^$1$$", "path", "(.*)")`;
}
