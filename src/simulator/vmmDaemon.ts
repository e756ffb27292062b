import type { Socket } from "node:net";
import type {
  Command,
  Header,
  InfoCommand,
  Message,
  NamedPolicy,
  UnikernelCommand,
} from "../wire/messages.ts";
import { formatName, type Name, subscriptionCovers } from "../wire/names.ts";
import { frameOf, onMessages } from "./frames.ts";
import { failureReply, policiesReply, unikernelInfoReply } from "./messages.ts";
import type { InfoVersion } from "./model.ts";
import { bytesFrom } from "./random.ts";
import { SOCKET_MODE, UnixServer } from "./unixServer.ts";
import type { SimulatedVm } from "./vm.ts";

/** Since which info version albatrossd knows an info command. */
const KNOWN_SINCE: Record<InfoCommand, InfoVersion> = { info: 19, old_info5: 18, old_info4: 15 };

/** What a command is met with instead of its reply. */
export type VmmdTrouble = "close" | "no_reply" | "garbage";

export interface VmmDaemonOptions {
  readonly path: string;
  readonly infoVersion: InfoVersion;
  readonly policies: readonly NamedPolicy[];
  /** The VMs at this moment. */
  readonly vms: () => Iterable<SimulatedVm>;
  /** The command just taken has killed the daemon; the text says why. */
  readonly onDeath: (why: string) => void;
}

/** albatrossd as far as reading goes: vmmd.sock, one command and one reply per connection. */
export class VmmDaemon {
  trouble: VmmdTrouble | null = null;
  readonly #options: VmmDaemonOptions;
  readonly #server: UnixServer;

  constructor(options: VmmDaemonOptions) {
    this.#options = options;
    this.#server = new UnixServer(options.path, (socket) => this.#accept(socket));
  }

  get connectionCount(): number {
    return this.#server.connectionCount;
  }

  start(): Promise<void> {
    return this.#server.listen();
  }

  stop(): Promise<void> {
    return this.#server.close();
  }

  /** Whether the group may use the socket. */
  setReadable(readable: boolean): Promise<void> {
    return this.#server.setMode(readable ? SOCKET_MODE : 0o600);
  }

  #accept(socket: Socket): void {
    let answered = false;
    onMessages(socket, ({ header, payload }) => {
      if (answered || this.trouble === "no_reply") return;
      answered = true;
      if (this.trouble === "garbage") socket.end(bytesFrom(1, 64));
      else if (this.trouble === "close") socket.destroy();
      else this.#answer(socket, header, payload.type === "command" ? payload.command : null);
    });
  }

  #answer(socket: Socket, header: Header, command: Command | null): void {
    const reply = this.#reply(header, command);
    if (reply === null) socket.destroy();
    else socket.end(frameOf(reply));
  }

  /** null where albatrossd closes without a word, because it cannot decode the command or dies of it. */
  #reply(header: Header, command: Command | null): Message | null {
    switch (command?.class) {
      case "unikernel":
        return this.#unikernelReply(header, command);
      case "policy":
        return command.command === "info" ? this.#policyInfo(header) : notSimulated(header);
      case "block":
        return notSimulated(header);
      default:
        return failureReply(header, "unknown command");
    }
  }

  #unikernelReply(header: Header, command: UnikernelCommand): Message | null {
    const isKnown = [...this.#options.vms()].some((vm) => vm.fullName === formatName(header.name));
    switch (command.command) {
      case "info":
      case "old_info5":
      case "old_info4":
        return this.#info(header, command.command);
      case "destroy":
        return isKnown ? notSimulated(header) : failureReply(header, "destroy: not found");
      case "get":
        return isKnown ? notSimulated(header) : failureReply(header, "get: no unikernel found");
      default:
        return notSimulated(header);
    }
  }

  #info(header: Header, command: InfoCommand): Message | null {
    const { infoVersion, vms, onDeath } = this.#options;
    if (KNOWN_SINCE[command] > infoVersion) return null;
    const listed = [...vms()].filter((vm) => subscriptionCovers(header.name, vm.spec.name));
    // The old shapes have room for one CPU: a 2.7 that has to press another number into them dies.
    if (command !== "info" && infoVersion === 19 && listed.some((vm) => vm.spec.cpuids.length !== 1)) {
      onDeath(`${command} was asked for and a unikernel has other than one cpuid`);
      return null;
    }
    const named = listed.map((vm) => ({ name: relativeTo(header.name, vm.spec.name), info: vm.info() }));
    return unikernelInfoReply(header, named, command);
  }

  #policyInfo(header: Header): Message {
    const policies = this.#options.policies
      .filter(({ name }) => covers(header.name, name))
      .map(({ name, policy }) => ({ name: relativeTo(header.name, name), policy }));
    return policiesReply(header, policies);
  }
}

/** The simulator's own words: it answers what reads, and changes its VMs only by its scenario. */
function notSimulated(header: Header): Message {
  return failureReply(header, "this is a simulated host: it takes no command that changes something");
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
