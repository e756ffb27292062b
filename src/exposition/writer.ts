import { type Clock, systemClock, yieldToEventLoop } from "../clock.ts";
import type { ExpositionFormat, Family } from "./family.ts";
import { SeriesWriter } from "./seriesWriter.ts";

export interface RenderTally {
  series: number;
  bytes: number;
}

export interface RenderOptions {
  /** What comes between two slices; tests count it. */
  readonly yieldTurn?: () => Promise<void>;
  /** Ends the rendering at its next slice, without an error. */
  readonly signal?: AbortSignal;
  readonly tally?: RenderTally;
  /** Of one buffer. The default keeps 40 scrapes at once below 20 MB and costs nothing against larger ones. */
  readonly chunkBytes?: number;
  readonly clock?: Clock;
}

const CHUNK_BYTES = 128 * 1024;
/** A slice ends with its buffer, usually well below 1 ms; items that write little end theirs by time. */
const SLICE_US = 5_000;
const ITEMS_PER_LOOK = 128;

/** Buffers that the consumer pulls, each slice a turn of the event loop. Throws what a family's `emit` throws. */
export async function* renderExposition(
  families: Iterable<Family>,
  format: ExpositionFormat,
  options: RenderOptions = {},
): AsyncGenerator<Buffer, void, void> {
  const {
    yieldTurn = yieldToEventLoop,
    signal,
    tally = { series: 0, bytes: 0 },
    clock = systemClock(),
  } = options;
  const writer = new SeriesWriter(format, options.chunkBytes ?? CHUNK_BYTES);
  let sliceEndUs = 0;

  const nextTurn = async () => {
    await yieldTurn();
    sliceEndUs = clock.nowUs() + SLICE_US;
  };
  const taken = (rest: boolean) => {
    const chunks = writer.take({ rest });
    tally.series = writer.seriesWritten;
    for (const chunk of chunks) tally.bytes += chunk.length;
    return chunks;
  };

  await nextTurn();
  for (const family of families) {
    writer.beginFamily(family);
    let next = 0;
    for (;;) {
      if (signal?.aborted) return;
      next = emitSome(family, next, writer);
      if (writer.hasFullChunk || clock.nowUs() >= sliceEndUs) {
        yield* taken(false);
        await nextTurn();
      }
      if (next >= family.items.length) break;
    }
  }
  if (format === "openmetrics") writer.line("# EOF");
  yield* taken(true);
}

/** Emits items until a buffer is full or it is time to look at the clock; returns where to go on. */
function emitSome(family: Family, from: number, writer: SeriesWriter): number {
  const { items } = family;
  const end = Math.min(from + ITEMS_PER_LOOK, items.length);
  for (let i = from; i < end; i++) {
    family.emit(items[i], writer, i);
    if (writer.hasFullChunk) return i + 1;
  }
  return end;
}
