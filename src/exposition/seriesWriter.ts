import {
  type ExpositionFormat,
  escapeHelp,
  type Family,
  type Labels,
  type SeriesSink,
  type Value,
} from "./family.ts";
import { MAX_VALUE_BYTES, writeValue } from "./numbers.ts";

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const SPACE = 0x20;
const NEWLINE = 0x0a;
const MAX_UTF8_BYTES_PER_CODE_UNIT = 3;
const PUNCTUATION_BYTES = 4;
const NOTHING = Buffer.alloc(0);
/** Far more device names and the like than hosts have; what a hostile peer invents beyond is encoded each time. */
const MAX_KEPT_LABELS = 1_000;

/** Bytes into buffers of `chunkBytes`: joined strings take 270 ns a series; copied names, native labels, digits in place 90. */
export class SeriesWriter implements SeriesSink {
  readonly #format: ExpositionFormat;
  readonly #chunkBytes: number;
  #full: Buffer[] = [];
  #chunk: Buffer = NOTHING;
  #at = 0;
  #pendingHeader: string | null = null;
  #seriesName: Buffer = NOTHING;
  #suffixedNames = new Map<string, Buffer>();
  /** encoded labels that follow an item's own, and which of them were last */
  readonly #moreLabels = new Map<string, Buffer>();
  #lastMore = "";
  #lastMoreLabels: Buffer = NOTHING;
  #series = 0;

  constructor(format: ExpositionFormat, chunkBytes: number) {
    this.#format = format;
    this.#chunkBytes = chunkBytes;
  }

  get seriesWritten(): number {
    return this.#series;
  }

  get hasFullChunk(): boolean {
    return this.#full.length > 0;
  }

  /** Begins a family. Its HELP and TYPE lines are written with its first series. */
  beginFamily(family: Pick<Family, "name" | "type" | "help">): void {
    const name = family.name;
    const isCounter = family.type === "counter";
    if (isCounter && !name.endsWith("_total"))
      throw new Error(`counter ${name}: a counter's name must end in _total`);
    const familyName = isCounter && this.#format === "openmetrics" ? name.slice(0, -"_total".length) : name;
    const help = escapeHelp(family.help, this.#format);
    this.#pendingHeader = `# HELP ${familyName} ${help}\n# TYPE ${familyName} ${family.type}\n`;
    this.#seriesName = Buffer.from(name);
    this.#suffixedNames.clear();
  }

  series(labels: Labels, value: Value, more = ""): void {
    this.#writeSeries(this.#seriesName, labels, more, value);
  }

  suffixed(suffix: string, labels: Labels, value: Value): void {
    this.#writeSeries(this.#nameWith(suffix), labels, "", value);
  }

  line(text: string): void {
    this.#reserve(text.length * MAX_UTF8_BYTES_PER_CODE_UNIT + 1);
    this.#at += this.#chunk.write(text, this.#at);
    this.#chunk[this.#at++] = NEWLINE;
  }

  /** Takes the full buffers, oldest first; with `rest`, the one that is being filled too. */
  take({ rest = false }: { rest?: boolean } = {}): Buffer[] {
    if (rest) this.#endChunk(NOTHING);
    const taken = this.#full;
    this.#full = [];
    return taken;
  }

  #writeSeries(name: Buffer, labels: Labels, more: string, value: Value): void {
    if (this.#pendingHeader !== null) this.#writeHeader(this.#pendingHeader);
    this.#series++;
    const labelsBytes = (labels.length + more.length) * MAX_UTF8_BYTES_PER_CODE_UNIT;
    const valueBytes = typeof value === "string" ? value.length : MAX_VALUE_BYTES;
    this.#reserve(name.length + labelsBytes + PUNCTUATION_BYTES + valueBytes);
    const chunk = this.#chunk;
    chunk.set(name, this.#at);
    let at = this.#at + name.length;
    if (labels.length > 0) {
      chunk[at++] = OPEN_BRACE;
      if (typeof labels === "string") {
        at += chunk.write(labels, at);
      } else {
        chunk.set(labels, at);
        at += labels.length;
      }
      if (more !== "") {
        const encoded = this.#encodedMore(more);
        chunk.set(encoded, at);
        at += encoded.length;
      }
      chunk[at++] = CLOSE_BRACE;
    }
    chunk[at++] = SPACE;
    at = writeValue(chunk, at, value);
    chunk[at++] = NEWLINE;
    this.#at = at;
  }

  #writeHeader(header: string): void {
    this.#pendingHeader = null;
    this.#reserve(header.length * MAX_UTF8_BYTES_PER_CODE_UNIT);
    this.#at += this.#chunk.write(header, this.#at);
  }

  #encodedMore(more: string): Buffer {
    if (more === this.#lastMore) return this.#lastMoreLabels;
    const encoded = this.#moreLabels.get(more) ?? Buffer.from(more);
    if (this.#moreLabels.size < MAX_KEPT_LABELS) this.#moreLabels.set(more, encoded);
    this.#lastMore = more;
    this.#lastMoreLabels = encoded;
    return encoded;
  }

  #nameWith(suffix: string): Buffer {
    const known = this.#suffixedNames.get(suffix);
    if (known !== undefined) return known;
    const name = Buffer.concat([this.#seriesName, Buffer.from(suffix)]);
    this.#suffixedNames.set(suffix, name);
    return name;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#chunk.length) return;
    // A buffer of its own, not a slice of Node's shared pool: it is freed as soon as the socket has taken it.
    this.#endChunk(Buffer.allocUnsafeSlow(Math.max(this.#chunkBytes, bytes)));
  }

  #endChunk(next: Buffer): void {
    if (this.#at > 0) this.#full.push(this.#chunk.subarray(0, this.#at));
    this.#chunk = next;
    this.#at = 0;
  }
}
