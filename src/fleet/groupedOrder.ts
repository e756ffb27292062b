/** How many new ids wait before they are merged: keeps adding cheap, and reading after many additions too. */
const MERGE_AT = 1024;

/** Ids in order; `startsGroup` is 1 at the index of each id that is the first of its group, else 0. */
export interface OrderedIds {
  readonly ids: Int32Array;
  readonly startsGroup: Uint8Array;
}

/**
 * Keeps ids in an order in which the members of a group stand together, and knows where groups begin. Comparing is the
 * costly part (it looks at names all over the memory), so it is done for ids that are added and not for those that are
 * there: reading 100,000 ids after one was added compares some twenty.
 */
export class GroupedOrder {
  readonly #compare: (a: number, b: number) => number;
  readonly #isSameGroup: (a: number, b: number) => boolean;
  #ids = new Int32Array(0);
  #startsGroup = new Uint8Array(0);
  #added: number[] = [];

  constructor(compare: (a: number, b: number) => number, isSameGroup: (a: number, b: number) => boolean) {
    this.#compare = compare;
    this.#isSameGroup = isSameGroup;
  }

  add(id: number): void {
    this.#added.push(id);
    if (this.#added.length >= MERGE_AT) this.#merge();
  }

  /** Drops every id that `keep` refuses. */
  retain(keep: (id: number) => boolean): void {
    const { ids, startsGroup } = this.read();
    const kept = new Int32Array(ids.length);
    const keptStarts = new Uint8Array(ids.length);
    let count = 0;
    let isStart = 0;
    for (const [index, id] of ids.entries()) {
      // When a group's first member goes, the next one is its first.
      isStart |= startsGroup[index] ?? 0;
      if (!keep(id)) continue;
      kept[count] = id;
      keptStarts[count] = isStart;
      count += 1;
      isStart = 0;
    }
    this.#ids = kept.slice(0, count);
    this.#startsGroup = keptStarts.slice(0, count);
  }

  /** All ids in order. What was handed out before stays as it is. */
  read(): OrderedIds {
    if (this.#added.length > 0) this.#merge();
    return { ids: this.#ids, startsGroup: this.#startsGroup };
  }

  #merge(): void {
    const added = this.#added.sort(this.#compare);
    const merged = new Int32Array(this.#ids.length + added.length);
    const starts = new Uint8Array(merged.length);
    let taken = 0;
    let count = 0;
    const takeUpTo = (end: number) => {
      if (end === taken) return;
      merged.set(this.#ids.subarray(taken, end), count);
      starts.set(this.#startsGroup.subarray(taken, end), count);
      // The one before it is new: it may be of the same group.
      starts[count] = this.#isFirst(merged, count);
      count += end - taken;
      taken = end;
    };
    for (const id of added) {
      takeUpTo(this.#firstAfter(id, taken));
      merged[count] = id;
      starts[count] = this.#isFirst(merged, count);
      count += 1;
    }
    takeUpTo(this.#ids.length);
    this.#ids = merged;
    this.#startsGroup = starts;
    this.#added = [];
  }

  #isFirst(ids: Int32Array, index: number): 0 | 1 {
    const before = ids[index - 1];
    const id = ids[index];
    return before !== undefined && id !== undefined && this.#isSameGroup(before, id) ? 0 : 1;
  }

  /** Index of the first id, from `from` on, that comes after `id`. */
  #firstAfter(id: number, from: number): number {
    let low = from;
    let high = this.#ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const there = this.#ids[middle];
      if (there !== undefined && this.#compare(there, id) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
