import type { Socket } from "node:net";
import type { Cancel, Clock } from "../clock.ts";
import type { Command, Header } from "../wire/messages.ts";
import { formatName } from "../wire/names.ts";
import { Albatrossd, type AlbatrossdOptions, type Reaction } from "./albatrossd.ts";
import type { CommandFault, CommandKind } from "./faults.ts";
import { frameOf, onMessages } from "./frames.ts";
import { failureReply } from "./messages.ts";
import { bytesFrom, unitAt } from "./random.ts";
import { SOCKET_MODE, UnixServer } from "./unixServer.ts";

const GARBAGE_BYTES = 64;
const DESTROY: Command = { class: "unikernel", command: "destroy" };

/** A request that albatrossd has received, and what came of it. */
export interface ReceivedRequest {
  /** RFC 3339 */
  readonly time: string;
  readonly command: CommandKind | "unreadable";
  /** Full name, empty where the request could not be read. */
  readonly name: string;
  readonly sequence: string;
  /** Of the unikernel of that name: the one that a create has started, else the one there was before. Hexadecimal. */
  readonly digest: string | null;
  readonly started: string | null;
  /** none: not carried out, or not done yet */
  readonly outcome: "success" | "failure" | "none";
  /** albatrossd's words, whether they were sent or not; for other replies what kind it is */
  readonly text: string | null;
  /** What the client got. */
  readonly answer: "reply" | "close" | "nothing" | "garbage" | "death";
}

export interface VmmDaemonOptions extends AlbatrossdOptions {
  readonly path: string;
  readonly clock: Clock;
  /** The daemon has died; the text says why. */
  readonly onDeath: (why: string) => void;
  readonly onRequest: (request: ReceivedRequest) => void;
}

/** A fault that waits for commands. */
interface Trap {
  readonly fault: CommandFault;
  left: number;
  /** Who waits for the end of a process that ignores SIGTERM, by its name. */
  readonly waiting: Map<string, { readonly socket: Socket; readonly header: Header }>;
}

/** vmmd.sock: one command and one reply per connection, and what can befall them. */
export class VmmDaemon {
  readonly albatrossd: Albatrossd;
  readonly #options: VmmDaemonOptions;
  readonly #server: UnixServer;
  readonly #traps = new Set<Trap>();
  /** So that chance has another number each time. */
  #count = 0;

  constructor(options: VmmDaemonOptions) {
    this.#options = options;
    this.albatrossd = new Albatrossd(options);
    this.#server = new UnixServer(options.path, (socket) => this.#accept(socket));
  }

  get connectionCount(): number {
    return this.#server.connectionCount;
  }

  start(): Promise<void> {
    this.albatrossd.startAgain();
    return this.#server.listen();
  }

  stop(): Promise<void> {
    for (const { waiting } of this.#traps) waiting.clear();
    return this.#server.close();
  }

  /** Whether the group may use the socket. */
  setReadable(readable: boolean): Promise<void> {
    return this.#server.setMode(readable ? SOCKET_MODE : 0o600);
  }

  /** Lets a fault befall commands until what comes back is called. */
  lay(fault: CommandFault): () => void {
    const trap: Trap = { fault, left: fault.times ?? Number.POSITIVE_INFINITY, waiting: new Map() };
    this.#traps.add(trap);
    return () => {
      this.#traps.delete(trap);
      for (const { socket, header } of trap.waiting.values())
        this.#send(socket, this.albatrossd.carryOut(header, DESTROY, false), null);
    };
  }

  #accept(socket: Socket): void {
    if (this.#dies("connected")) return;
    socket.once("data", () => this.#dies("receiving"));
    let answered = false;
    onMessages(
      socket,
      ({ header, payload }) => {
        if (answered) return;
        answered = !this.#answer(socket, header, payload.type === "command" ? payload.command : null);
      },
      (error) => {
        const unread = {
          command: "unreadable",
          name: "",
          sequence: "",
          digest: null,
          started: null,
        } as const;
        if (!answered) this.#record({ ...unread, outcome: "none", text: error.message, answer: "close" });
      },
    );
  }

  #dies(when: "connected" | "receiving"): boolean {
    const dies = this.#met((fault) => fault.type === "vmmd_die" && fault.when === when) !== null;
    if (dies) this.#options.onDeath(`${when}, as the scenario has it`);
    return dies;
  }

  /** Returns whether another command may follow on this connection: only once a policy has been added. */
  #answer(socket: Socket, header: Header, command: Command | null): boolean {
    const name = formatName(header.name);
    const kind = kindOf(command);
    const before = this.#identity(header);
    const trap = this.#met((fault) => befalls(fault, kind, name, before.started !== null));
    const fault = trap?.fault ?? null;
    const reaction = this.#react(header, command, fault);
    const answer = answerOf(fault, reaction);
    const outcome = outcomeOf(reaction);
    const keepsOpen = kind === "policy_add" && outcome.outcome === "success" && answer === "reply";
    this.#record({
      command: kind,
      name,
      sequence: String(header.sequence),
      ...(kind.endsWith("create") || kind === "restart" ? this.#identity(header) : before),
      ...outcome,
      answer,
    });
    if (fault?.type === "vmmd_ignore_term") trap?.waiting.set(name, { socket, header });
    if (answer === "death")
      this.#options.onDeath(deathOf(reaction) ?? `${kind} received, as the scenario has it`);
    else if (answer === "close") socket.destroy();
    else if (answer === "garbage") socket.end(this.#garbage());
    else if (answer === "reply") this.#send(socket, reaction, fault, keepsOpen);
    return keepsOpen;
  }

  /** What albatrossd makes of the command; null where a fault comes before that. */
  #react(header: Header, command: Command | null, fault: CommandFault | null): Reaction {
    if (fault?.type === "vmmd_fail") return failureReply(header, fault.text);
    if (keepsFromIt(fault)) return null;
    return this.albatrossd.carryOut(header, command, fault?.type === "vmmd_exit");
  }

  #send(socket: Socket, reaction: Reaction, fault: CommandFault | null, keepsOpen = false): void {
    if (reaction === null || "death" in reaction) return;
    const frame = frameOf(reaction);
    const sendLast = (bytes: Buffer) => (keepsOpen ? socket.write(bytes) : socket.end(bytes));
    if (fault?.type !== "vmmd_slow") {
      sendLast(frame);
      return;
    }
    const { everyMs, bytes } = fault;
    const pieceBytes = bytes ?? frame.length;
    const sendFrom = (at: number) => {
      const piece = frame.subarray(at, at + pieceBytes);
      if (at + pieceBytes >= frame.length) sendLast(piece);
      else if (socket.write(piece)) wait(at + pieceBytes);
      else socket.once("drain", () => wait(at + pieceBytes));
    };
    let cancel: Cancel = () => undefined;
    const wait = (at: number) => {
      if (!socket.destroyed) cancel = this.#options.clock.after(everyMs, () => sendFrom(at));
    };
    socket.on("close", () => cancel());
    wait(0);
  }

  /** The first fault that is laid for this; it has one time less to come. */
  #met(isMeant: (fault: CommandFault) => boolean): Trap | null {
    for (const trap of this.#traps) {
      if (trap.left === 0 || !isMeant(trap.fault)) continue;
      const { chance } = trap.fault;
      if (100 * unitAt(this.#options.scenario.seed, this.#count++) >= (chance ?? 100)) continue;
      trap.left--;
      return trap;
    }
    return null;
  }

  #garbage(): Buffer {
    return bytesFrom(this.#options.scenario.seed + this.#count++, GARBAGE_BYTES);
  }

  #identity({ name }: Header): Pick<ReceivedRequest, "digest" | "started"> {
    const info = this.#options.world().find(name)?.info();
    if (info === undefined) return { digest: null, started: null };
    return {
      digest: Buffer.from(info.digest).toString("hex"),
      started: new Date(info.startedMs ?? 0).toISOString(),
    };
  }

  #record(request: Omit<ReceivedRequest, "time">): void {
    this.#options.onRequest({ time: new Date(this.#options.clock.wallMs()).toISOString(), ...request });
  }
}

function befalls(fault: CommandFault, kind: CommandKind, name: string, isRunning: boolean): boolean {
  if ((fault.command ?? kind) !== kind || (fault.vm ?? name) !== name) return false;
  switch (fault.type) {
    case "vmmd_die":
      return fault.when === "received" || fault.when === "carried_out";
    case "vmmd_ignore_term":
      return kind === "destroy" && isRunning;
    case "vmmd_exit":
      return kind === "create" || kind === "force_create";
    default:
      return true;
  }
}

/** Whether the command is not carried out for it. */
function keepsFromIt(fault: CommandFault | null): boolean {
  switch (fault?.type) {
    case "vmmd_close":
    case "vmmd_no_reply":
    case "vmmd_garbage":
      return !fault.carriedOut;
    case "vmmd_die":
      return fault.when !== "carried_out";
    case "vmmd_ignore_term":
      return true;
    default:
      return false;
  }
}

function answerOf(fault: CommandFault | null, reaction: Reaction): ReceivedRequest["answer"] {
  if (deathOf(reaction) !== null) return "death";
  switch (fault?.type) {
    case "vmmd_die":
      return "death";
    case "vmmd_close":
      return "close";
    case "vmmd_no_reply":
    case "vmmd_ignore_term":
      return "nothing";
    case "vmmd_garbage":
      return "garbage";
    default:
      return reaction === null ? "close" : "reply";
  }
}

function deathOf(reaction: Reaction): string | null {
  return reaction !== null && "death" in reaction ? reaction.death : null;
}

function outcomeOf(reaction: Reaction): Pick<ReceivedRequest, "outcome" | "text"> {
  if (reaction === null || "death" in reaction) return { outcome: "none", text: null };
  const { payload } = reaction;
  if (payload.type === "failure") return { outcome: "failure", text: payload.message };
  if (payload.type !== "success") return { outcome: "none", text: null };
  return { outcome: "success", text: payload.result === "string" ? payload.string : payload.result };
}

function kindOf(command: Command | null): CommandKind {
  if (command?.class === "policy")
    return command.command === "remove" ? "other" : (`policy_${command.command}` as const);
  if (command?.class !== "unikernel") return "other";
  return command.command.startsWith("old_info") ? "info" : (command.command as CommandKind);
}
