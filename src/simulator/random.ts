/**
 * Chance that can be told twice: every number is a pure function of a seed, so a scenario plays the same way again
 * whatever else happens in between, and no generator has a state that the order of calls could disturb.
 */

/** A 32-bit hash of a text, FNV-1a followed by murmur3's finaliser. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return mix(hash);
}

/** A number in [0, 1) that depends on nothing but the seed and the index. */
export function unitAt(seed: number, index: number): number {
  const high = Math.floor(index / 0x1_0000_0000);
  return mix(mix(seed ^ mix(index >>> 0)) ^ high) / 0x1_0000_0000;
}

/** `length` bytes that depend on nothing but the seed. */
export function bytesFrom(seed: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = unitAt(seed, i) * 256;
  return bytes;
}

/** Combines a seed with a text, so that things with different names have independent chance. */
export function seedFor(seed: number, text: string): number {
  return mix(seed ^ hashText(text));
}

function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
