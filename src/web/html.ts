/** Text that is HTML already: what is put into other HTML as it stands. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Insertable = string | number | Html | readonly Html[];

/** HTML from a template. What is inserted is escaped, for text and for quoted attributes, unless it is HTML itself. */
export function html(parts: TemplateStringsArray, ...inserted: readonly Insertable[]): Html {
  return new Html(parts.reduce((text, part, index) => text + insertable(inserted[index - 1]) + part));
}

function insertable(value: Insertable | undefined): string {
  if (value === undefined) return "";
  if (value instanceof Html) return value.text;
  if (typeof value === "object") return value.map(({ text }) => text).join("");
  return escapeHtml(String(value));
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}
