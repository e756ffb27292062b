/** A unikernel's or a path's name as Albatross knows it: labels, lower-cased. `label` is null for a path. */
export interface Name {
  readonly path: readonly string[];
  readonly label: string | null;
}
