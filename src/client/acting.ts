/** Questions and commands with which a decision is carried out. Only scaler/actions may import this. */
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { Socket } from "node:net";
import { inTurns } from "../clock.ts";
import { messageOf, plainMessage } from "../systemError.ts";
import { LENGTH_PREFIX_BYTES } from "../wire/framing.ts";
import {
  decodeInSteps,
  IMAGE_HEAD_BYTES,
  type NewUnikernel,
  type Payload,
  type Policy,
  readImageHead,
  type UnikernelCommand,
  type UnikernelInfo,
} from "../wire/messages.ts";
import { formatName, type Name, tryParseName } from "../wire/names.ts";
import { type ConnectionOptions, codeOf, infoRequest, policyRequest, type Request } from "./connection.ts";
import {
  DAEMON_ENDED,
  type Endpoint,
  isCertificateRefused,
  type Line,
  POLICY_REFUSED,
  type Put,
  SERVICE_DOWN,
} from "./endpoint.ts";

/** Why nothing has come of a command: the first nine are albatrossd's words, the others this program's. */
export const FAILURE_REASONS = [
  "quota", // the policy's cpuids, bridges, memory or number of unikernels
  "exists",
  "image", // it does not parse; or it is not what is expected, too large, or cannot be read or stored
  "manifest", // the devices given are not those that the image wants
  "bridge",
  "block_device",
  "console", // albatrossd has lost albatross-console, and creates nothing until it is restarted
  "not_found",
  "other",
  "unreachable",
  "certificate", // TLS: one side does not accept the other's
  "refused", // by `beforeFirstByte`
  "unsent", // the connection ended, or was ended, before the last byte
  "version", // its last info was not answered: it may be older than 2.7
] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];

/** Why it is not known what has come of a command whose last byte may have arrived. */
export const UNKNOWN_REASONS = ["no_reply", "lost", "timeout", "undecodable", "stopped"] as const;
export type UnknownReason = (typeof UNKNOWN_REASONS)[number];

/** Of a failure it is certain that albatrossd has done nothing. Its own words are cut to 200 characters. */
export type Outcome<T> =
  | { readonly type: "success"; readonly value: T }
  | { readonly type: "failure"; readonly reason: FailureReason; readonly text: string }
  | { readonly type: "unknown"; readonly why: UnknownReason; readonly text: string };

/** What the sender of an action is told, and how it stops it. */
export interface Sending {
  /** Awaited before the first byte that says who asks for what (over TLS the certificate does). Throwing sends nothing. */
  beforeFirstByte(): Promise<void>;
  /** The whole request is with the system: albatrossd carries it out whoever waits for the reply. */
  afterLastByte?(): void;
  /** Ends the connection at any time. */
  readonly signal?: AbortSignal | undefined;
}

/** An image in a file: its SHA-256 as lower-case hex. */
export interface Image {
  readonly bytes: number;
  readonly digest: string;
}

declare const acting: unique symbol;
/** Only `commanding` below makes one. */
type ActingRequest = Put & { readonly [acting]: true };

/** Where the image of a create is, and what it should be. */
interface ImageSource {
  readonly file: Pick<FileHandle, "read">;
  readonly image: Image;
}

/** An image has gone into its file. */
type Reply = Payload | (Image & { readonly type: "image" });

interface Ask<T> {
  readonly request: Request | ActingRequest;
  readonly from?: ImageSource;
  /** where an image goes, and the most that it may have */
  readonly into?: { readonly file: Pick<FileHandle, "writeFile">; readonly maxBytes: number };
  /** undefined for what is no answer */
  readonly answer: (reply: Reply) => T | undefined;
  readonly sending: Partial<Sending>;
}

const REPLY_TIMEOUT_MS = 30_000;
const TIMEOUT_MS_PER_MIB = 2_000;
const MIB = 1024 * 1024;
const BLOCK_BYTES = 64 * 1024;
const TEXT_CHARACTERS = 200;
/** One of 15 to 63 bytes kills albatrossd 2.7.2; no ELF file is as short. */
const SHORTEST_IMAGE_BYTES = 64;
/** A frame has at most 2^31 - 1 bytes; what is around the image is far from a MiB. */
const LONGEST_IMAGE_BYTES = 2 ** 31 - MIB;

/** How long a command with an image of so many bytes may take, once it begins to be sent. */
export function replyTimeoutMs(imageBytes = 0): number {
  return REPLY_TIMEOUT_MS + Math.ceil((imageBytes / MIB) * TIMEOUT_MS_PER_MIB);
}

/** Ends an exchange with this outcome. */
class Ended extends Error {
  readonly outcome: Exclude<Outcome<never>, { type: "success" }>;

  constructor(outcome: Exclude<Outcome<never>, { type: "success" }>) {
    super(outcome.text);
    this.outcome = outcome;
  }
}

/**
 * Asks one albatrossd 2.7 or newer, and has it do things: one connection each, one reply on it. Nothing is ever sent twice.
 * No method throws or rejects. A request has 30 s for its reply, a create 2 s more for each MiB of image, a get 30 s for
 * each further part of the image.
 */
export class ActingClient {
  readonly #options: Pick<ConnectionOptions, "endpoint" | "maxFrameBytes" | "clock">;
  #knowsInfo = false;

  /** `maxFrameBytes`: the longest reply that is taken, images apart. */
  constructor(options: Pick<ConnectionOptions, "endpoint" | "maxFrameBytes" | "clock">) {
    this.#options = options;
  }

  /** What runs by exactly this name, its arguments (which may be secrets) included; null for nothing. */
  async info(name: Name, signal?: AbortSignal): Promise<Outcome<UnikernelInfo | null>> {
    const text = formatName(name);
    const outcome = await this.#exchange({
      request: infoRequest(name, "info"),
      answer: (reply) => {
        if (reply.type !== "success" || reply.result !== "unikernel_info") return undefined;
        return reply.unikernels.find((one) => formatName(one.name) === text)?.info ?? null;
      },
      sending: { signal },
    });
    this.#knowsInfo = outcome.type === "success";
    return outcome;
  }

  /** The policy of exactly this path; null where it has none, so that albatrossd checks nothing. */
  policy(path: readonly string[], signal?: AbortSignal): Promise<Outcome<Policy | null>> {
    return this.#exchange({
      request: policyRequest({ path, label: null }),
      answer: (reply) => {
        if (reply.type !== "success" || reply.result !== "policies") return undefined;
        // Names are relative to the path that was asked for.
        return reply.policies.find((one) => formatName(one.name) === ":")?.policy ?? null;
      },
      sending: { signal },
    });
  }

  /** Writes at most `maxBytes` of image to `file`. albatrossd does nothing else meanwhile: 25 ms a MiB. */
  get(
    name: Name,
    file: Pick<FileHandle, "writeFile">,
    maxBytes: number,
    signal?: AbortSignal,
  ): Promise<Outcome<Image>> {
    return this.#exchange({
      // other levels make albatrossd compress it, for seconds
      request: commanding(name, { class: "unikernel", command: "get", compressionLevel: 0 }),
      into: { file, maxBytes },
      answer: (reply) => (reply.type === "image" ? { bytes: reply.bytes, digest: reply.digest } : undefined),
      sending: { signal },
    });
  }

  /**
   * Creates a unikernel with the image in `file`; resolves to albatrossd's word for it, which says that a process was
   * started, not that it still runs. A file that is not exactly `image` ends the connection before its last byte, so that
   * nothing is created. Nothing is sent to an albatrossd that has not answered `info`.
   */
  async create(
    name: Name,
    unikernel: Omit<NewUnikernel, "compressed">,
    file: Pick<FileHandle, "read">,
    image: Image,
    sending: Sending,
  ): Promise<Outcome<string>> {
    const isImage = image.bytes >= SHORTEST_IMAGE_BYTES && image.bytes <= LONGEST_IMAGE_BYTES;
    if (!isImage) return failure("image", `an image of ${image.bytes} bytes is not sent: it cannot be one`);
    const config = { ...unikernel, compressed: false, image: Buffer.alloc(0) };
    const request = commanding(name, { class: "unikernel", command: "create", config }, image.bytes);
    return this.#act(name, { request, from: { file, image }, answer: wordOf, sending });
  }

  /** Destroys a unikernel; one that is not there (any more) is a success, too. As `create` else. */
  async destroy(name: Name, sending: Sending): Promise<Outcome<string>> {
    const answer = (reply: Reply) => {
      const isGone = reply.type === "failure" && reply.message === "destroy: not found";
      return isGone ? reply.message : wordOf(reply);
    };
    return this.#act(name, {
      request: commanding(name, { class: "unikernel", command: "destroy" }),
      answer,
      sending,
    });
  }

  async #act(name: Name, ask: Ask<string>): Promise<Outcome<string>> {
    // A create by the name of a path breaks albatrossd for good; what is no name it does not answer.
    if (name.label === null || tryParseName(formatName(name)) === null) {
      return failure("other", `${formatName(name)} is no unikernel's name`);
    }
    if (!this.#knowsInfo) return failure("version", "albatrossd has not answered the info command of 2.7");
    return this.#exchange(ask);
  }

  async #exchange<T>({ request, from, into, answer, sending }: Ask<T>): Promise<Outcome<T>> {
    const { endpoint, clock, maxFrameBytes } = this.#options;
    const { beforeFirstByte, afterLastByte, signal } = sending;
    let phase: "connecting" | "sending" | "sent" = "connecting";
    if (signal?.aborted) return failure("unsent", "stopped before anything was sent");

    const ending = new AbortController();
    const end = (why: "timeout" | "stopped", text: string) => {
      const reason = phase === "connecting" && why === "timeout" ? "unreachable" : "unsent";
      ending.abort(new Ended(phase === "sent" ? unknown(why, text) : failure(reason, text)));
    };
    const stop = () => end("stopped", "stopped");
    let cancelTimeout = () => {};
    const allow = (ms: number, what = "albatrossd does not answer") => {
      cancelTimeout();
      cancelTimeout = clock.after(ms, () => end("timeout", `${what} within ${ms / 1000} s`));
    };
    let socket: Socket | undefined;
    signal?.addEventListener("abort", stop);
    try {
      allow(REPLY_TIMEOUT_MS, "albatrossd does not take the connection");
      const line = await endpoint.dial("vmmd", request, ending.signal);
      cancelTimeout();
      const { socket: open } = line;
      socket = open;
      ending.signal.throwIfAborted();
      ending.signal.addEventListener("abort", () => open.destroy(ending.signal.reason));
      phase = "sending";
      await beforeFirstByte?.().catch((error) => {
        throw new Ended(failure("refused", messageOf(error)));
      });
      allow(replyTimeoutMs(from?.image.bytes));
      if (from !== undefined) {
        await line.begin();
        await sendImage(line, from);
      }
      if (open.writable) phase = "sent";
      await line.finish();
      afterLastByte?.();
      const incoming = new Incoming(
        line.chunks(),
        endpoint.describe("vmmd", null),
        () => into !== undefined && allow(REPLY_TIMEOUT_MS),
      );
      const reply = await incoming.reply(maxFrameBytes, into);
      const value = answer(reply);
      if (value !== undefined) return { type: "success", value };
      if (reply.type === "failure") return refusal(reply.message, endpoint);
      throw new Ended(unknown("undecodable", "albatrossd answers another question"));
    } catch (error) {
      if (error instanceof Ended) return error.outcome;
      if (ending.signal.reason instanceof Ended) return ending.signal.reason.outcome;
      const code = codeOf(socket?.errored ?? error);
      // The endpoint has read nothing then but the certificate.
      if (isCertificateRefused(code)) return failure("certificate", endpoint.describe("vmmd", code));
      if (phase === "connecting") return failure("unreachable", endpoint.describe("vmmd", code));
      const local = `the connection to albatrossd broke: ${code}`;
      const text = endpoint.isRemote ? endpoint.describe("vmmd", code) : local;
      return phase === "sent" ? unknown("lost", text) : failure("unsent", text);
    } finally {
      cancelTimeout();
      signal?.removeEventListener("abort", stop);
      socket?.destroy();
    }
  }
}

function failure(reason: FailureReason, text: string) {
  return { type: "failure", reason, text } as const;
}

function unknown(why: UnknownReason, text: string) {
  return { type: "unknown", why, text } as const;
}

function commanding(
  name: Name,
  command: Extract<UnikernelCommand, { command: "get" | "destroy" | "create" }>,
  imageBytes?: number,
): ActingRequest {
  return { name, command, ...(imageBytes === undefined ? {} : { imageBytes }) } as ActingRequest;
}

/** One block at a time, so that memory stays flat. Throws where the file is not the image that is expected. */
async function sendImage(line: Line, { file, image }: ImageSource): Promise<void> {
  const hash = createHash("sha256");
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  let sent = 0;
  for (;;) {
    const { bytesRead } = await file.read(block, 0, BLOCK_BYTES, sent).catch((error) => {
      throw new Ended(failure("image", `the image cannot be read: ${plainMessage(error)}`));
    });
    if (bytesRead === 0 || sent + bytesRead > image.bytes) {
      if (bytesRead === 0 && sent === image.bytes) break;
      const found = bytesRead === 0 ? sent : "more";
      throw new Ended(
        failure("image", `the image has changed: expected ${image.bytes} bytes, found ${found}`),
      );
    }
    const part = block.subarray(0, bytesRead);
    hash.update(part);
    await line.image(part);
    sent += bytesRead;
  }
  const digest = hash.digest("hex");
  if (digest === image.digest) return;
  throw new Ended(failure("image", `the image has changed: expected ${image.digest}, found ${digest}`));
}

/** What comes back on a connection. */
class Incoming {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #onChunk: () => void;
  readonly #whyClosed: string;
  #held: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterator<Buffer>, whyClosed: string, onChunk: () => void) {
    this.#whyClosed = whyClosed;
    this.#chunks = chunks;
    this.#onChunk = onChunk;
  }

  /** The one reply; of an image that went into its file what it is. */
  async reply(maxFrameBytes: number, into: Ask<unknown>["into"]): Promise<Reply> {
    const frameBytes = (await this.#atLeast(LENGTH_PREFIX_BYTES)).readInt32BE(0);
    const end = LENGTH_PREFIX_BYTES + frameBytes;
    if (frameBytes > 0 && into !== undefined) {
      const held = await this.#atLeast(Math.min(end, LENGTH_PREFIX_BYTES + IMAGE_HEAD_BYTES));
      const start = held.subarray(LENGTH_PREFIX_BYTES, end);
      const head = await decoded(async () => readImageHead(start, frameBytes));
      if (head !== null) {
        if (head.compressed) throw new Ended(unknown("undecodable", "the image comes compressed"));
        return this.#image(head.imageAt + LENGTH_PREFIX_BYTES, head.imageBytes, into);
      }
    }
    if (frameBytes <= 0 || frameBytes > maxFrameBytes) {
      const text = `the reply of albatrossd has ${frameBytes} bytes, expected 1 to ${maxFrameBytes}`;
      throw new Ended(unknown("undecodable", text));
    }
    const frame = (await this.#atLeast(end)).subarray(LENGTH_PREFIX_BYTES, end);
    return (await decoded(() => inTurns(decodeInSteps(frame)))).payload;
  }

  async #image(
    at: number,
    bytes: number,
    { file, maxBytes }: NonNullable<Ask<unknown>["into"]>,
  ): Promise<Reply> {
    if (bytes > maxBytes) {
      throw new Ended(failure("image", `the image has ${bytes} bytes, at most ${maxBytes} are allowed`));
    }
    const hash = createHash("sha256");
    let chunk = this.#held.subarray(at);
    for (let left = bytes; ; chunk = await this.#next()) {
      const part = chunk.subarray(0, left);
      hash.update(part);
      await file.writeFile(part).catch((error) => {
        throw new Ended(failure("image", `the image cannot be stored: ${plainMessage(error)}`));
      });
      left -= part.length;
      if (left === 0) return { type: "image", bytes, digest: hash.digest("hex") };
    }
  }

  async #atLeast(bytes: number): Promise<Buffer> {
    const parts = [this.#held];
    for (let have = this.#held.length; have < bytes; have += parts.at(-1)?.length ?? 0) {
      // the next chunk may take its place
      parts.push(Buffer.from(await this.#next(have > 0)));
    }
    this.#held = Buffer.concat(parts);
    return this.#held;
  }

  async #next(hasBegun = true): Promise<Buffer> {
    const step = await this.#chunks.next();
    this.#onChunk();
    if (!step.done) return step.value;
    if (hasBegun) throw new Ended(unknown("undecodable", "the reply of albatrossd ends inside a frame"));
    throw new Ended(unknown("no_reply", this.#whyClosed));
  }
}

/** Whatever is wrong with a reply, a peer's bytes brought it about, and they must not end the process. */
async function decoded<T>(decode: () => Promise<T>): Promise<T> {
  try {
    return await decode();
  } catch (error) {
    const text = `the reply of albatrossd does not decode: ${messageOf(error)}`;
    throw new Ended(unknown("undecodable", text));
  }
}

/** What albatrossd says of something it has done. */
function wordOf(reply: Reply): string | undefined {
  if (reply.type !== "success" || reply.result !== "string") return undefined;
  return reply.string.slice(0, TEXT_CHARACTERS);
}

/** The texts of albatrossd 2.7.2. */
const TEXTS: readonly (readonly [RegExp, FailureReason])[] = [
  [/^maximum (amount of unikernels|allowed memory) /, "quota"],
  [/^(CPUids|bridges) .* not allowed by policy$/, "quota"],
  [/^Unikernel with same name is already running$/, "exists"],
  [/^specified (bridge|block device)\(s\) does not match with /, "manifest"],
  [/^interface .* does not exist$/, "bridge"],
  [/^block device .* (already in use|not found)$/, "block_device"],
  [/^couldn't find initial block device$/, "block_device"],
  [/^error during ELF parsing|^failed to uncompress|^unsupported solo5 target/, "image"],
  [/console failed$/, "console"],
  [/^get: no unikernel found$|^destroy: not found$/, "not_found"],
];

function refusal(message: string, endpoint: Endpoint) {
  if (endpoint.isRemote && message === DAEMON_ENDED)
    return unknown("no_reply", endpoint.explain("vmmd", message));
  const other = endpoint.isRemote && POLICY_REFUSED.test(message) ? "certificate" : "other";
  const reason = TEXTS.find(([pattern]) => pattern.test(message))?.[1] ?? other;
  const text = endpoint.isRemote && reason === other ? endpoint.explain("vmmd", message) : message;
  const isDown = endpoint.isRemote && message === SERVICE_DOWN;
  return failure(isDown ? "unreachable" : reason, text.slice(0, TEXT_CHARACTERS));
}
