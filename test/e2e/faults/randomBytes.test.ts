import { expect, test } from "vitest";
import { StatsInterval } from "../../../src/client/interval.ts";
import { StatsReceiver } from "../../../src/client/receiver.ts";
import { configFile } from "../../../src/config/sections.ts";
import { collectFamilies } from "../../../src/exporter/collect.ts";
import { renderExposition } from "../../../src/exposition/writer.ts";
import { Fleet } from "../../../src/fleet/fleet.ts";
import { createLogger } from "../../../src/log.ts";
import { WireError } from "../../../src/wire/errors.ts";
import { encodeFrame, FrameReader } from "../../../src/wire/framing.ts";
import { parseName } from "../../../src/wire/names.ts";
import { collect } from "../../support/collect.ts";
import { FakeClock } from "../../support/fakeClock.ts";
import { mutate, Random } from "../../wire/support/mutate.ts";
import { captureBytes, malformedVectors, vectors } from "../../wire/support/vectors.ts";
import { Scrape } from "../support/exposition.ts";
import { framesOf } from "../support/replayedHost.ts";

const CASES = 100_000;
const CASES_PER_SCRAPE = 4_000;
const MAX_FRAME_BYTES = 1024 * 1024;

const messages = [...vectors, ...malformedVectors]
  .map(({ hex }) => Buffer.from(hex, "hex"))
  .filter((bytes) => bytes.length < 2_000);
/** Without it most random bytes would go no further than the grammar. */
const samples = framesOf(captureBytes("stats-root.bin")).slice(1);

/** What a socket may bring, by growing likeness to what it should bring. */
const KINDS: ((random: Random) => Buffer)[] = [
  (random) => random.bytes(1 + random.below(200)),
  (random) => encodeFrame(random.bytes(1 + random.below(100))),
  (random) => mutate(random, random.pick(samples), random.pick(samples)),
  (random) => encodeFrame(mutate(random, random.pick(messages), random.pick(messages))),
  (random) => encodeFrame(mutate(random, random.pick(samples).subarray(4), random.pick(messages))),
];

/** The way of a sample from the socket's bytes to the exposition, all that a peer can reach without sockets. */
class Way {
  readonly clock = new FakeClock();
  #reader = new FrameReader(MAX_FRAME_BYTES);
  readonly #fleet = new Fleet({ clock: this.clock, deathTimeoutMs: 900_000 });
  readonly receiver = new StatsReceiver(
    {
      host: "local",
      name: parseName(":"),
      onSample: (sample) => this.#fleet.record(sample),
      log: createLogger({ level: "error", format: "json" }, { write: (line) => expect.fail(line) }),
    },
    new StatsInterval(2_000),
  );

  /** Begins another stream. */
  begin(): void {
    this.#reader = new FrameReader(MAX_FRAME_BYTES);
  }

  /** Takes a chunk. Returns whether the stream goes on; if it does not, the next chunk begins another. */
  take(chunk: Buffer): boolean {
    const arrival = { us: this.clock.nowUs(), wallMs: this.clock.wallMs() };
    try {
      this.#reader.push(chunk, (frame) => this.receiver.frame(frame, arrival));
      return true;
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.begin();
      return false;
    }
  }

  /** All of the exposition, read strictly: what is not as the format demands throws. */
  async scrape(format: "text" | "openmetrics"): Promise<Scrape> {
    const snapshot = this.#fleet.snapshot({ staleAfterUs: () => 60_000_000 });
    const counts = { vmsDropped: () => undefined, duplicateSeries: () => undefined };
    const machine = { name: "local", isContainer: false, os: "linux", pageSizeBytes: 4096 } as const;
    const config = configFile(() => machine).schema.parse({});
    const unfilled = { ...config, exporter: { ...config.exporter, unfilledFields: true } };
    const families = collectFamilies({ snapshot, targets: [], config: unfilled, counts });
    const chunks = await collect(renderExposition(families, format));
    return new Scrape(Buffer.concat(chunks).toString(), format);
  }
}

test(`${CASES} times random bytes neither end anything nor spoil the exposition`, async () => {
  const random = new Random(20_260_722);
  const way = new Way();
  let damaged = 0;
  for (let i = 0; i < CASES; i++) {
    const bytes = random.pick(KINDS)(random);
    const cut = random.below(bytes.length + 1);
    const goesOn = way.take(bytes.subarray(0, cut)) && way.take(bytes.subarray(cut));
    if (!goesOn) damaged++;
    // A frame that waits for more than will come is left with its connection.
    if (!goesOn || random.below(4) === 0) way.begin();
    way.clock.advance(random.below(100));
    if (i % CASES_PER_SCRAPE === 0) await way.scrape(random.pick(["text", "openmetrics"]));
  }
  // Every part of the way was gone, by thousands.
  const { receiver } = way;
  expect(damaged).toBeGreaterThan(5_000);
  expect(receiver.samples).toBeGreaterThan(5_000);
  expect(receiver.decodeErrors.der).toBeGreaterThan(5_000);
  expect(receiver.decodeErrors.message).toBeGreaterThan(1_000);
  expect(receiver.decodeErrors.internal).toBe(0);

  // And what comes in good order afterwards is right.
  way.begin();
  for (const sample of samples) {
    if (sample.includes("user:web")) way.clock.advance(2_000);
    way.take(sample);
  }
  const scrape = await way.scrape("text");
  const usage = (path: string, vm: string) =>
    scrape.value("albatross_vm_cpu_usage_percent", { host: "local", path, vm });
  expect([
    usage("user", "web"),
    usage("user:sub", "router"),
    usage("user", "db"),
    usage("", "hello"),
  ]).toEqual([40, 5.5, 10, 20]);
});
