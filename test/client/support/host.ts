import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sample } from "../../../src/client/receiver.ts";
import type { SubscriptionSnapshot } from "../../../src/client/subscription.ts";
import { Target, type TargetOptions, type TargetSink } from "../../../src/client/target.ts";
import type { TargetConfig, TlsConfig } from "../../../src/config/target.ts";
import type { Log } from "../../../src/log.ts";
import { policiesReply, successString, unikernelInfoReply } from "../../../src/simulator/messages.ts";
import { type Message, type NamedInfo, type NamedPolicy, statsMessage } from "../../../src/wire/messages.ts";
import { formatName, type Name, parseName } from "../../../src/wire/names.ts";
import { eventually, settle } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fakeClock.ts";
import { type Peer, ScriptedDaemon } from "../../support/scriptedDaemon.ts";
import { makeInfo, makeStats } from "../../support/stats.ts";

/** A sink that remembers what it was told. */
export class RecordingSink implements TargetSink {
  /** with names as text */
  readonly samples: (Omit<Sample, "name"> & { readonly name: string })[] = [];
  readonly infos: {
    readonly names: string[];
    readonly entries: readonly NamedInfo[];
    readonly askedAtUs: number;
  }[] = [];
  readonly policyLists: (readonly NamedPolicy[])[] = [];
  readonly lives: boolean[] = [];

  onSample(sample: Sample): void {
    this.samples.push({ ...sample, name: formatName(sample.name) });
  }

  info(entries: readonly NamedInfo[], askedAtUs: number): void {
    this.infos.push({ names: entries.map(({ name }) => formatName(name)), entries, askedAtUs });
  }

  policies(entries: readonly NamedPolicy[]): void {
    this.policyLists.push(entries);
  }

  live(up: boolean): void {
    this.lives.push(up);
  }
}

/** A log that remembers its lines as `level: message`, debug left out. */
export class RecordingLog implements Log {
  readonly lines: string[] = [];
  readonly fields: object[] = [];

  debug(): void {}

  info(fields: object, message: string): void {
    this.#add("info", fields, message);
  }

  warn(fields: object, message: string): void {
    this.#add("warn", fields, message);
  }

  error(fields: object, message: string): void {
    this.#add("error", fields, message);
  }

  /** Lines that contain `part`. */
  with(part: string): string[] {
    return this.lines.filter((line) => line.includes(part));
  }

  #add(level: string, fields: object, message: string): void {
    this.lines.push(`${level}: ${message}`);
    this.fields.push(fields);
  }
}

const TARGET = {
  name: "metal",
  subscribe: [],
  statsIntervalMs: "auto",
  os: "linux",
  pageSizeBytes: 4096,
  allowUncheckedPath: false,
  enforcesPolicy: false,
  allowRoot: false,
  displacedRetryMs: 300_000,
  maxFrameBytes: { stat: 1024 * 1024, vmmd: 64 * 1024 * 1024 },
} as const satisfies Partial<TargetConfig>;

/** Of a target by TLS that enforces its issuer's policy, on a path that cannot be checked. */
export function tlsTargetConfig(tls: TlsConfig, over: Partial<Omit<TargetConfig, "tls" | "socketDir">> = {}) {
  return { ...TARGET, allowUncheckedPath: true, enforcesPolicy: true, ...over, socketDir: null, tls };
}

/** A target, the two daemons it talks to, and everything it says, on a clock that stands still. */
export class TestHost {
  readonly socketDir = mkdtempSync(join(tmpdir(), "albatross-test-"));
  readonly clock = new FakeClock();
  readonly sink = new RecordingSink();
  readonly log = new RecordingLog();
  readonly stat: ScriptedDaemon;
  readonly vmmd: ScriptedDaemon;
  /** What albatrossd says runs. */
  running: NamedInfo[] = [];
  readonly target: Target;

  constructor(config: Partial<TargetConfig> = {}, options: TargetOptions = {}) {
    this.stat = new ScriptedDaemon(join(this.socketDir, "stat.sock"), acknowledge);
    this.vmmd = new ScriptedDaemon(join(this.socketDir, "vmmd.sock"), (peer, message) => {
      peer.send(answerAsAlbatrossd(message, this.running));
      peer.close();
    });
    const all = { name: "box", socketDir: this.socketDir, tls: null, subscribe: [":"], ...config };
    this.target = new Target({ ...TARGET, ...all } as TargetConfig, this.sink, this.clock, this.log, {
      random: () => 0,
      ...options,
    });
  }

  /** Starts the daemons named and the target. */
  async start(...daemons: ("stat" | "vmmd")[]): Promise<this> {
    for (const daemon of daemons) await this[daemon].start();
    this.target.start();
    return this;
  }

  /** Stops everything, and fails when anything is left behind. */
  async stop(): Promise<void> {
    await this.target.stop();
    const left = this.clock.pendingTimers;
    await eventually(
      "every connection closed",
      () => [...this.stat.openPeers, ...this.vmmd.openPeers].length === 0,
    );
    await this.stat.stop();
    await this.vmmd.stop();
    rmSync(this.socketDir, { recursive: true, force: true });
    if (left !== 0) throw new Error(`${left} timers are left after stop`);
  }

  subscription(text = ":"): SubscriptionSnapshot {
    const found = this.target.snapshot().subscriptions.find(({ subscription }) => subscription === text);
    if (found === undefined) throw new Error(`no subscription ${text}`);
    return found;
  }

  async state(state: SubscriptionSnapshot["state"], text = ":"): Promise<void> {
    await eventually(
      () => `state ${state} of ${text}, now ${JSON.stringify(this.subscription(text))}`,
      () => this.subscription(text).state === state,
    );
  }

  /** Lets time pass second by second, with all that sockets have to do in each. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 1000) {
      this.clock.advance(Math.min(left, 1000));
      await settle(8);
    }
  }

  /** Lets time pass until `condition` holds, for `limitMs` at most. */
  async passUntil(what: string, condition: () => boolean, limitMs = 600_000): Promise<void> {
    for (let left = limitMs; !condition(); left -= 1000) {
      if (left <= 0) throw new Error(`did not happen: ${what}`);
      await this.pass(1000);
    }
  }

  /** Lets a peer of stat.sock send one sample of each VM, and waits until they are taken. */
  async burst(peer: Peer, ...vms: string[]): Promise<void> {
    const before = this.sink.samples.length;
    peer.send(...vms.map((vm) => sampleOf(vm)));
    await eventually("the burst", () => this.sink.samples.length === before + vms.length);
  }

  /** Waits until unikernel info could not be read. */
  async noInfo(): Promise<void> {
    await eventually("no info", () => this.target.snapshot().infoReadable === false);
  }

  /** Waits until albatrossd was asked once more and the answer taken. */
  async nextInfo(act: () => void): Promise<void> {
    const before = this.sink.infos.length;
    act();
    await eventually("unikernel info", () => this.sink.infos.length > before);
  }
}

/** Acknowledges a subscription as albatross-stats does. */
export function acknowledge(peer: Peer, { header }: Message): void {
  peer.send(successString(header, "subscribed"));
}

/** A statistics message about a VM by its name relative to what is subscribed to. */
export function sampleOf(vm: string, cpuUs = 1_000_000): Message {
  return statsMessage(parseName(vm), makeStats(cpuUs));
}

export function running(...vms: string[]): NamedInfo[] {
  return vms.map((vm) => ({ name: parseName(vm), info: makeInfo() }));
}

/** The answer of an albatrossd 2.7 that runs these unikernels and has no policies. */
export function answerAsAlbatrossd({ header, payload }: Message, all: readonly NamedInfo[]): Message {
  if (payload.type !== "command") throw new Error("a client sends commands");
  if (payload.command.class === "policy") return policiesReply(header, []);
  return unikernelInfoReply(header, answerToInfo(header.name, all));
}

/** A name query finds exactly that unikernel, a path query what lies below (and at) the path, named relative to it. */
function answerToInfo(asked: Name, all: readonly NamedInfo[]): NamedInfo[] {
  if (asked.label !== null) return all.filter(({ name }) => formatName(name) === formatName(asked));
  return all.flatMap(({ name, info }) => {
    const labels = [...name.path, ...(name.label === null ? [] : [name.label])];
    if (!asked.path.every((label, i) => labels[i] === label)) return [];
    const rest = labels.slice(asked.path.length);
    return [{ name: { path: rest.slice(0, -1), label: rest.at(-1) ?? null }, info }];
  });
}
