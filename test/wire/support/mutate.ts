/** Random numbers from a seed (mulberry32): the same seed gives the same messages on every machine. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** An integer from 0 up to, not including, `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return Math.floor((((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError("nothing to pick from");
    return item;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

/** Identifier and length bytes that mean something somewhere in the grammar, and values at edges. */
const TELLING_BYTES = [
  0x00, 0x01, 0x02, 0x04, 0x05, 0x08, 0x0c, 0x18, 0x1f, 0x30, 0x31, 0x7f, 0x80, 0x81, 0x82, 0x84, 0x88, 0xa0,
  0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xbf, 0xff,
];

/**
 * `message` with one to four small damages: bytes changed, put in, taken out, cut off or brought from `other`,
 * half of them changes that leave all lengths right.
 */
export function mutate(random: Random, message: Buffer, other: Buffer): Buffer {
  let bytes = Buffer.from(message);
  for (let left = 1 + random.below(1 + random.below(4)); left > 0; left--) {
    const at = random.below(bytes.length + 1);
    switch (random.below(10)) {
      case 1:
        if (at < bytes.length) bytes[at] = random.pick(TELLING_BYTES);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), random.bytes(1 + random.below(4)), bytes.subarray(at)]);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(10))]);
        break;
      case 4:
        bytes = bytes.subarray(0, at);
        break;
      case 5: {
        const from = random.below(other.length);
        const piece = other.subarray(from, from + 1 + random.below(30));
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          piece,
          bytes.subarray(at + random.below(2) * piece.length),
        ]);
        break;
      }
      default:
        if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    }
  }
  return bytes;
}
