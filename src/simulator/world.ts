import { formatName, type Name } from "../wire/names.ts";
import type { Curve } from "./curve.ts";
import { describeFault, type Fault } from "./faults.ts";
import type { Config, Scenario, VmSpec } from "./model.ts";
import { seedFor } from "./random.ts";
import { type TimelineEntry, timelineOf } from "./timeline.ts";
import { cloneOf, createdSpec, groupNameOf, type Load, SimulatedVm } from "./vm.ts";

/** What happens in the world that the daemons have a part in. */
export interface WorldListener {
  /** One line for people about something that has happened. */
  event(text: string): void;
  /** albatrossd has come back with all its VMs: albatross-stats has forgotten who subscribed. */
  albatrossdRestarted(): void;
  /** The scenario wants this fault, for so long (null: for good). */
  misbehave(fault: Fault, forMs: number | null): void;
}

/** A VM that is down and comes back. */
interface Return {
  readonly atUs: number;
  readonly vm: SimulatedVm;
}

/**
 * The VMs of a simulated host and their timeline, without any socket. Time is scenario time in integer microseconds
 * from 0 and moves only in `advanceTo`. Two worlds of one scenario that are advanced to the same times agree in every
 * figure, and asking does not change them.
 */
export class World {
  readonly #scenario: Scenario;
  readonly #wallStartMs: number;
  readonly #listener: WorldListener;
  readonly #timeline: readonly TimelineEntry[];
  readonly #vms = new Map<string, SimulatedVm>();
  /** Loads set by events or by hand, by full name; they last until the timeline starts again. */
  readonly #loads = new Map<string, Curve>();
  /** Each primary as it was last started. */
  readonly #primaries = new Map<string, VmSpec>();
  #returns: Return[] = [];
  #nowUs = 0;
  /** When the current pass through the timeline began. */
  #passStartUs = 0;
  #nextEntry = 0;

  constructor(scenario: Scenario, wallStartMs: number, listener: WorldListener) {
    this.#scenario = scenario;
    this.#wallStartMs = wallStartMs;
    this.#listener = listener;
    this.#timeline = timelineOf(scenario);
    for (const spec of presentAtStart(scenario)) this.#start(spec);
  }

  get nowUs(): number {
    return this.#nowUs;
  }

  /** The living VMs, in the order of their starts. */
  get vms(): Iterable<SimulatedVm> {
    return this.#vms.values();
  }

  get size(): number {
    return this.#vms.size;
  }

  find(name: Name): SimulatedVm | undefined {
    return this.#vms.get(formatName(name));
  }

  /** When something happens next by the timeline; infinity when nothing will. */
  get nextEventUs(): number {
    const entry = this.#timeline[this.#nextEntry];
    const entryUs = entry === undefined ? Number.POSITIVE_INFINITY : this.#passStartUs + entry.atMs * 1000;
    const returnUs = Math.min(...this.#returns.map((back) => back.atUs));
    return Math.min(entryUs, returnUs, this.#repeatUs);
  }

  /** Lets every VM live until `timeUs`, with all that the timeline has for the time in between. */
  advanceTo(timeUs: number): void {
    this.applyEventsUntil(timeUs);
    this.#liveUntil(timeUs);
  }

  /** Only what the timeline has until `timeUs` happens, so that a question in between does not change the figures. */
  applyEventsUntil(timeUs: number): void {
    for (let eventUs = this.nextEventUs; eventUs <= timeUs; eventUs = this.nextEventUs) {
      this.#liveUntil(eventUs);
      this.#happen(eventUs);
    }
  }

  /** Starts a VM now. Throws if its name is taken. */
  add(spec: VmSpec): void {
    const name = formatName(spec.name);
    if (this.#vms.has(name)) throw new Error(`a VM named ${name} is running`);
    this.#start(spec);
    this.#listener.event(`${name} starts`);
  }

  /**
   * Starts what a create describes, which may exit at once. A clone bears its primary's load or part in it, a primary
   * that was there before its own.
   */
  create(name: Name, config: Config, exits: boolean): void {
    this.#listener.event(`${formatName(name)} is created${exits ? " and exits at once" : ""}`);
    if (!exits) this.#start(createdSpec(name, config, this.#primaries.get(groupNameOf(name))));
  }

  /** A VM that is down does not come back. False when there is none. */
  dropReturn(name: Name): boolean {
    const text = formatName(name);
    const before = this.#returns.length;
    this.#returns = this.#returns.filter((back) => back.vm.fullName !== text);
    return this.#returns.length < before;
  }

  /** The VM is gone. False when there is none. */
  remove(name: Name): boolean {
    const text = formatName(name);
    this.dropReturn(name);
    const gone = this.#vms.delete(text);
    if (gone) this.#listener.event(`${text} is destroyed`);
    return gone;
  }

  /** The VM begins a new life after `downForMs`. False when there is none. */
  restart(name: Name, downForMs = 0): boolean {
    const vm = this.find(name);
    if (vm === undefined) return false;
    this.#listener.event(`${vm.fullName} restarts`);
    this.#newLife(vm, downForMs);
    return true;
  }

  /** As its spec has it, a crashed VM comes back or stays away. False when there is none. */
  crash(name: Name): boolean {
    const vm = this.find(name);
    if (vm === undefined) return false;
    const comesBack = vm.spec.onCrash === "restart";
    this.#listener.event(`${vm.fullName} crashes${comesBack ? " and is started again" : ""}`);
    if (comesBack) this.#newLife(vm, vm.spec.downForMs);
    else this.#vms.delete(vm.fullName);
    return true;
  }

  /** Sets the load of a VM, or of its group if it shares, until the timeline starts again. False when there is none. */
  setLoad(name: Name, load: Curve): boolean {
    const text = formatName(name);
    if (!this.#vms.has(text)) return false;
    this.#loads.set(text, load);
    this.#listener.event(`${text} has another load`);
    return true;
  }

  /** Starts the next clone of a VM and returns its name; null when there is no such VM. */
  clone(name: Name): Name | null {
    const primary = this.find(name);
    if (primary === undefined) return null;
    const id = 1 + this.#highestCloneId(name);
    const label = `${name.label}-clone-${id}`;
    const { config } = primary.spec;
    // cores of its own: two that have one would starve each other
    const cpuids = primary.spec.cpuids.map((cpu, _, all) => cpu + id * all.length);
    // A clone does not inherit the times at which its primary comes, crashes and goes.
    const lifetime = { startAtMs: 0, stopAtMs: null, crashesAtMs: [], restartsAtMs: [] };
    this.#start({
      ...primary.spec,
      ...lifetime,
      cpuids,
      config: config && { ...config, cpuids },
      name: { path: name.path, label },
    });
    this.#listener.event(`${formatName({ path: name.path, label })} is created`);
    return { path: name.path, label };
  }

  /** albatrossd is restarted: every VM begins a new life. */
  restartAlbatrossd(): void {
    this.#listener.event("albatrossd restarts, and with it every VM");
    for (const vm of this.#vms.values()) vm.restart(this.#wallMs());
    this.#listener.albatrossdRestarted();
  }

  get #repeatUs(): number {
    const { repeatEveryMs } = this.#scenario;
    return repeatEveryMs === null ? Number.POSITIVE_INFINITY : this.#passStartUs + repeatEveryMs * 1000;
  }

  #happen(atUs: number): void {
    if (atUs >= this.#repeatUs) {
      this.#startAgain(atUs);
      return;
    }
    for (const back of this.#returns.filter((r) => r.atUs <= atUs)) {
      back.vm.restart(this.#wallMs());
      this.#vms.set(back.vm.fullName, back.vm);
      this.#listener.event(`${back.vm.fullName} is back`);
    }
    this.#returns = this.#returns.filter((back) => back.atUs > atUs);
    for (;;) {
      const entry = this.#timeline[this.#nextEntry];
      if (entry === undefined || this.#passStartUs + entry.atMs * 1000 > atUs) return;
      this.#nextEntry++;
      this.#perform(entry.action);
    }
  }

  #perform(action: TimelineEntry["action"]): void {
    switch (action.type) {
      case "start":
        if (this.find(action.spec.name) === undefined) this.add(action.spec);
        return;
      case "clone":
        this.#orSay(this.clone(action.name) !== null, action.name);
        return;
      case "destroy":
        this.#orSay(this.remove(action.name), action.name);
        return;
      case "restart":
        this.#orSay(this.restart(action.name, this.find(action.name)?.spec.downForMs), action.name);
        return;
      case "crash":
        this.#orSay(this.crash(action.name), action.name);
        return;
      case "load":
        this.#orSay(this.setLoad(action.name, action.load), action.name);
        return;
      case "restart_albatrossd":
        this.restartAlbatrossd();
        return;
      case "misbehave":
        this.#listener.event(`misbehaves: ${describeFault(action.fault)}`);
        this.#listener.misbehave(action.fault, action.forMs);
        return;
    }
  }

  #orSay(done: boolean, name: Name): void {
    if (!done) this.#listener.event(`${formatName(name)} is not running: its event is left out`);
  }

  /**
   * Undoes what this pass of the timeline has done and begins the next. VMs that lived through it live on, and so does
   * what was created by command.
   */
  #startAgain(atUs: number): void {
    this.#passStartUs = atUs;
    this.#nextEntry = 0;
    this.#loads.clear();
    this.#returns = [];
    this.#listener.event("the timeline starts again");
    const present = new Map(presentAtStart(this.#scenario).map((spec) => [formatName(spec.name), spec]));
    for (const { fullName, spec } of [...this.#vms.values()])
      if (!present.has(fullName) && spec.config === null) this.remove(spec.name);
    for (const spec of present.values()) if (this.find(spec.name) === undefined) this.add(spec);
  }

  #start(spec: VmSpec): void {
    const vm = new SimulatedVm(spec, this.#scenario, this.#wallMs());
    this.dropReturn(spec.name);
    this.#vms.set(vm.fullName, vm);
    if (vm.fullName === vm.groupName) this.#primaries.set(vm.fullName, spec);
  }

  #newLife(vm: SimulatedVm, downForMs: number): void {
    if (downForMs === 0) {
      vm.restart(this.#wallMs());
      return;
    }
    this.#vms.delete(vm.fullName);
    this.#returns.push({ atUs: this.#nowUs + downForMs * 1000, vm });
  }

  #liveUntil(timeUs: number): void {
    if (timeUs <= this.#nowUs) return;
    const shared = this.#sharedLoads();
    for (const vm of this.#vms.values()) {
      const load = sharedBy(vm, shared.get(vm.groupName)) ?? this.#ownLoad(vm);
      vm.live(this.#nowUs - this.#passStartUs, timeUs - this.#passStartUs, load);
    }
    this.#nowUs = timeUs;
  }

  #ownLoad(vm: SimulatedVm): Load {
    return { curve: this.#loads.get(vm.fullName) ?? vm.spec.load, seed: vm.seed, dividedBy: 1 };
  }

  /** The loads that groups share, by group. A primary that is down leaves its load to its clones. */
  #sharedLoads(): Map<string, Load> {
    const shared = new Map<string, Load>();
    for (const vm of this.#vms.values()) {
      if (!vm.spec.shareLoadWithClones) continue;
      const curve = this.#loads.get(vm.groupName) ?? vm.spec.load;
      shared.set(vm.groupName, { curve, seed: seedFor(this.#scenario.seed, vm.groupName), dividedBy: 0 });
    }
    if (shared.size === 0) return shared;
    for (const vm of this.#vms.values()) {
      const load = shared.get(vm.groupName);
      if (load === undefined) continue;
      // the curve is in percent of the primary, and members of other sizes take as many CPUs of it
      const { cpus } = this.#primaries.get(vm.groupName) ?? vm.spec;
      shared.set(vm.groupName, { ...load, dividedBy: load.dividedBy + 1 / cpus });
    }
    return shared;
  }

  #highestCloneId(primary: Name): number {
    let highest = 0;
    for (const vm of this.#vms.values()) {
      if (vm.groupName !== formatName(primary)) continue;
      highest = Math.max(highest, cloneOf(vm.spec.name.label ?? "")?.id ?? 0);
    }
    return highest;
  }

  #wallMs(): number {
    return this.#wallStartMs + Math.floor(this.#nowUs / 1000);
  }
}

function sharedBy(vm: SimulatedVm, load: Load | undefined): Load | undefined {
  return load && { ...load, dividedBy: load.dividedBy * vm.spec.cpus };
}

function presentAtStart(scenario: Scenario): readonly VmSpec[] {
  return scenario.vms.filter((spec) => spec.startAtMs === 0);
}
