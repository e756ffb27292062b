/** One line of the bench's table. A row without a bound only informs. */
export interface BenchRow {
  readonly name: string;
  readonly figure: number;
  readonly unit: string;
  /** What the figure is held to, as text: `>= 5`; empty when it only informs. */
  readonly bound: string;
  readonly ok: boolean;
}

/** A row whose figure is held to be below a limit, or only informs. */
export function row(name: string, figure: number, unit: string, below?: number): BenchRow {
  const bound = below === undefined ? "" : `< ${below}`;
  return { name, figure, unit, bound, ok: below === undefined || figure < below };
}
