import type {
  Command,
  Header,
  InfoCommand,
  Message,
  NamedPolicy,
  Policy,
  UnikernelCommand,
} from "../wire/messages.ts";
import { formatName, type Name, subscriptionCovers } from "../wire/names.ts";
import { additionRefusal, openImage, policyRefusal } from "./creation.ts";
import { failureReply, imageReply, policiesReply, successString, unikernelInfoReply } from "./messages.ts";
import type { Config, InfoVersion, Scenario } from "./model.ts";
import type { World } from "./world.ts";

/** Since which info version albatrossd knows an info command. */
const KNOWN_SINCE: Record<InfoCommand, InfoVersion> = { info: 19, old_info5: 18, old_info4: 15 };
export const CONSOLE_FAILED = "could not create unikernel: console failed";

export interface AlbatrossdOptions {
  readonly scenario: Scenario;
  /** The world as it is at this moment. */
  readonly world: () => World;
  /** The same, lived through until now, to be changed. */
  readonly change: () => World;
}

/** null where albatrossd closes without a word, because it cannot read the command. */
export type Reaction = Message | null | { readonly death: string };

/** What albatrossd makes of commands, without any socket. */
export class Albatrossd {
  /** albatross-console has gone away from under it: it never connects again. */
  consoleLost = false;
  readonly #options: AlbatrossdOptions;
  #policies: readonly NamedPolicy[];
  /** Names whose destroy has been answered and may be asked for once more. */
  readonly #destroyed = new Set<string>();

  constructor(options: AlbatrossdOptions) {
    this.#options = options;
    this.#policies = options.scenario.policies;
  }

  /** Another process, which remembers nothing. */
  startAgain(): void {
    this.consoleLost = false;
    this.#destroyed.clear();
  }

  /** Carries a command out. With `exits` a unikernel that it creates is gone at once. */
  carryOut(header: Header, command: Command | null, exits: boolean): Reaction {
    switch (command?.class) {
      case "unikernel":
        return this.#unikernel(header, command, exits);
      case "policy":
        if (command.command === "info") return this.#policyInfo(header);
        if (command.command === "add") return this.#addPolicy(header, command.policy);
        return notSimulated(header);
      case "block":
        return command.command === "info" ? this.#blockInfo(header) : notSimulated(header);
      default:
        return failureReply(header, "unknown command");
    }
  }

  #unikernel(header: Header, command: UnikernelCommand, exits: boolean): Reaction {
    const { world, change } = this.#options;
    const vm = world().find(header.name);
    switch (command.command) {
      case "info":
      case "old_info5":
      case "old_info4":
        return this.#info(header, command.command);
      case "get":
        if (vm === undefined) return failureReply(header, "get: no unikernel found");
        return imageReply(header, vm.config.image, command.compressionLevel);
      case "destroy":
        return this.#destroy(header);
      case "restart":
        if (vm === undefined) return failureReply(header, "destroy: not found");
        if (command.arguments !== null) return notSimulated(header);
        if (this.consoleLost) return this.#losing(header);
        change().restart(header.name);
        return successString(header, "created unikernel");
      case "create":
        if (vm !== undefined) return failureReply(header, "Unikernel with same name is already running");
        return this.#create(header, command.config, exits, false);
      case "force_create":
        return this.#create(header, command.config, exits, vm !== undefined);
    }
  }

  #create(header: Header, config: Config, exits: boolean, replaces: boolean): Reaction {
    const { scenario, change } = this.#options;
    const { name } = header;
    const world = change();
    const others = [...world.vms].filter((vm) => vm.fullName !== formatName(name));
    const refusal = policyRefusal(name, config, this.#policies, others);
    if (refusal !== null) return failureReply(header, refusal);
    // force-create looks no further before it destroys what runs.
    if (replaces) world.remove(name);
    const opened = openImage(name, config, scenario, others);
    if ("death" in opened) return opened;
    if ("failure" in opened) return failureReply(header, opened.failure);
    // A console for a path breaks the link to albatross-console for good.
    if (name.label === null) this.consoleLost = true;
    if (this.consoleLost) return failureReply(header, CONSOLE_FAILED);
    this.#destroyed.delete(formatName(name));
    // Solo5 does not start without a CPU.
    const isStillborn = exits || config.cpuids.length === 0;
    world.create(name, { ...config, compressed: false, image: opened.image }, isStillborn);
    return successString(header, "created unikernel");
  }

  #losing(header: Header): Message {
    this.#options.change().remove(header.name);
    return failureReply(header, CONSOLE_FAILED);
  }

  #destroy(header: Header): Message {
    const { change } = this.#options;
    const name = formatName(header.name);
    const world = change();
    if (
      world.dropReturn(header.name) ||
      (world.find(header.name) === undefined && this.#destroyed.delete(name))
    )
      return successString(header, "destroyed: removed from restarting");
    if (!world.remove(header.name)) return failureReply(header, "destroy: not found");
    this.#destroyed.add(name);
    return successString(header, "destroyed unikernel");
  }

  #info(header: Header, command: InfoCommand): Reaction {
    const { scenario, world } = this.#options;
    if (KNOWN_SINCE[command] > scenario.infoVersion) return null;
    const listed = [...world().vms].filter((vm) => subscriptionCovers(header.name, vm.spec.name));
    // The old shapes have room for one CPU: a 2.7 that has to press another number into them dies.
    if (command !== "info" && scenario.infoVersion === 19 && listed.some((vm) => vm.spec.cpuids.length !== 1))
      return { death: `${command} was asked for and a unikernel has other than one cpuid` };
    const named = listed.map((vm) => ({ name: relativeTo(header.name, vm.spec.name), info: vm.info() }));
    return unikernelInfoReply(header, named, command);
  }

  #policyInfo(header: Header): Message {
    const policies = this.#policies
      .filter(({ name }) => covers(header.name, name))
      .map(({ name, policy }) => ({ name: relativeTo(header.name, name), policy }));
    return policiesReply(header, policies);
  }

  #addPolicy(header: Header, policy: Policy): Message {
    const { name } = header;
    const refusal = additionRefusal(name, policy, this.#options.world().vms);
    if (refusal !== null) return failureReply(header, refusal);
    const others = this.#policies.filter((one) => formatName(one.name) !== formatName(name));
    this.#policies = [...others, { name, policy }];
    return successString(header, "added policy");
  }

  #blockInfo(header: Header): Message {
    const { scenario, world } = this.#options;
    const active = new Set([...world().vms].flatMap((vm) => vm.hostBlocks));
    const blockDevices = scenario.blockDevices
      .filter(({ name }) => subscriptionCovers(header.name, name))
      .map(({ name, sizeMb }) => ({
        name: relativeTo(header.name, name),
        size: sizeMb,
        active: active.has(formatName(name)),
      }));
    return { header, payload: { type: "success", result: "block_devices", blockDevices } };
  }
}

/** The simulator's own words: it has unikernels to act on, policies to add, and block devices to look at. */
function notSimulated(header: Header): Message {
  return failureReply(header, "this is a simulated host: it does not take this command");
}

/** A path query is answered with names relative to that path, a query by name and one at the root with full names. */
function relativeTo(query: Name, name: Name): Name {
  if (query.label !== null) return name;
  return { path: name.path.slice(query.path.length), label: name.label };
}

/** A policy belongs to a path: one at or below the path that is asked for. */
function covers(query: Name, policy: Name): boolean {
  return query.label === null && query.path.every((label, index) => label === policy.path[index]);
}
