import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { SimulatedHost } from "../../src/simulator/host.ts";
import { simulatedImage } from "../../src/simulator/image.ts";
import { subscribeCommand } from "../../src/simulator/messages.ts";
import { type Config, type Scenario, type VmSpec, vmSpec } from "../../src/simulator/model.ts";
import type { ReceivedRequest } from "../../src/simulator/vmmDaemon.ts";
import { encodeFrame, FrameReader } from "../../src/wire/framing.ts";
import { decodeMessage, encodeMessage, type Message, type Stats } from "../../src/wire/messages.ts";
import { formatName, parseName } from "../../src/wire/names.ts";
import { PATIENCE_MS, settle } from "../support/eventually.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { scenarioOf } from "../support/simulated.ts";

const MAX_FRAME_BYTES = 16 * 1_048_576;

/** A directory that goes away with the test. */
export async function socketDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "albatross-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

export function vm(name: string, spec: Partial<VmSpec> & { readonly percent?: number } = {}): VmSpec {
  const { percent = 0, ...rest } = spec;
  return vmSpec({ load: { type: "constant", percent }, ...rest, name: parseName(name) });
}

export interface Running {
  readonly host: SimulatedHost;
  readonly clock: FakeClock;
  readonly dir: string;
  readonly statPath: string;
  readonly vmmdPath: string;
  /** What clients of its TLS endpoint need, where it has one. */
  readonly tlsFolder: string;
  readonly events: string[];
  readonly requests: ReceivedRequest[];
}

/** What a create needs at least, and an image that has the devices that it names. */
export function config(given: Partial<Config> = {}): Config {
  const { bridges = [], blockDevices = [] } = given;
  const net = bridges.map(({ name }) => name);
  return {
    typ: "solo5",
    compressed: false,
    image: simulatedImage("test", { net, block: blockDevices.map(({ name }) => name) }),
    startup: null,
    addName: true,
    failBehaviour: { type: "quit" },
    cpuids: [0],
    memory: 32,
    blockDevices,
    bridges,
    argv: null,
    numcpus: 1,
    linuxBootPartition: null,
    ...given,
  };
}

/** A host on a fake clock, with 1 s between ticks, that stops with the test. */
export async function startHost(
  scenario: Partial<Scenario> = {},
  clock: FakeClock = new FakeClock(),
  hasTls = false,
): Promise<Running> {
  const dir = await socketDir();
  const tlsFolder = join(dir, "tls");
  const tls = { address: { host: "127.0.0.1", port: 0 }, folder: tlsFolder };
  const events: string[] = [];
  const requests: ReceivedRequest[] = [];
  const host = new SimulatedHost(scenarioOf({ intervalMs: 1_000, ...scenario }), {
    socketDir: dir,
    clock,
    tls: hasTls ? tls : undefined,
    onEvent: (text) => events.push(text),
    onRequest: (request) => requests.push(request),
  });
  await host.start();
  onTestFinished(() => host.stop());
  const paths = { statPath: join(dir, "stat.sock"), vmmdPath: join(dir, "vmmd.sock") };
  return { host, clock, dir, ...paths, tlsFolder, events, requests };
}

/** A plain client of one of the daemons: what it hears, and a way to wait for it. */
export class Client {
  readonly socket: Socket;
  readonly messages: Message[] = [];
  /** Every byte heard. */
  bytes = Buffer.alloc(0);
  /** Why the stream could not be read any further. */
  damage: unknown = null;
  closed = false;
  /** What went wrong with the connection, by its code. */
  error: string | null = null;
  readonly #reader = new FrameReader(MAX_FRAME_BYTES);
  #waiters: (() => void)[] = [];

  /** To a daemon's socket, or over a connection that begins. */
  constructor(path: string | Socket) {
    this.socket = typeof path === "string" ? connect(path) : path;
    this.socket.on("data", (chunk: Buffer) => this.#take(chunk));
    this.socket.on("error", (error: NodeJS.ErrnoException) => {
      // newer OpenSSL has another name for the same alerts; `close` follows
      this.error = (error.code ?? error.message).replace("SSL/TLS_ALERT", "SSLV3_ALERT");
    });
    this.socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
    onTestFinished(() => {
      this.socket.destroy();
    });
  }

  send(message: Message): this {
    this.socket.write(encodeFrame(encodeMessage(message)));
    return this;
  }

  /** Waits until it has been so, or fails saying what was waited for. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while (!condition()) {
      const left = deadline - Date.now();
      if (left <= 0)
        throw new Error(`${what}: heard ${this.messages.length} messages, closed ${this.closed}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  async count(messages: number): Promise<readonly Message[]> {
    await this.until(`${messages} messages`, () => this.messages.length >= messages);
    return this.messages;
  }

  end(): Promise<void> {
    return this.until("the connection to be closed", () => this.closed);
  }

  /** Whether nothing more comes than has come, once what the host has sent by now has arrived. */
  async isQuiet(): Promise<boolean> {
    const before = this.bytes.length;
    await settle();
    return this.bytes.length === before;
  }

  #take(chunk: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, chunk]);
    try {
      if (this.damage === null) {
        this.#reader.push(chunk, (frame) => this.messages.push(decodeMessage(Buffer.from(frame))));
      }
    } catch (error) {
      this.damage = error;
    }
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}

/** A client that has subscribed and heard so. */
export async function subscriber(path: string, slot: string): Promise<Client> {
  const client = new Client(path).send(subscribeCommand(parseName(slot)));
  await client.count(1);
  return client;
}

/** The samples among the messages, by the name in their header. */
export function samples(messages: readonly Message[]): { readonly name: string; readonly stats: Stats }[] {
  return messages.flatMap(({ header, payload }) =>
    payload.type === "data" && payload.data === "stats"
      ? [{ name: formatName(header.name), stats: payload.stats }]
      : [],
  );
}

/** CPU time in a sample, microseconds. */
export function cpuUs({ rusage }: Pick<Stats, "rusage">): number {
  return (
    Number(rusage.utimeSec) * 1_000_000 +
    Number(rusage.utimeUsec) +
    Number(rusage.stimeSec) * 1_000_000 +
    Number(rusage.stimeUsec)
  );
}
