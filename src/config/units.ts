const MS_PER_UNIT = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;
const DURATION = /^(?:(?<d>\d+)d)?(?:(?<h>\d+)h)?(?:(?<m>\d+)m)?(?:(?<s>\d+)s)?(?:(?<ms>\d+)ms)?$/;

const BYTES_PER_UNIT = new Map([
  ["B", 1],
  ["kB", 1e3],
  ["MB", 1e6],
  ["GB", 1e9],
  ["KiB", 2 ** 10],
  ["MiB", 2 ** 20],
  ["GiB", 2 ** 30],
]);
const SIZE = /^(?<count>\d+) ?(?<unit>[a-zA-Z]+)$/;

/** Milliseconds of `90s`, `1h30m` or `500ms` (largest unit first, each once); null if it is none. */
export function parseDuration(text: string): number | null {
  const groups = DURATION.exec(text)?.groups;
  if (groups === undefined || text === "") return null;
  let ms = 0;
  for (const [unit, factor] of Object.entries(MS_PER_UNIT)) ms += Number(groups[unit] ?? 0) * factor;
  return Number.isSafeInteger(ms) ? ms : null;
}

/** `1h30m`; `0s` for zero. Fractions of a millisecond are rounded. */
export function formatDuration(ms: number): string {
  let rest = Math.round(ms);
  let text = "";
  for (const [unit, factor] of Object.entries(MS_PER_UNIT)) {
    const count = Math.floor(rest / factor);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * factor;
  }
  return text === "" ? "0s" : text;
}

/** Bytes of `64MiB`, `10MB` or `512B`; null if it is none. */
export function parseSize(text: string): number | null {
  const groups = SIZE.exec(text)?.groups;
  const factor = BYTES_PER_UNIT.get(groups?.["unit"] ?? "");
  if (groups === undefined || factor === undefined) return null;
  const bytes = Number(groups["count"]) * factor;
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** In the largest binary unit that loses nothing: `64MiB`, `1000B`. */
export function formatSize(bytes: number): string {
  for (const unit of ["GiB", "MiB", "KiB"]) {
    const factor = BYTES_PER_UNIT.get(unit) ?? 1;
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}
