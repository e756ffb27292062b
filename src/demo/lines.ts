/** One decision in `/api/v1/decisions`, as far as it is told here. */
export interface Decision {
  /** RFC 3339: decisions of one evaluation have one time, and text sorts as time does */
  readonly time: string;
  readonly path: string;
  readonly group: string;
  readonly decision: string;
  readonly reason: string;
  readonly clone: string | null;
  readonly text: string;
}

/** Those after `time` on groups that a policy matches, the oldest first. `newestFirst` is the API's order. */
export function decisionsAfter(time: string, newestFirst: readonly Decision[]): readonly Decision[] {
  return newestFirst.filter((one) => one.time > time && one.reason !== "no_policy").reverse();
}

/** A decision on one line: `user:web scale_up web-clone-1 (overloaded): Create web-clone-1: the average ...`. */
export function decisionLine({ path, group, decision, clone, reason, text }: Decision): string {
  const what = clone === null ? decision : `${decision} ${clone}`;
  return `${path}:${group} ${what} (${reason}): ${text}`;
}

/** One action in `/api/v1/actions`, as far as it is told here. */
export interface Action {
  readonly id: string;
  readonly path: string;
  readonly group: string;
  readonly operation: string;
  readonly clone: string;
  readonly phase: string;
  readonly reason: string | null;
  readonly text: string;
}

/** An action's phase on one line: `user:web create web-clone-1: verified`, `... failed (quota): maximum amount of ...`. */
export function actionLine({ path, group, operation, clone, phase, reason, text }: Action): string {
  const why = reason === null || reason === "done" ? "" : ` (${reason})`;
  return `${path}:${group} ${operation} ${clone}: ${phase}${why}${text === "" ? "" : `: ${text}`}`;
}

/** What `/metrics` says about one group of clones. */
interface GroupFigures {
  /** The primary's full name, `user:web`. */
  readonly name: string;
  /** Mean over the members that have a usage; null while none has. */
  readonly cpuPercent: number | null;
  readonly clones: number;
}

const SERIES = /^albatross_group_(?<metric>cpu_usage_percent|clones)\{(?<labels>[^}]*)\} (?<value>\S+)$/;

/** The groups in an exposition (text format 0.0.4), sorted by name. */
export function groupsIn(exposition: string): GroupFigures[] {
  const groups = new Map<string, GroupFigures>();
  for (const line of exposition.split("\n")) {
    const { metric, labels, value } = SERIES.exec(line)?.groups ?? {};
    if (metric === undefined || labels === undefined) continue;
    const name = `${label(labels, "path")}:${label(labels, "group")}`;
    const known = groups.get(name) ?? { name, cpuPercent: null, clones: 0 };
    const figure = Number(value);
    groups.set(name, metric === "clones" ? { ...known, clones: figure } : { ...known, cpuPercent: figure });
  }
  return [...groups.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** All groups on one line: `user:db 43 % | user:web 98 % and 2 clones`. */
export function groupLine(groups: readonly GroupFigures[]): string {
  return groups.map(describeGroup).join(" | ");
}

function describeGroup({ name, cpuPercent, clones }: GroupFigures): string {
  const usage = cpuPercent === null ? "  -" : String(Math.round(cpuPercent)).padStart(3);
  const count = clones === 0 ? "" : ` and ${clones} ${clones === 1 ? "clone" : "clones"}`;
  return `${name} ${usage} %${count}`;
}

/** The names here are Albatross names, which hold nothing that is escaped in a label's value. */
function label(labels: string, name: string): string {
  return new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1] ?? "";
}
