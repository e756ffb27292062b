import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { isErrno, plainMessage } from "../systemError.ts";
import { WireError } from "../wire/errors.ts";
import { FrameReader } from "../wire/framing.ts";
import { decodeMessage, messageToJson } from "../wire/messages.ts";

/** albatrossd's longest replies are images. */
const MAX_FRAME_BYTES = 64 * 1024 * 1024;

export interface DecodeStreams {
  /** Chunks of the recorded stream. */
  readonly input: Readable;
  /** The input's name in an error. */
  readonly source: string;
  /** Gets one line of JSON per message; it is left open. */
  readonly output: Writable;
  /** Gets the one line that says what went wrong. */
  readonly report: (line: string) => void;
}

/**
 * Prints the messages of a stream, taking in no more than `output` lets go. Returns the exit code: 0 at the end of a
 * whole stream, or when nobody reads the output any more; 1 after damage, or when input or output fails.
 */
export async function decodeStream({ input, source, output, report }: DecodeStreams): Promise<number> {
  const lines = new LineDecoder();
  const sink = new Sink(output, () => input.destroy());
  try {
    for await (const chunk of input) {
      await sink.write(lines.push(chunk));
      if (lines.damage !== null || sink.error !== null) break;
    }
    lines.end();
  } catch (error) {
    // Destroying the input because of the output ends up here too.
    if (sink.error === null) {
      report(`albatross-exporter: cannot read ${source}: ${plainMessage(error)}`);
      return 1;
    }
  } finally {
    sink.release();
  }
  if (sink.error !== null) {
    // Nobody wants the rest (`decode FILE | head`): not worth a word.
    if (isErrno(sink.error, "EPIPE")) return 0;
    report(`albatross-exporter: cannot write the messages: ${plainMessage(sink.error)}`);
    return 1;
  }
  if (lines.damage === null) return 0;
  report(lines.damage);
  return 1;
}

/** Turns chunks into lines until there is damage. */
class LineDecoder {
  /** What is wrong with the stream, and where. */
  damage: string | null = null;
  readonly #reader = new FrameReader(MAX_FRAME_BYTES);
  #frames = 0;
  #frameOffset = 0;

  /** The lines of the messages that `chunk` completes, up to the first damage. */
  push(chunk: Uint8Array): string {
    let lines = "";
    try {
      this.#reader.push(chunk, (frame) => {
        this.#frames++;
        this.#frameOffset = this.#reader.frameOffset;
        lines += `${JSON.stringify(messageToJson(decodeMessage(frame)))}\n`;
      });
    } catch (error) {
      this.damage = this.#describe(error);
    }
    return lines;
  }

  /** Notes it as damage when the stream ends inside a frame. */
  end(): void {
    try {
      if (this.damage === null) this.#reader.end();
    } catch (error) {
      this.damage = this.#describe(error);
    }
  }

  #describe(error: unknown): string {
    if (!(error instanceof WireError)) throw error;
    switch (error.reason) {
      case "frame_length":
      case "frame_too_long":
      case "truncated":
        return `frame ${this.#frames + 1} at byte ${error.offset}: ${error.detail}`;
      default:
        return `frame ${this.#frames} at byte ${this.#frameOffset}: ${error.detail} (byte ${error.offset} of the message)`;
    }
  }
}

/** An output that says when it takes no more, and why. */
class Sink {
  error: Error | null = null;
  readonly #output: Writable;
  readonly #onError: (error: Error) => void;

  constructor(output: Writable, onFailure: () => void) {
    this.#output = output;
    this.#onError = (error) => {
      this.error = error;
      onFailure();
    };
    output.on("error", this.#onError);
  }

  /** Resolves when the output takes more, or never will. */
  async write(text: string): Promise<void> {
    if (text === "" || this.error !== null || this.#output.write(text)) return;
    const waiting = new AbortController();
    try {
      await Promise.race([
        once(this.#output, "drain", { signal: waiting.signal }),
        once(this.#output, "close", { signal: waiting.signal }),
      ]);
    } catch (error) {
      if (this.error === null) throw error;
    } finally {
      waiting.abort();
    }
  }

  release(): void {
    this.#output.off("error", this.#onError);
  }
}
