/**
 * A map that is quick as long as it is asked in the order in which its entries stand, as the groups of one tick are in the
 * next. A hash map's answer costs several times as much, since it looks at places all over the memory, and so does making
 * one.
 */
export class InOrder<T> implements ReadonlyMap<string, T> {
  readonly #keys: readonly string[];
  readonly #values: readonly T[];
  /** where the next one is expected */
  #cursor = 0;
  /** made when something is asked for that is not where it is expected */
  #indexes: ReadonlyMap<string, number> | null = null;

  /** The keys are different; the value of each stands at the same index. */
  constructor(keys: readonly string[], values: readonly T[]) {
    this.#keys = keys;
    this.#values = values;
  }

  get size(): number {
    return this.#keys.length;
  }

  get(key: string): T | undefined {
    if (this.#cursor === this.#keys.length) this.#cursor = 0;
    if (this.#keys[this.#cursor] !== key) {
      const index = this.#index(key);
      if (index === undefined) return undefined;
      this.#cursor = index;
    }
    return this.#values[this.#cursor++];
  }

  has(key: string): boolean {
    return this.#index(key) !== undefined;
  }

  keys(): MapIterator<string> {
    return this.#keys.values();
  }

  values(): MapIterator<T> {
    return this.#values.values();
  }

  *entries(): MapIterator<[string, T]> {
    for (const [index, key] of this.#keys.entries()) yield [key, this.#values[index] as T]; // same length
  }

  [Symbol.iterator](): MapIterator<[string, T]> {
    return this.entries();
  }

  forEach(callback: (value: T, key: string, map: ReadonlyMap<string, T>) => void): void {
    for (const [key, value] of this.entries()) callback(value, key, this);
  }

  #index(key: string): number | undefined {
    this.#indexes ??= new Map(this.#keys.map((known, index) => [known, index]));
    return this.#indexes.get(key);
  }
}
