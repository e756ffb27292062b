import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { policiesReply } from "../../../src/simulator/messages.ts";
import { decodeMessage, encodeMessage, type Message, messageToJson } from "../../../src/wire/messages.ts";
import { formatName } from "../../../src/wire/names.ts";
import { type Peer, ScriptedDaemon } from "../../support/scriptedDaemon.ts";
import { captureBytes } from "../../wire/support/vectors.ts";
import type { InfoMessage, PoliciesMessage, StatsMessage } from "./wireJson.ts";

/** The recorded streams that make one host, by the names of their files. */
export interface Recording {
  readonly slot: string;
  readonly stats: string;
  readonly info: string;
  /** null: none was recorded, the answer is an empty list */
  readonly policies: string | null;
}

export const RECORDINGS = {
  root: {
    slot: ":",
    stats: "stats-root.bin",
    info: "vmmd-info-root.s2c.bin",
    policies: "vmmd-policy-info.s2c.bin",
  },
  root10s: {
    slot: ":",
    stats: "stats-root-10s.bin",
    info: "vmmd-info-root.s2c.bin",
    policies: "vmmd-policy-info.s2c.bin",
  },
  user: { slot: "user:", stats: "stats-path-user.bin", info: "vmmd-info-path.s2c.bin", policies: null },
  nobody: {
    slot: "nope:vm",
    stats: "stats-nonexisting.bin",
    info: "vmmd-info-missing.s2c.bin",
    policies: null,
  },
} as const satisfies Record<string, Recording>;

const NOBODY = captureBytes("vmmd-info-missing.s2c.bin");

/** A host whose daemons answer with recorded bytes, those of the stream when they are told to. */
export class ReplayedHost {
  readonly recording: Recording;
  /** "subscribed", as it was recorded, length prefix included. */
  readonly acknowledgement: Buffer;
  /** What came at each tick, length prefixes included. */
  readonly bursts: readonly Buffer[];
  readonly #stat: ScriptedDaemon;
  readonly #vmmd: ScriptedDaemon;

  private constructor(folder: string, recording: Recording) {
    this.recording = recording;
    const [acknowledgement = Buffer.alloc(0), ...samples] = framesOf(captureBytes(recording.stats));
    this.acknowledgement = acknowledgement;
    this.bursts = burstsOf(samples).map((burst) => Buffer.concat(burst));
    this.#stat = new ScriptedDaemon(join(folder, "stat.sock"), (peer) => peer.raw(acknowledgement));
    this.#vmmd = new ScriptedDaemon(join(folder, "vmmd.sock"), (peer, question) => {
      peer.raw(this.#answer(question));
      peer.close();
    });
  }

  /** Listens in `folder`, which is made; stops with the test. */
  static async start(folder: string, recording: Recording): Promise<ReplayedHost> {
    await mkdir(folder, { recursive: true });
    const host = new ReplayedHost(folder, recording);
    onTestFinished(() => host.stop());
    await host.#stat.start();
    await host.#vmmd.start();
    return host;
  }

  async stop(): Promise<void> {
    await Promise.all([this.#stat.stop(), this.#vmmd.stop()]);
  }

  /** Who is subscribed, in order of coming. */
  get subscribers(): readonly Peer[] {
    return this.#stat.openPeers.filter(({ requests }) => requests.length > 0);
  }

  /** Bytes of the recorded stream up to and including burst `count`. */
  bytesUntil(count: number): number {
    return Buffer.concat([this.acknowledgement, ...this.bursts.slice(0, count)]).length;
  }

  /** Sends one recorded burst, 0 for the first, to all subscribers. */
  sendBurst(index: number): void {
    for (const peer of this.subscribers) peer.raw(this.bursts[index] ?? Buffer.alloc(0));
  }

  /** The messages of the last burst, in the shape that `decode` prints. */
  get lastSamples(): StatsMessage[] {
    return framesOf(this.bursts.at(-1) ?? Buffer.alloc(0)).map((frame) => decodedFrame<StatsMessage>(frame));
  }

  get info(): InfoMessage {
    return decodedFrame(captureBytes(this.recording.info));
  }

  /** null when none were recorded. */
  get policies(): PoliciesMessage | null {
    return this.recording.policies === null ? null : decodedFrame(captureBytes(this.recording.policies));
  }

  #answer({ header, payload }: Message): Buffer {
    if (payload.type !== "command") throw new Error("albatrossd is only asked questions");
    if (payload.command.class === "policy") {
      if (this.recording.policies !== null) return captureBytes(this.recording.policies);
      return framed(encodeMessage(policiesReply(header, [])));
    }
    // Another name is the guard's: does a unikernel run that is named as the path is?
    return formatName(header.name) === this.recording.slot ? captureBytes(this.recording.info) : NOBODY;
  }
}

/** A stream's frames, length prefixes included. */
export function framesOf(stream: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < stream.length; ) {
    const end = at + 4 + stream.readInt32BE(at);
    frames.push(stream.subarray(at, end));
    at = end;
  }
  return frames;
}

/** A burst ends before the first VM that was in it already. */
function burstsOf(samples: readonly Buffer[]): Buffer[][] {
  const bursts: Buffer[][] = [];
  const seen = new Set<string>();
  for (const frame of samples) {
    const { name } = decodedFrame<StatsMessage>(frame).header;
    if (bursts.length === 0 || seen.has(name)) {
      seen.clear();
      bursts.push([]);
    }
    seen.add(name);
    bursts.at(-1)?.push(frame);
  }
  return bursts;
}

/** The caller knows from the file which kind of message it is. */
function decodedFrame<T>(frame: Buffer): T {
  return JSON.parse(JSON.stringify(messageToJson(decodeMessage(frame.subarray(4))))) as T;
}

function framed(der: Buffer): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeInt32BE(der.length);
  return Buffer.concat([prefix, der]);
}
