interface Entry<T> {
  readonly key: DataView;
  readonly value: T;
}

const FNV_OFFSET_BASIS = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Values of short runs of bytes that come again and again, such as names: no more than `places`, whatever a peer sends. */
export class InternTable<T> {
  readonly #entries: (Entry<T> | undefined)[];
  readonly #mask: number;
  readonly #maxKeyBytes: number;
  readonly #make: (text: string) => T | null;

  /** `places` is a power of two; runs longer than `maxKeyBytes` and values that are null are made anew each time. */
  constructor(places: number, maxKeyBytes: number, make: (text: string) => T | null) {
    this.#entries = new Array<Entry<T> | undefined>(places).fill(undefined);
    this.#mask = places - 1;
    this.#maxKeyBytes = maxKeyBytes;
    this.#make = make;
  }

  get(view: DataView, start: number, end: number): T | null {
    const hash = hashOf(view, start, end);
    const place = (hash ^ (hash >>> 15)) & this.#mask;
    const entry = this.#entries[place];
    if (entry !== undefined && isSame(entry.key, view, start, end)) return entry.value;
    const second = this.#entries[place ^ 1];
    if (second !== undefined && isSame(second.key, view, start, end)) return second.value;
    const bytes = new Uint8Array(view.buffer, start, end - start).slice();
    const value = this.#make(Buffer.from(bytes.buffer).toString());
    if (value !== null && bytes.length <= this.#maxKeyBytes) {
      this.#entries[entry === undefined ? place : place ^ 1] = { key: new DataView(bytes.buffer), value };
    }
    return value;
  }
}

/** FNV-1a, over words instead of bytes as far as they reach. */
function hashOf(view: DataView, start: number, end: number): number {
  let hash = FNV_OFFSET_BASIS;
  let i = start;
  for (; i + 4 <= end; i += 4) hash = Math.imul(hash ^ view.getInt32(i), FNV_PRIME);
  for (; i < end; i++) hash = Math.imul(hash ^ view.getUint8(i), FNV_PRIME);
  return hash;
}

function isSame(key: DataView, view: DataView, start: number, end: number): boolean {
  const length = end - start;
  if (key.byteLength !== length) return false;
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    if (key.getInt32(i) !== view.getInt32(start + i)) return false;
  }
  for (; i < length; i++) {
    if (key.getUint8(i) !== view.getUint8(start + i)) return false;
  }
  return true;
}
