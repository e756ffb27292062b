/**
 * Values by key, found without looking into a map as long as they are asked for in the order in which they stand, as the
 * groups of one tick are in the next. A map's answer costs several times as much: it looks at places all over the memory.
 */
export class InOrder<T> {
  readonly #keys: readonly string[];
  readonly #values: readonly T[];
  /** where the next one is expected */
  #cursor = 0;
  /** made when something is asked for that is not where it is expected */
  #indexes: ReadonlyMap<string, number> | null = null;

  constructor(keys: readonly string[], values: readonly T[]) {
    this.#keys = keys;
    this.#values = values;
  }

  find(key: string): T | undefined {
    if (this.#keys[this.#cursor] !== key) {
      this.#indexes ??= new Map(this.#keys.map((known, index) => [known, index]));
      const index = this.#indexes.get(key);
      if (index === undefined) return undefined;
      this.#cursor = index;
    }
    return this.#values[this.#cursor++];
  }
}
