/** Time since the start, in a column before what happened then: `  25s`. */
export function elapsed(us: number): string {
  return `${Math.floor(us / 1_000_000)}s`.padStart(6);
}
