import { createHash } from "node:crypto";
import type { Stats, UnikernelInfo } from "../wire/messages.ts";
import { formatName, type Name } from "../wire/names.ts";
import { hostBlockDevice, hostBridge } from "./creation.ts";
import { type Curve, curveAt } from "./curve.ts";
import { simulatedImage } from "./image.ts";
import { type Config, type Scenario, type VmSpec, vmSpec } from "./model.ts";
import { seedFor } from "./random.ts";
import { statsOf, type Usage, type UsageShape } from "./usage.ts";

/** The load of a VM over some time: its own curve, or its part of a group's. */
export interface Load {
  readonly curve: Curve;
  readonly seed: number;
  /** Among how many living VMs the curve is divided. */
  readonly dividedBy: number;
}

/** Curves are sampled in the middle of steps no longer than this, so that a long interval follows a quick curve. */
const LONGEST_STEP_US = 1_000_000;
/** 100 % as the integer that loads are rounded to. */
const FULL_LOAD = 100_000;
const SECTOR_BYTES = 512;

/** One living VM: what it was made with, and the two times that all its counters come from. */
export class SimulatedVm {
  readonly spec: VmSpec;
  readonly fullName: string;
  /** The full name of the primary that this VM is, or is a clone of. */
  readonly groupName: string;
  /** Chance of its own, from the scenario's seed and the name. */
  readonly seed: number;
  /** Full names on the host of the block devices it has. */
  readonly hostBlocks: readonly string[];
  readonly #scenario: Scenario;
  #shape: UsageShape;
  #info: UnikernelInfo | null = null;
  #aliveUs = 0;
  #cpuUs = 0;
  /** CPU time not yet counted, in 1/FULL_LOAD of a microsecond. */
  #remainder = 0;

  constructor(spec: VmSpec, scenario: Scenario, startedMs: number) {
    this.spec = spec;
    this.fullName = formatName(spec.name);
    this.groupName = groupNameOf(spec.name);
    this.seed = seedFor(scenario.seed, this.fullName);
    this.hostBlocks = blockDevicesOf(spec).map((block) => hostBlockDevice(spec.name.path, block));
    this.#scenario = scenario;
    this.#shape = {
      os: scenario.os,
      kinfoMem: scenario.kinfoMem,
      vmmStats: scenario.vmmStats,
      cpus: spec.cpus,
      memoryMb: spec.memoryMb,
      interfaces: spec.interfaces,
      // Between 8 and 39 of 256: a unikernel spends most of its time in itself.
      systemShare: 8 + (this.seed % 32),
      startedMs,
    };
  }

  get usage(): Usage {
    return { aliveUs: this.#aliveUs, cpuUs: this.#cpuUs };
  }

  /** Wall time of this life's start. */
  get startedMs(): number {
    return this.#shape.startedMs;
  }

  /** A new life: the process is another one, and all it counts starts at zero. */
  restart(startedMs: number): void {
    this.#aliveUs = 0;
    this.#cpuUs = 0;
    this.#remainder = 0;
    this.#shape = { ...this.#shape, startedMs };
    this.#info = null;
  }

  /** Lives through a stretch of scenario time under a load. Times are microseconds since the timeline's (re)start. */
  live(fromUs: number, toUs: number, load: Load): void {
    for (let us = fromUs; us < toUs; ) {
      const stepUs = Math.min(LONGEST_STEP_US, toUs - us);
      const percent = curveAt(load.curve, (us + stepUs / 2) / 1000, load.seed) / load.dividedBy;
      const work = Math.round(Math.min(Math.max(percent, 0), 100) * (FULL_LOAD / 100));
      const total = work * this.spec.cpus * stepUs + this.#remainder;
      this.#cpuUs += Math.floor(total / FULL_LOAD);
      this.#remainder = total % FULL_LOAD;
      us += stepUs;
    }
    this.#aliveUs += toUs - fromUs;
  }

  stats(): Stats {
    return statsOf(this.#shape, this.usage);
  }

  /** How it was created. Made anew for each call, and the image with it. */
  get config(): Config {
    return this.spec.config ?? configOf(this.spec, this.groupName);
  }

  info(): UnikernelInfo {
    this.#info ??= this.#makeInfo();
    return this.#info;
  }

  #makeInfo(): UnikernelInfo {
    const { fullName, startedMs, hostBlocks } = this;
    const { image, blockDevices, bridges, ...config } = this.config;
    const { typ, startup, failBehaviour, cpuids, memory, argv, numcpus, linuxBootPartition } = config;
    return {
      ...{ typ, startup, failBehaviour, cpuids, memory, argv, numcpus, linuxBootPartition, startedMs },
      // Of a bhyve VM albatrossd sends the name.
      digest: typ === "bhyve" ? Buffer.from(fullName) : createHash("sha256").update(image).digest(),
      blockDevices: blockDevices.map((block, index) => ({
        unikernelDevice: block.name,
        hostDevice: block.device ?? block.name,
        sectorSize: block.sectorSize ?? SECTOR_BYTES,
        size: this.#blockSizeMb(hostBlocks[index]),
      })),
      bridges: bridges.map((bridge) => ({
        unikernelDevice: bridge.name,
        hostDevice: hostBridge(bridge),
        mac: bridge.mac ?? macOf(fullName, bridge.name),
      })),
    };
  }

  #blockSizeMb(device: string | undefined): number {
    return this.#scenario.blockDevices.find(({ name }) => formatName(name) === device)?.sizeMb ?? 0;
  }
}

function blockDevicesOf(spec: VmSpec): Config["blockDevices"] {
  return spec.config?.blockDevices ?? spec.blocks.map((name) => ({ name, device: null, sectorSize: null }));
}

/** As if somebody had created the scenario's VM with an image of the simulator's making. */
function configOf(spec: VmSpec, groupName: string): Config {
  return {
    typ: spec.type,
    compressed: false,
    image: simulatedImage(
      spec.image ?? groupName,
      { net: spec.interfaces, block: spec.blocks },
      spec.imageBytes,
    ),
    startup: null,
    addName: true,
    failBehaviour: spec.onCrash === "restart" ? { type: "restart", exitCodes: null } : { type: "quit" },
    cpuids: spec.cpuids,
    memory: spec.memoryMb,
    blockDevices: blockDevicesOf(spec),
    bridges: spec.interfaces.map((name) => ({ name, bridge: null, mac: null })),
    argv: spec.arguments.length === 0 ? null : spec.arguments,
    numcpus: spec.cpus,
    linuxBootPartition: null,
  };
}

/** The VM that a create makes; its load and whose it is are those of `like`. */
export function createdSpec(name: Name, config: Config, like: VmSpec | undefined): VmSpec {
  const load = like === undefined ? {} : { load: like.load, shareLoadWithClones: like.shareLoadWithClones };
  return vmSpec({
    ...load,
    name,
    cpus: Number(config.numcpus),
    memoryMb: Number(config.memory),
    cpuids: config.cpuids.map(Number),
    interfaces: config.bridges.map((bridge) => bridge.name),
    onCrash: config.failBehaviour.type,
    config,
  });
}

const CLONE_NAME = /^(?<primary>.+)-clone-(?<id>[1-9][0-9]{0,8})$/;

/** The label of a clone's primary and the clone's number; null for the label of a primary. */
export function cloneOf(label: string): { readonly primary: string; readonly id: number } | null {
  const match = CLONE_NAME.exec(label);
  const primary = match?.groups?.["primary"];
  if (primary === undefined || CLONE_NAME.test(primary)) return null;
  return { primary, id: Number(match?.groups?.["id"]) };
}

/** The full name of the primary that a VM of this name is, or is a clone of. */
export function groupNameOf({ path, label }: Name): string {
  return formatName({ path, label: cloneOf(label ?? "")?.primary ?? label });
}

/** Albatross' own prefix, and what it derives from the device and the unikernel's name. */
function macOf(fullName: string, device: string): string {
  const tail = createHash("md5").update(`${device}${fullName}`).digest("hex").slice(0, 6);
  return `00:80:41${tail.replace(/../g, ":$&")}`;
}
