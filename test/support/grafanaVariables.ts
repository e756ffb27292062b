/** Fills Grafana's variables and macros in, as Grafana does before it asks Prometheus. */

/** What the built-in macros stand for on a dashboard of an hour. */
export const MACROS: Readonly<Record<string, string>> = {
  __interval: "15s",
  __interval_ms: "15000",
  __rate_interval: "1m",
  __rate_interval_ms: "60000",
  __range: "1h",
  __range_s: "3600",
  __range_ms: "3600000",
};

/** `$name`, `${name}`, `${name:format}`, `[[name]]`; `$1` of label_replace is no variable. */
const REFERENCE = /\$(?<plain>[A-Za-z_]\w*)|\$\{(?<braced>\w+)(?::\w+)?\}|\[\[(?<old>\w+)(?::\w+)?\]\]/g;

/**
 * A text with its variables filled in, by the values given and the macros.
 * Throws on a variable that is neither: Grafana would leave it as it stands and Prometheus refuse it.
 */
export function fillVariables(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(REFERENCE, (reference, ...groups) => {
    const { plain, braced, old } = groups.at(-1) as Record<"plain" | "braced" | "old", string | undefined>;
    const name = plain ?? braced ?? old ?? "";
    const value = values[name] ?? MACROS[name];
    if (value === undefined) throw new Error(`${reference} is no variable of this dashboard, in: ${text}`);
    return value;
  });
}

/** The variables and macros that a text refers to, each once. */
export function variablesIn(text: string): string[] {
  const names = [...text.matchAll(REFERENCE)].map(
    ({ groups = {} }) => groups["plain"] ?? groups["braced"] ?? groups["old"] ?? "",
  );
  return [...new Set(names)];
}
