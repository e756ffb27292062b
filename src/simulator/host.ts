import { join } from "node:path";
import type { Cancel, Clock } from "../clock.ts";
import { makeFolder } from "../files.ts";
import { messageOf } from "../systemError.ts";
import { formatName, type Name, parseName } from "../wire/names.ts";
import type { Curve } from "./curve.ts";
import { describeFault, type Fault } from "./faults.ts";
import { type EndFault, Misbehaviour } from "./misbehaviour.ts";
import { type Scenario, type VmSpec, vmSpec } from "./model.ts";
import { StatDaemon } from "./statDaemon.ts";
import { TlsEndpoint, type TlsOptions } from "./tlsEndpoint.ts";
import { type ReceivedRequest, VmmDaemon } from "./vmmDaemon.ts";
import { World } from "./world.ts";

/** How long a crashed daemon stays away before its supervisor has it back. */
const DAEMON_RESTART_MS = 2_000;
/** Timers longer than 2^31 ms do not exist; waking up once an hour costs nothing. */
const LONGEST_TIMER_MS = 3_600_000;

export interface SimulatedHostOptions {
  /** Where stat.sock and vmmd.sock are made; created if it does not exist. */
  readonly socketDir: string;
  readonly clock: Clock;
  /** A TLS endpoint in front of the daemons, beside their sockets. */
  readonly tls?: TlsOptions | undefined;
  /** Instead of the scenario's. */
  readonly seed?: number;
  /** One line for people about everything that happens. */
  readonly onEvent?: (text: string) => void;
  /** Every request that albatrossd has received, once it is known what comes of it. */
  readonly onRequest?: (request: ReceivedRequest) => void;
}

/** How a VM may be given to `addVm`: name and load in short, the rest as in a scenario. */
export type NewVm = Omit<Partial<VmSpec>, "name" | "load"> & {
  readonly name: string;
  readonly load?: number | Curve;
};

/**
 * An Albatross host made of code. Its sockets speak the bytes of albatross-stats and albatrossd 2.7; its VMs do what the
 * scenario says, what the commands on vmmd.sock say, and what the methods here say while it runs.
 * Scenario time is 0 at `start` and follows the clock.
 */
export class SimulatedHost {
  readonly scenario: Scenario;
  readonly #options: SimulatedHostOptions;
  readonly #stat: StatDaemon;
  readonly #vmmd: VmmDaemon;
  readonly #tls: TlsEndpoint | null;
  readonly #misbehaviour: Misbehaviour;
  #world: World;
  #startedUs = 0;
  #nextTickUs = 0;
  #cancelTimer: Cancel = () => undefined;
  #running = false;
  #statCrashes = 0;
  #vmmdCrashes = 0;
  readonly #timers = new Set<Cancel>();

  constructor(scenario: Scenario, options: SimulatedHostOptions) {
    const { socketDir, clock, tls } = options;
    this.scenario = { ...scenario, seed: options.seed ?? scenario.seed };
    this.#options = options;
    this.#world = this.#newWorld();
    const statPath = join(socketDir, "stat.sock");
    this.#stat = new StatDaemon(statPath, { event: (text) => this.#say(text) });
    const vmmdPath = join(socketDir, "vmmd.sock");
    this.#vmmd = new VmmDaemon({
      path: vmmdPath,
      scenario: this.scenario,
      clock,
      world: () => this.#worldNow(),
      change: () => this.#change(),
      onDeath: (why) => this.#albatrossdDies(why),
      onRequest: (request) => options.onRequest?.(request),
    });
    const { policies } = this.scenario;
    // no albatross-console is simulated: its service cannot be reached
    const sockets = { stats: statPath, vmmd: vmmdPath, console: join(socketDir, "console.sock") };
    const onEvent = (text: string) => this.#say(text);
    this.#tls = tls === undefined ? null : new TlsEndpoint({ ...tls, policies, sockets, clock, onEvent });
    this.#misbehaviour = new Misbehaviour({
      stat: this.#stat,
      vmmd: this.#vmmd,
      tls: this.#tls,
      statPath,
      clock,
      seed: this.scenario.seed,
    });
  }

  /** Full names of the living VMs. */
  get vmNames(): readonly string[] {
    return [...this.#worldNow().vms].map((vm) => vm.fullName);
  }

  /** The slots that have a subscriber. */
  get slots(): readonly string[] {
    return this.#stat.slots;
  }

  /** Open connections on both sockets and to the TLS endpoint. */
  get connectionCount(): number {
    return this.#stat.connectionCount + this.#vmmd.connectionCount + (this.#tls?.connectionCount ?? 0);
  }

  /** Where the TLS endpoint listens, `host:port`; null without one. */
  get tlsAddress(): string | null {
    return this.#tls?.address ?? null;
  }

  /** How often a path slot has met a unikernel of the same name, of which the real albatross-stats dies. */
  get statCrashes(): number {
    return this.#statCrashes;
  }

  /** How often albatrossd has died of a command, or by the scenario. */
  get vmmdCrashes(): number {
    return this.#vmmdCrashes;
  }

  /**
   * Listens on both sockets, and at the TLS endpoint's address; the first tick comes one interval later. Throws when one of
   * them is taken.
   */
  async start(): Promise<void> {
    const { socketDir, clock } = this.#options;
    await makeFolder(socketDir);
    try {
      await this.#stat.start();
      await this.#vmmd.start();
      await this.#tls?.start();
    } catch (error) {
      await this.#stopListening();
      throw error;
    }
    this.#world = this.#newWorld();
    this.#startedUs = clock.nowUs();
    this.#nextTickUs = this.#intervalUs;
    this.#running = true;
    this.#schedule();
  }

  /** Closes all connections and removes both sockets. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#cancelTimer();
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    await this.#misbehaviour.endAll();
    await this.#stopListening();
  }

  async #stopListening(): Promise<void> {
    await Promise.all([this.#tls?.stop(), this.#stat.stop(), this.#vmmd.stop()]);
  }

  /** Starts a VM. Throws when its name is taken or invalid. */
  addVm({ name, load = 0, ...rest }: NewVm): void {
    this.#change().add(vmSpec({ ...rest, name: parseName(name), load: curveOf(load) }));
  }

  /** Destroys a VM; it just stops appearing. */
  removeVm(name: string): void {
    this.#existing(name, (world, parsed) => world.remove(parsed));
  }

  /** Gives a VM a new life, with all its counters at zero and another start time. */
  restartVm(name: string): void {
    this.#existing(name, (world, parsed) => world.restart(parsed));
  }

  /** Lets a VM crash: it comes back or stays away as its spec says. */
  crashVm(name: string): void {
    this.#existing(name, (world, parsed) => world.crash(parsed));
  }

  /** Creates the next clone of a VM and returns its full name. */
  cloneVm(name: string): string {
    const clone = this.#change().clone(parseName(name));
    if (clone === null) throw new Error(notRunning(name));
    return formatName(clone);
  }

  /** Sets a VM's load from now on, in percent or as a curve over scenario time. */
  setLoad(name: string, load: number | Curve): void {
    this.#existing(name, (world, parsed) => world.setLoad(parsed, curveOf(load)));
  }

  /** albatrossd restarts: every VM starts anew, and subscribers hear nothing any more. */
  restartAlbatrossd(): void {
    this.#change().restartAlbatrossd();
  }

  /** Brings a fault about and returns how to end it. Momentary faults are over when this resolves. */
  misbehave(fault: Fault): Promise<EndFault> {
    return this.#misbehaviour.begin(fault);
  }

  /** Ends every fault that lasts. */
  recover(): Promise<void> {
    return this.#misbehaviour.endAll();
  }

  get #intervalUs(): number {
    return this.scenario.intervalMs * 1000;
  }

  get #nowUs(): number {
    return this.#running ? this.#options.clock.nowUs() - this.#startedUs : 0;
  }

  #newWorld(): World {
    return new World(this.scenario, this.#options.clock.wallMs(), {
      event: (text) => this.#say(text),
      albatrossdRestarted: () => this.#stat.forget(),
      misbehave: (fault, forMs) => this.#misbehaveFor(fault, forMs),
    });
  }

  /** The world with all that has happened by now, its figures left as they were. */
  #worldNow(): World {
    this.#world.applyEventsUntil(this.#nowUs);
    return this.#world;
  }

  /** The world with everything lived through until now, to be changed from here on. */
  #change(): World {
    this.#world.advanceTo(this.#nowUs);
    return this.#world;
  }

  #existing(name: string, change: (world: World, name: Name) => boolean): void {
    if (!change(this.#change(), parseName(name))) throw new Error(notRunning(name));
  }

  #schedule(): void {
    if (!this.#running) return;
    const atUs = Math.min(this.#nextTickUs, this.#world.nextEventUs);
    const delayMs = Math.min(Math.max(Math.ceil((atUs - this.#nowUs) / 1000), 0), LONGEST_TIMER_MS);
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      this.#proceed();
      this.#schedule();
    });
  }

  #proceed(): void {
    const nowUs = this.#nowUs;
    const world = this.#worldNow();
    if (nowUs < this.#nextTickUs) return;
    world.advanceTo(nowUs);
    // One tick, even when the process was held up for several: the real daemon's timer does not catch up either.
    while (this.#nextTickUs <= nowUs) this.#nextTickUs += this.#intervalUs;
    const killer = this.#stat.tick(world.vms);
    if (killer === null) return;
    this.#statCrashes++;
    this.#say(`albatross-stats crashes: ${killer.slot} is subscribed and a unikernel of that name runs`);
    this.#misbehaveFor({ type: "stat_gone" }, DAEMON_RESTART_MS);
  }

  #albatrossdDies(why: string): void {
    this.#vmmdCrashes++;
    this.#say(`albatrossd crashes: ${why}`);
    this.#change().restartAlbatrossd();
    this.#misbehaveFor({ type: "vmmd_gone" }, DAEMON_RESTART_MS);
  }

  /** A fault from inside, which nobody waits for. */
  #misbehaveFor(fault: Fault, forMs: number | null): void {
    this.#endLater(this.#misbehaviour.begin(fault), forMs).catch((error: unknown) => {
      this.#say(`cannot misbehave (${describeFault(fault)}): ${messageOf(error)}`);
    });
  }

  async #endLater(begun: Promise<EndFault>, forMs: number | null): Promise<void> {
    if (forMs === null) {
      await begun;
      return;
    }
    // The timer starts at once and not when the fault has been brought about, so that the clock alone decides.
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(forMs, () => {
        this.#timers.delete(cancel);
        resolve();
      });
      this.#timers.add(cancel);
    });
    const end = await begun;
    await end();
  }

  #say(text: string): void {
    this.#options.onEvent?.(text);
  }
}

function notRunning(name: string): string {
  return `no VM named ${name} is running`;
}

function curveOf(load: number | Curve): Curve {
  return typeof load === "number" ? { type: "constant", percent: load } : load;
}
