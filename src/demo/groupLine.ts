/** What `/metrics` says about one group of clones. */
export interface GroupFigures {
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
