import type { Clock } from "../clock.ts";
import type { Turns } from "../exposition/turns.ts";
import { toJson } from "./responses.ts";

const PIECE_CHARACTERS = 64 * 1024;
const SLICE_US = 5_000;
/** Items between two looks at the clock. */
const ITEMS_PER_LOOK = 64;

/**
 * A successful API answer whose data is a long list, in pieces that are made as they are pulled, each a turn of the
 * event loop: a list of 100,000 VMs holds nobody up. Ends early when `signal` is aborted.
 */
export async function* jsonPieces(
  items: Iterable<unknown>,
  { turns, signal, clock }: { turns: Turns; signal: AbortSignal; clock: Clock },
): AsyncGenerator<Buffer, void, void> {
  let text = '{"status":"success","data":[';
  let separator = "";
  let untilLook = ITEMS_PER_LOOK;
  await turns.next();
  let sliceEndUs = clock.nowUs() + SLICE_US;
  for (const item of items) {
    text += separator + toJson(item);
    separator = ",";
    untilLook--;
    if (text.length < PIECE_CHARACTERS) {
      if (untilLook > 0) continue;
      untilLook = ITEMS_PER_LOOK;
      if (clock.nowUs() < sliceEndUs) continue;
    }
    yield Buffer.from(text);
    text = "";
    if (signal.aborted) return;
    await turns.next();
    sliceEndUs = clock.nowUs() + SLICE_US;
  }
  yield Buffer.from(`${text}]}`);
}
