/** A series as an exposition states it, with its labels unescaped and its value still text. */
export interface ParsedSeries {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: string;
}

export interface ParsedFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly series: ParsedSeries[];
}

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)$/su;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/suy;

/**
 * Reads an exposition strictly: every line must be one that the writer may write, in the order that both formats
 * demand (HELP, TYPE, then all series of the family; OpenMetrics ends with `# EOF`). Throws on anything else.
 */
export function parseExposition(text: string, format: "text" | "openmetrics"): ParsedFamily[] {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const lines = text.slice(0, -1).split("\n");
  if (format === "openmetrics" && lines.pop() !== "# EOF") throw new Error("no # EOF at the end");
  const families = new Map<string, ParsedFamily>();
  let current: ParsedFamily | undefined;
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? "";
    if (line.startsWith("# HELP ")) {
      const [, name = "", help = ""] = /^# HELP (\S+) (.*)$/su.exec(line) ?? [];
      const [, typed, type = ""] = /^# TYPE (\S+) (counter|gauge|histogram)$/u.exec(lines[++i] ?? "") ?? [];
      if (typed !== name) throw new Error(`line ${i + 1}: no TYPE after HELP of ${name}`);
      if (families.has(name)) throw new Error(`line ${i + 1}: ${name} a second time`);
      current = { name, type, help: unescaped(help, format === "openmetrics"), series: [] };
      families.set(name, current);
      continue;
    }
    if (current === undefined) throw new Error(`line ${i + 1}: series before any family: ${line}`);
    const series = parseSeries(line, i + 1);
    if (!belongs(series.name, current, format))
      throw new Error(`line ${i + 1}: ${series.name} in ${current.name}`);
    current.series.push(series);
  }
  return [...families.values()];
}

/** `name{a="b"}` to value, for tests that look for single series. */
export function seriesByText(families: readonly ParsedFamily[]): Map<string, string> {
  return new Map(
    families.flatMap((family) =>
      family.series.map(({ name, labels, value }) => [
        `${name}{${Object.entries(labels)
          .map(([label, text]) => `${label}=${JSON.stringify(text)}`)
          .join(",")}}`,
        value,
      ]),
    ),
  );
}

function belongs(series: string, family: ParsedFamily, format: "text" | "openmetrics"): boolean {
  if (family.type === "histogram") return /^_(bucket|sum|count)$/.test(series.slice(family.name.length));
  if (family.type === "counter" && format === "openmetrics") return series === `${family.name}_total`;
  return series === family.name;
}

function parseSeries(line: string, lineNumber: number): ParsedSeries {
  const match = LINE.exec(line);
  if (match === null) throw new Error(`line ${lineNumber}: no series: ${line}`);
  const [, name = "", labelText = "", value = ""] = match;
  if (!/^[+-]?(\d+(\.\d+)?(e[+-]?\d+)?|Inf)$|^NaN$/.test(value)) {
    throw new Error(`line ${lineNumber}: no value: ${value}`);
  }
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < labelText.length) {
    const at = LABEL.lastIndex;
    const [, label = "", text = ""] = LABEL.exec(labelText) ?? [];
    if (label === "" || label in labels) throw new Error(`line ${lineNumber}: labels at ${at}: ${labelText}`);
    labels[label] = unescaped(text, true);
  }
  return { name, labels, value };
}

function unescaped(text: string, quotes: boolean): string {
  return text.replace(/\\(.)/gsu, (_, char: string) => {
    if (char === "n") return "\n";
    if (char === "\\" || (char === '"' && quotes)) return char;
    throw new Error(`\\${char} is no escape here`);
  });
}
