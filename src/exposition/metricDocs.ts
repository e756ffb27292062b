/** What the documentation of metric tables is put together from. */
import type { LabelDoc } from "./row.ts";

/** Labels and what they hold. */
export function labelList(labels: readonly LabelDoc[]): string {
  return labels.map(({ name, holds }) => `\`${name}\` (${holds})`).join(", ");
}

/** One line of a Markdown table. */
export function tableLine(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}
