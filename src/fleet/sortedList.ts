/** How many new items wait before they are merged: keeps adding cheap, and reading after many additions too. */
const MERGE_AT = 1024;

/**
 * A list that is always read in order. Made for many reads and bursts of additions: 100,000 items that arrive at once
 * are sorted a piece at a time as they are added, not all when somebody first reads them.
 */
export class SortedList<T extends object> {
  readonly #compare: (a: T, b: T) => number;
  #sorted: T[] = [];
  #added: T[] = [];

  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  add(item: T): void {
    this.#added.push(item);
    if (this.#added.length >= MERGE_AT) this.#merge();
  }

  /** Drops every item that `keep` refuses. */
  retain(keep: (item: T) => boolean): void {
    this.#sorted = this.#sorted.filter(keep);
    this.#added = this.#added.filter(keep);
  }

  /** All items in order. A list handed out before stays as it is. */
  items(): readonly T[] {
    if (this.#added.length > 0) this.#merge();
    return this.#sorted;
  }

  #merge(): void {
    const left = this.#sorted;
    const right = this.#added.sort(this.#compare);
    const merged: T[] = [];
    let taken = 0;
    for (const item of right) {
      for (let next = left[taken]; next !== undefined && this.#compare(next, item) <= 0; next = left[taken]) {
        merged.push(next);
        taken += 1;
      }
      merged.push(item);
    }
    this.#sorted = merged.concat(left.slice(taken));
    this.#added = [];
  }
}
