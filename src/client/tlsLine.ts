/** A TLS connection that shows its certificate, and with it the command that stands there, only when it is told to. */
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { connect, type SecureContext, type TLSSocket } from "node:tls";
import type { Clock } from "../clock.ts";
import { LENGTH_PREFIX_BYTES } from "../wire/framing.ts";
import { type Line, type Put, write } from "./endpoint.ts";

export const CONNECT_TIMEOUT_MS = 5_000;
export const HANDSHAKE_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_MS = 60_000;

/** Why there is no TLS connection, where neither the system nor TLS has a code for it. */
export class DialError extends Error {
  readonly code: DialCode;

  constructor(code: DialCode) {
    super(code);
    this.code = code;
  }
}

type DialCode =
  | "CONNECT_TIMEOUT"
  | "HANDSHAKE_TIMEOUT"
  | "TLS_FILES" // the certificates cannot be used
  | "TLS_PATH" // they do not reach that name
  | "TLS_READ_ONLY" // they only read
  | "TLS_ROOT" // nobody has allowed them to act at the root
  | "TLS_SERVER"; // the server's is not one of the CA itself

/** Connects and shakes hands, but does not show the client's certificate yet. Rejects with an error that has a `code`. */
export async function dialTls(
  address: { readonly host: string; readonly port: number },
  secureContext: SecureContext,
  put: Put,
  clock: Clock,
  signal: AbortSignal,
): Promise<TlsLine> {
  const limit = new AbortController();
  const within = { signal: AbortSignal.any([signal, limit.signal]) };
  const allow = (ms: number, code: DialCode) => clock.after(ms, () => limit.abort(new DialError(code)));
  let cancelTimeout = allow(CONNECT_TIMEOUT_MS, "CONNECT_TIMEOUT");
  const network = createConnection({
    host: address.host,
    port: address.port,
    noDelay: true,
    // a host that is gone says nothing, and a subscription without unikernels hears nothing
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  });
  network.on("error", () => undefined);
  try {
    await once(network, "connect", within);
    cancelTimeout();
    cancelTimeout = allow(HANDSHAKE_TIMEOUT_MS, "HANDSHAKE_TIMEOUT");
    const gate = new Gate(network);
    // Albatross checks no host names: the CA is the host's own.
    const socket = connect({ socket: gate, secureContext, checkServerIdentity: () => undefined });
    // Node tells of an alert, and leaves what is being written waiting
    socket.on("error", (error) => socket.destroy(error));
    socket.on("close", () => network.destroy());
    network.on("error", (error) => socket.destroy(error));
    await once(socket, "secureConnect", within);
    return new TlsLine(socket, gate, put);
  } catch (error) {
    network.destroy();
    throw limit.signal.aborted ? limit.signal.reason : error;
  } finally {
    cancelTimeout();
  }
}

/**
 * What is put to a daemon is in the certificate, so `finish` (of a create, `begin`) shows that. A create takes effect with
 * the four zero bytes behind its image.
 */
class TlsLine implements Line {
  readonly socket: TLSSocket;
  readonly #gate: Gate;
  readonly #hasImage: boolean;

  constructor(socket: TLSSocket, gate: Gate, { imageBytes }: Put) {
    this.socket = socket;
    this.#gate = gate;
    this.#hasImage = imageBytes !== undefined;
  }

  begin(): Promise<void> {
    return this.#gate.open();
  }

  image(block: Uint8Array): Promise<void> {
    const prefix = Buffer.alloc(LENGTH_PREFIX_BYTES);
    prefix.writeInt32BE(block.length);
    return write(this.socket, Buffer.concat([prefix, block]));
  }

  finish(): Promise<void> {
    return this.#hasImage ? write(this.socket, Buffer.alloc(LENGTH_PREFIX_BYTES)) : this.#gate.open();
  }

  chunks(): AsyncIterator<Buffer> {
    return this.socket[Symbol.asyncIterator]();
  }
}

const APPLICATION_DATA = 23;
/** type, version, length */
const RECORD_HEAD_BYTES = 5;

/**
 * Between TLS and the network. Node checks a server's certificate only when the client's is on its way: so what the
 * client sends encrypted, which begins with that, waits here until the server is known to be the right one.
 */
class Gate extends Duplex {
  readonly #network: Socket;
  #isOpen = false;
  #held: { readonly chunk: Buffer; readonly done: (error?: Error | null) => void } | null = null;
  /** of the last record, in the next chunk */
  #restBytes = 0;

  constructor(network: Socket) {
    super();
    this.#network = network;
    network.on("data", (chunk) => {
      if (!this.push(chunk)) network.pause();
    });
    network.on("end", () => this.push(null));
  }

  /** Resolves when the system has taken what was held back. */
  open(): Promise<void> {
    this.#isOpen = true;
    const held = this.#held;
    this.#held = null;
    return new Promise((resolve, reject) => {
      if (held === null) return resolve();
      this.#network.write(held.chunk, (error) => {
        held.done(error);
        return error ? reject(error) : resolve();
      });
    });
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#isOpen || this.#isClear(chunk)) this.#network.write(chunk, done);
    else this.#held = { chunk, done };
  }

  #isClear(chunk: Buffer): boolean {
    let at = this.#restBytes;
    while (at < chunk.length) {
      if (chunk[at] === APPLICATION_DATA || at + RECORD_HEAD_BYTES > chunk.length) return false;
      at += RECORD_HEAD_BYTES + chunk.readUInt16BE(at + 3);
    }
    this.#restBytes = at - chunk.length;
    return true;
  }

  override _read(): void {
    this.#network.resume();
  }

  override _final(done: () => void): void {
    this.#network.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#network.destroy();
    done(error);
  }
}
