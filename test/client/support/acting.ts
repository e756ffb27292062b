import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { type FileHandle, open, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ActingClient, type Image, type Outcome } from "../../../src/client/acting.ts";
import { SocketDirectory } from "../../../src/client/endpoint.ts";
import { encodeFrame } from "../../../src/wire/framing.ts";
import { encodeMessage, type Message } from "../../../src/wire/messages.ts";
import { parseName } from "../../../src/wire/names.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fakeClock.ts";
import { exchangeBytes } from "../../wire/support/vectors.ts";

/** A create's configuration of which nothing is special. */
export const PLAIN = {
  typ: "solo5",
  startup: null,
  addName: true,
  failBehaviour: { type: "quit" },
  cpuids: [0],
  memory: 32,
  blockDevices: [],
  bridges: [],
  argv: null,
  numcpus: 1,
  linuxBootPartition: null,
} as const;

export const CREATED = exchangeBytes("create-minimal", "s2c");

export function imageOf(content: Uint8Array): Image {
  return { bytes: content.length, digest: createHash("sha256").update(content).digest("hex") };
}

export function replyOf(payload: Message["payload"], name = ":web"): Buffer {
  return encodeFrame(encodeMessage({ header: { version: 5, sequence: 1, name: parseName(name) }, payload }));
}

/** One client of albatrossd. */
export interface Visit {
  readonly socket: Socket;
  /** how many bytes have come */
  received: number;
  /** all of them, unless `drops` */
  readonly chunks: Buffer[];
  closed: boolean;
}

/** What an outcome is, without its words. */
export function kindOf(outcome: Outcome<unknown>): string {
  switch (outcome.type) {
    case "success":
      return "success";
    case "failure":
      return `failure ${outcome.reason}`;
    default:
      return `unknown ${outcome.why}`;
  }
}

/** An albatrossd that does with each connection what a test says, its client, and a folder for images. */
export class FakeAlbatrossd {
  readonly folder = mkdtempSync(join(tmpdir(), "albatross-acting-"));
  readonly clock = new FakeClock();
  readonly client: ActingClient;
  readonly visits: Visit[] = [];
  serve: (visit: Visit) => void = () => undefined;
  #server: Server | null = null;
  readonly #files: FileHandle[] = [];

  constructor() {
    const endpoint = new SocketDirectory({ socketDir: this.folder, os: "linux" });
    this.client = new ActingClient({ endpoint, maxFrameBytes: 1024 * 1024, clock: this.clock });
  }

  async start(): Promise<void> {
    const server = createServer((socket) => {
      const visit: Visit = { socket, received: 0, chunks: [], closed: false };
      this.visits.push(visit);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        visit.closed = true;
      });
      this.serve(visit);
    });
    this.#server = server;
    await new Promise<void>((resolve) => {
      server.listen(join(this.folder, "vmmd.sock"), resolve);
    });
  }

  /** As albatrossd does: one whole request, this reply, the end. */
  answer(reply: Uint8Array, { drops = false } = {}): void {
    this.serve = (visit) => {
      const { socket, chunks } = visit;
      let frameBytes = Number.POSITIVE_INFINITY;
      socket.on("data", (chunk) => {
        if (!drops || visit.received === 0) chunks.push(chunk);
        if (visit.received === 0) frameBytes = 4 + chunk.readInt32BE(0);
        visit.received += chunk.length;
        if (visit.received === frameBytes) socket.end(reply);
      });
    };
  }

  /** Lets the client ask info, so that it may act. */
  async known(): Promise<this> {
    const { serve } = this;
    this.answer(exchangeBytes("info-name", "s2c"));
    const outcome = await this.client.info(parseName(":web"));
    if (outcome.type !== "success") throw new Error(outcome.text);
    await eventually("the question closed", () => this.visits.every(({ closed }) => closed));
    this.visits.length = 0;
    this.serve = serve;
    return this;
  }

  /** A new file, open for reading and writing; closed by `stop`. */
  async file(content: Uint8Array = Buffer.alloc(0)): Promise<FileHandle> {
    const path = join(this.folder, `image-${this.#files.length}`);
    await writeFile(path, content);
    const handle = await open(path, "r+");
    this.#files.push(handle);
    return handle;
  }

  /** Fails when a connection or a timer is left behind. */
  async stop(): Promise<void> {
    const left = this.clock.pendingTimers;
    for (const { socket } of this.visits) socket.resume(); // who does not read hears of no end
    await eventually("every connection closed", () => this.visits.every(({ closed }) => closed));
    for (const file of this.#files) await file.close();
    const server = this.#server;
    if (server !== null) await new Promise((resolve) => server.close(resolve));
    rmSync(this.folder, { recursive: true, force: true });
    if (left !== 0) throw new Error(`${left} timers are left`);
  }
}
