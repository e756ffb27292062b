import type { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import type { Cancel, Clock } from "../clock.ts";
import { formatListenAddress, type ListenAddress } from "../config/sections.ts";
import { WireError } from "../wire/errors.ts";
import { encodeFrame, FrameReader } from "../wire/framing.ts";
import {
  type Command,
  decodeMessage,
  type Header,
  type Message,
  type NamedPolicy,
} from "../wire/messages.ts";
import { formatName } from "../wire/names.ts";
import type { Order, Refusal } from "./certificates.ts";
import { frameOf, MAX_COMMAND_BYTES } from "./frames.ts";
import { failureReply, makeHeader } from "./messages.ts";
import { alertRecord, CIPHER, serverSecret } from "./tlsAlert.ts";

export interface TlsOptions {
  readonly address: ListenAddress;
  /** Where clients find what they need: see `makeAuthority`. */
  readonly folder: string;
}

export interface TlsEndpointOptions extends TlsOptions {
  readonly policies: readonly NamedPolicy[];
  /** by the class of commands that each takes */
  readonly sockets: Readonly<Record<"stats" | "console" | "vmmd", string>>;
  readonly clock: Clock;
  readonly onEvent: (text: string) => void;
}

const UNREACHABLE = "couldn't reach service";
/** What 2.7.2 says when a daemon closes a subscription; that it says so of a command is not known. */
const UNREAD = "exception while reading from fd";

/** albatross-tls-endpoint: commands in clients' certificates, put to the daemons at their sockets. */
export class TlsEndpoint {
  /** How long the handshake waits; "forever" answers nothing, "close" closes at once. */
  handshake: number | "forever" | "close" = 0;
  readonly #options: TlsEndpointOptions;
  readonly #connections = new Set<Socket>();
  #server: Server | null = null;
  #orderOf: ((leaf: X509Certificate) => Order | Refusal) | null = null;
  #context: SecureContext | null = null;
  /** The sequence of the next command that a daemon gets. */
  #sequence = 0;
  #port: number;

  constructor(options: TlsEndpointOptions) {
    this.#options = options;
    this.#port = options.address.port;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** With the port that it has. */
  get address(): string {
    return formatListenAddress({ ...this.#options.address, port: this.#port });
  }

  /** Makes a CA at the first start, and listens. */
  async start(): Promise<void> {
    if (this.#server !== null) return;
    this.#context ??= await this.#makeContext();
    const server = createServer((socket) => this.#accept(socket));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, this.#options.address.host ?? undefined, resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Closes every connection. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    for (const socket of this.#connections) socket.destroy();
    if (server !== null) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  async #makeContext(): Promise<SecureContext> {
    const { folder, policies, clock } = this.#options;
    // here, because most hosts have no such endpoint and it takes 0.1 s
    const { makeAuthority, orderOf } = await import("./certificates.ts");
    const { ca, server } = await makeAuthority(folder, policies);
    this.#orderOf = (leaf) => orderOf(leaf, ca.chain, clock.wallMs());
    const { chain: cert, key } = server;
    return createSecureContext({ cert, key, ca: ca.chain, ciphers: CIPHER, minVersion: "TLSv1.3" });
  }

  #accept(raw: Socket): void {
    this.#connections.add(raw);
    raw.on("error", () => undefined); // `close` follows
    raw.on("close", () => this.#connections.delete(raw));
    if (this.handshake === "close") raw.destroy();
    else if (this.handshake === 0) this.#shakeHands(raw);
    else if (this.handshake !== "forever") {
      const cancel: Cancel = this.#options.clock.after(this.handshake, () => this.#shakeHands(raw));
      raw.on("close", cancel);
    }
  }

  #shakeHands(raw: Socket): void {
    const socket = new TLSSocket(raw, {
      isServer: true,
      secureContext: this.#context ?? undefined,
      requestCert: true,
      // orderOf judges, by the clock and with the alerts that it is to have
      rejectUnauthorized: false,
    });
    let secret: Buffer = Buffer.alloc(0);
    socket.on("keylog", (line) => {
      secret = serverSecret(line) ?? secret;
    });
    socket.on("error", () => raw.destroy());
    socket.on("close", () => raw.destroy());
    // OpenSSL sends session tickets between the event and the next turn
    socket.once("secure", () => setImmediate(() => this.#judge(raw, socket, secret)));
  }

  #judge(raw: Socket, socket: TLSSocket, secret: Buffer): void {
    const leaf = socket.getPeerX509Certificate();
    const order = (leaf && this.#orderOf?.(leaf)) ?? { why: "it shows no certificate", alert: null };
    if (!("why" in order)) this.#carryOut(socket, order).catch(() => socket.destroy());
    else {
      this.#options.onEvent(`the TLS endpoint refuses a client: ${order.why}`);
      if (order.alert === null) socket.end();
      else raw.end(alertRecord(secret, order.alert));
    }
  }

  async #carryOut(socket: TLSSocket, order: Order): Promise<void> {
    const command = await withImage(socket, order.command);
    if (command === null) {
      socket.end();
      return;
    }
    socket.resume(); // or nobody would notice that it is closed
    const { class: kind } = command;
    const service = kind === "stats" || kind === "console" ? kind : "vmmd";
    const header = makeHeader(order.name, service === "stats" ? this.#sequence++ : 0);
    const daemon = connect(this.#options.sockets[service]);
    daemon.on("error", () => undefined); // `close` follows
    const isThere = await once(daemon, "connect").then(
      () => true,
      () => false,
    );
    const failure = isThere
      ? await ask(daemon, socket, header, command, service === "vmmd" ? order.policies : [])
      : UNREACHABLE;
    daemon.destroySoon();
    if (failure !== null) socket.write(frameOf(failureReply(makeHeader(order.name), failure)));
    socket.end();
  }
}

/** Hands the command to a daemon and its answer to the client. Returns the failure to end with, or null. */
async function ask(
  daemon: Socket,
  socket: TLSSocket,
  header: Header,
  command: Command,
  policies: readonly NamedPolicy[],
): Promise<string | null> {
  const frames = framesOf(daemon);
  try {
    for (const { name, policy } of policies) {
      daemon.write(frameOf(commandMessage(makeHeader(name), { class: "policy", command: "add", policy })));
      const next = await frames.next();
      if (next.done) return UNREAD;
      const { payload } = decodeMessage(next.value);
      if (payload.type === "failure")
        return `expected success when adding policy, got: host [unikernel: ${formatName(name)}]: command failed ${payload.message}`;
    }
    daemon.write(frameOf(commandMessage(header, command)));
    // what has been handed over is carried out, whether the client waits for it or not
    if (socket.destroyed) daemon.destroySoon();
    else socket.once("close", () => daemon.destroySoon());
    for await (const frame of frames) {
      if (!socket.write(encodeFrame(frame))) await once(socket, "drain");
      if (command.class !== "stats" && command.class !== "console") return null;
    }
  } catch {
    // what cannot be read is no answer, and a client that is gone hears of nothing
  }
  return UNREAD;
}

function commandMessage(header: Header, command: Command): Message {
  return { header, payload: { type: "command", command } };
}

/** What the daemon sends until it closes. Throws what its socket does, and a WireError. */
async function* framesOf(daemon: Socket): AsyncGenerator<Buffer, void> {
  const reader = new FrameReader(MAX_COMMAND_BYTES);
  for await (const chunk of daemon) {
    const frames: Buffer[] = [];
    reader.push(chunk, (frame) => frames.push(Buffer.from(frame)));
    yield* frames;
  }
}

/** A create without an image with the one that is streamed after the handshake; null where it has no end. */
async function withImage(socket: TLSSocket, command: Command): Promise<Command | null> {
  if (command.class !== "unikernel" || !("config" in command) || command.config.image.length > 0)
    return command;
  const image = await streamedImage(socket);
  return image && { ...command, config: { ...command.config, image } };
}

function streamedImage(socket: TLSSocket): Promise<Buffer | null> {
  const reader = new FrameReader(MAX_COMMAND_BYTES);
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    socket.on("data", (data: Buffer) => {
      if (socket.bytesRead > MAX_COMMAND_BYTES) socket.destroy();
      try {
        reader.push(data, (chunk) => chunks.push(Buffer.from(chunk)));
      } catch (error) {
        // a length of 0 or less is the end
        const isEnd = error instanceof WireError && error.reason === "frame_length";
        resolve(isEnd ? Buffer.concat(chunks) : null);
      }
    });
    for (const event of ["end", "close"]) socket.once(event, () => resolve(null));
  });
}
