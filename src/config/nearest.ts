import { distance } from "fastest-levenshtein";

/** The candidate that `word` most likely meant, or null when none is within a third of its length in typing errors. */
export function nearest(word: string, candidates: Iterable<string>): string | null {
  const limit = Math.max(1, Math.floor(word.length / 3));
  let best: { candidate: string; errors: number } | null = null;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) > limit) continue;
    const errors = typingErrors(normalised(word), normalised(candidate));
    if (errors <= limit && (best === null || errors < best.errors)) best = { candidate, errors };
  }
  return best?.candidate ?? null;
}

/** `socketDir`, `socket-dir` and `SOCKET_DIR` are all a way of writing `socket_dir`. */
function normalised(word: string): string {
  return word.replace(/[-_.]/g, "").toLowerCase();
}

/** Characters to insert, delete or replace that turn `a` into `b`, or one pair of neighbours to swap and then those. */
function typingErrors(a: string, b: string): number {
  const swapped = Array.from(
    a.slice(1),
    (next, at) => a.slice(0, at) + next + a.charAt(at) + a.slice(at + 2),
  );
  return Math.min(distance(a, b), ...swapped.map((word) => 1 + distance(word, b)));
}
