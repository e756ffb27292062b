import type { Sample } from "../../src/client/receiver.ts";
import type { NamedInfo } from "../../src/wire/messages.ts";
import { type Name, parseName } from "../../src/wire/names.ts";
import { FakeClock } from "./fakeClock.ts";
import { arrivingNow, makeInfo, makeSample, makeStats } from "./stats.ts";

/** What hears of the VMs: a fleet, a running scaler, a trace. */
export interface Receiver {
  record(sample: Sample): void;
  recordInfo?(host: string, entries: readonly NamedInfo[], askedAtUs: number): void;
  setLive?(host: string, live: boolean): void;
}

interface Period {
  readonly everyMs: number;
  /** `everyMs` unless given */
  readonly firstMs?: number;
}

export interface WorldOptions {
  /** every VM sends a sample; every 10 s unless given, only when `sample` is called if null */
  readonly samples?: Period | null;
  /** every host answers unikernel info; never unless given */
  readonly info?: Period | null;
}

export interface VmOptions {
  /** 1 unless given; the load is a share of all of them */
  readonly cpus?: number;
  /** cores of its own unless given */
  readonly cpuids?: readonly number[];
  /** how long after the others' its samples arrive */
  readonly delayMs?: number;
}

interface RunningVm extends Required<VmOptions> {
  /** what the test calls it */
  readonly called: string;
  readonly host: string;
  readonly name: Name;
  startedMs: number;
  percent: number;
  /** CPU time used until `countedUs` */
  cpuUs: number;
  countedUs: number;
  isMuted: boolean;
}

const EVERY_10_S: Period = { everyMs: 10_000 };

/**
 * VMs on hosts, with loads that a test changes on a clock that it moves. They send a sample each per interval to what
 * they feed. A VM is called by its name; it is on host `h` unless its name says `host/name`.
 */
export class World {
  readonly clock = new FakeClock();
  readonly #intervalUs: number;
  readonly #vms = new Map<string, RunningVm>();
  /** those that VMs were ever started on, and whether they are connected */
  readonly #hosts = new Map<string, boolean>();
  readonly #receivers: Receiver[] = [];
  #cores = 0;

  constructor({ samples = EVERY_10_S, info = null }: WorldOptions = {}) {
    this.#intervalUs = (samples ?? EVERY_10_S).everyMs * 1000;
    if (samples !== null) this.#every(samples, () => this.sample());
    if (info !== null) this.#every(info, () => this.answerInfo());
  }

  /** From now on this hears of the VMs, too. */
  feed(receiver: Receiver): this {
    this.#receivers.push(receiver);
    return this;
  }

  /** A VM starts with this load in percent of its CPUs, or another process in the place of the one of this name. */
  start(vm: string, percent: number, { cpus = 1, cpuids, delayMs = 0 }: VmOptions = {}): this {
    const { host, name } = located(vm);
    const ownCores = Array.from({ length: cpus }, () => this.#cores++);
    if (!this.#hosts.has(host)) this.#hosts.set(host, true);
    this.#vms.set(vm, {
      called: vm,
      host,
      name: parseName(name),
      startedMs: this.clock.wallMs(),
      percent,
      cpuUs: 0,
      countedUs: this.clock.nowUs(),
      isMuted: false,
      cpus,
      cpuids: cpuids ?? ownCores,
      delayMs,
    });
    return this;
  }

  load(vm: string, percent: number): this {
    const running = this.#vm(vm);
    this.#count(running);
    running.percent = percent;
    return this;
  }

  /** The VM is gone for good: no samples, and info does not list it. */
  stop(vm: string): this {
    this.#vms.delete(vm);
    return this;
  }

  /** Its samples stop, but it is still there for info; or they come again. */
  mute(vm: string, muted = true): this {
    this.#vm(vm).isMuted = muted;
    return this;
  }

  /** Another process in its place: counters begin at 0. */
  restart(vm: string): this {
    const { clock } = this;
    Object.assign(this.#vm(vm), { cpuUs: 0, countedUs: clock.nowUs(), startedMs: clock.wallMs() });
    return this;
  }

  /** The exporter's connection to the host breaks, or is there again. */
  connected(host: string, up: boolean): this {
    this.#hosts.set(host, up);
    for (const receiver of this.#receivers) receiver.setLive?.(host, up);
    return this;
  }

  /** Time passes; samples and infos arrive on the way, those of its very end, too. */
  pass(seconds: number): this {
    this.clock.advance(seconds * 1000);
    return this;
  }

  /** The same, and what each of them sets off is awaited. */
  async passAndSettle(seconds: number): Promise<this> {
    await this.clock.advanceAndSettle(seconds * 1000);
    return this;
  }

  /** A sample of this VM or of all, besides those that come by themselves. */
  sample(vm?: string): this {
    for (const running of vm === undefined ? this.#vms.values() : [this.#vm(vm)]) {
      if (running.delayMs === 0) this.#arrive(running);
      else this.clock.after(running.delayMs, () => this.#arrive(running));
    }
    return this;
  }

  /** Every host that is connected tells which VMs run on it. */
  answerInfo(): this {
    for (const [host, isConnected] of this.#hosts) {
      if (!isConnected) continue;
      const entries = [...this.#vms.values()]
        .filter((vm) => vm.host === host)
        .map(({ name, startedMs, cpus: numcpus, cpuids }) => {
          return { name, info: makeInfo({ startedMs, numcpus, cpuids }) };
        });
      for (const receiver of this.#receivers) receiver.recordInfo?.(host, entries, this.clock.nowUs());
    }
    return this;
  }

  #arrive(vm: RunningVm): void {
    const { host, name, isMuted } = vm;
    const isThere = this.#vms.get(vm.called) === vm;
    if (!isThere || isMuted || !this.#hosts.get(host)) return;
    this.#count(vm);
    const stats = makeStats(Math.round(vm.cpuUs));
    const arrival = arrivingNow(this.clock);
    const sample = makeSample({ host, name, stats, ...arrival, intervalUs: this.#intervalUs });
    for (const receiver of this.#receivers) receiver.record(sample);
  }

  /** Adds the CPU time that it has used since it was last counted. */
  #count(vm: RunningVm): void {
    const nowUs = this.clock.nowUs();
    vm.cpuUs += ((nowUs - vm.countedUs) * vm.percent * vm.cpus) / 100;
    vm.countedUs = nowUs;
  }

  #every({ everyMs, firstMs = everyMs }: Period, happen: () => void): void {
    this.clock.after(firstMs, () => {
      happen();
      this.#every({ everyMs }, happen);
    });
  }

  #vm(vm: string): RunningVm {
    const known = this.#vms.get(vm);
    if (known === undefined) throw new Error(`${vm} does not run`);
    return known;
  }
}

/** `host/name` as its two parts; host `h` where it says none. */
export function located(text: string): { readonly host: string; readonly name: string } {
  const [host = "", ...name] = text.split("/");
  return name.length === 0 ? { host: "h", name: host } : { host, name: name.join("/") };
}

/** The names of this many VMs, on 50 paths: `user3:web7` and its clones `web7-clone-1` and so on. */
export function crowd(count: number, vmsPerGroup: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const group = Math.floor(index / vmsPerGroup);
    const clone = index % vmsPerGroup;
    return `user${group % 50}:web${group}${clone === 0 ? "" : `-clone-${clone}`}`;
  });
}
