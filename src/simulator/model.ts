/** A scenario once read: names parsed, durations in ms, templates unfolded, every default filled in. */
import { type NamedPolicy, NO_LIMIT, type UnikernelCommand } from "../wire/messages.ts";
import type { Name } from "../wire/names.ts";
import type { Curve } from "./curve.ts";
import type { Fault } from "./faults.ts";

/** The system whose way of filling the statistics is imitated (Linux leaves many fields at zero). */
export type SimulatedOs = "linux" | "freebsd";

/** The command tag under which albatrossd takes info: 19 since 2.7, 18 in 2.6, 15 in 2.4 and 2.5. */
export type InfoVersion = 19 | 18 | 15;

export interface Scenario {
  /** Between two ticks of albatross-stats. */
  readonly intervalMs: number;
  readonly os: SimulatedOs;
  readonly infoVersion: InfoVersion;
  /** FreeBSD and Linux both send memory figures; a scenario may leave them out, as the grammar allows. */
  readonly kinfoMem: boolean;
  /** Hypervisor counters, as bhyve's vmm delivered them up to 2.7. */
  readonly vmmStats: boolean;
  readonly seed: number;
  /** The timeline starts again after this long, and what its events did is undone. */
  readonly repeatEveryMs: number | null;
  readonly policies: readonly NamedPolicy[];
  readonly blockDevices: readonly { readonly name: Name; readonly sizeMb: number }[];
  readonly vms: readonly VmSpec[];
  readonly events: readonly ScenarioEvent[];
}

/** What a create describes, image included. */
export type Config = Extract<UnikernelCommand, { command: "create" }>["config"];

export interface VmSpec {
  readonly name: Name;
  readonly cpus: number;
  readonly memoryMb: number;
  readonly type: "solo5" | "bhyve";
  readonly cpuids: readonly number[];
  readonly load: Curve;
  /** The load is that of the whole group: it is divided among this VM and its living clones. */
  readonly shareLoadWithClones: boolean;
  /** Names of the network devices, as the unikernel knows them. */
  readonly interfaces: readonly string[];
  /** Names of the block devices, on the host as in the unikernel. */
  readonly blocks: readonly string[];
  readonly arguments: readonly string[];
  /** What tells its image from others; null: the group's name, so that clones run their primary's. */
  readonly image: string | null;
  /** The image is as long as this, or as it must be. */
  readonly imageBytes: number;
  /** How it was created, where a command did that and not the scenario. */
  readonly config: Config | null;
  /** Does albatrossd start it again when it exits? */
  readonly onCrash: "restart" | "quit";
  readonly startAtMs: number;
  /** null: it stays. */
  readonly stopAtMs: number | null;
  readonly crashesAtMs: readonly number[];
  readonly restartsAtMs: readonly number[];
  /** How long a crash or a restart keeps it away. */
  readonly downForMs: number;
}

export interface ScenarioEvent {
  readonly atMs: number;
  readonly action: ScenarioAction;
}

export type ScenarioAction =
  /** Creates PRIMARY-clone-N, N one above the highest living one. */
  | { readonly type: "clone"; readonly name: Name }
  | { readonly type: "destroy"; readonly name: Name }
  | { readonly type: "restart"; readonly name: Name }
  | { readonly type: "crash"; readonly name: Name }
  | { readonly type: "load"; readonly name: Name; readonly load: Curve }
  | { readonly type: "restart_albatrossd" }
  | { readonly type: "misbehave"; readonly fault: Fault; readonly forMs: number | null };

/** A VM with everything but its name and load as most scenarios want it. */
export function vmSpec(spec: Partial<VmSpec> & Pick<VmSpec, "name">): VmSpec {
  return {
    cpus: 1,
    memoryMb: 32,
    type: "solo5",
    cpuids: Array.from({ length: spec.cpus ?? 1 }, (_, cpu) => cpu),
    load: { type: "constant", percent: 0 },
    shareLoadWithClones: false,
    interfaces: ["service"],
    blocks: [],
    arguments: [],
    image: null,
    imageBytes: 0,
    config: null,
    onCrash: "restart",
    startAtMs: 0,
    stopAtMs: null,
    crashesAtMs: [],
    restartsAtMs: [],
    downForMs: 0,
    ...spec,
  };
}

/** albatrossd always has a policy for its root: what the machine has. */
export function rootPolicy(): NamedPolicy {
  return {
    name: { path: [], label: null },
    policy: {
      cpuids: [0, 1, 2, 3],
      unikernels: NO_LIMIT,
      memory: 65_536,
      block: 262_144,
      bridges: ["service"],
    },
  };
}
