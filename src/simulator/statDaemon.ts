import type { Socket } from "node:net";
import { type Header, type Message, statsMessage } from "../wire/messages.ts";
import { formatName, type Name, subscriptionCovers, subscriptionPlace } from "../wire/names.ts";
import { frameOf, onMessages } from "./frames.ts";
import { failureReply, successString } from "./messages.ts";
import { UnixServer } from "./unixServer.ts";
import type { SimulatedVm } from "./vm.ts";

/** A reader that lets this much pile up is closed; the real daemon would go on until its memory is gone. */
const MAX_QUEUED_BYTES = 64 * 1_048_576;

/** One subscriber's slot. Exported for the faults, which act on it. */
export interface Subscription {
  readonly slot: string;
  readonly name: Name;
  readonly socket: Socket;
  /** Samples held back by a stall, or null while they flow. */
  held: Buffer[] | null;
  /** The next sample is to be cut in the middle, with nothing after it. */
  cutNext: boolean;
}

export interface StatDaemonListener {
  event(text: string): void;
}

/** albatross-stats: stat.sock, its subscribers, and a burst for each of them at every tick. */
export class StatDaemon {
  /** While set a subscribe is acknowledged and forgotten at once. */
  silent = false;
  /** While set nothing a client sends is answered. */
  mute = false;
  /** Changes encoded samples on their way out; null leaves them as they are. */
  spoil: ((frame: Buffer, vm: SimulatedVm) => Buffer) | null = null;

  readonly #server: UnixServer;
  readonly #listener: StatDaemonListener;
  /** By the place each has in albatross-stats' trie. */
  readonly #subscriptions = new Map<string, Subscription>();
  /** Slots whose samples are held back; null is every slot. */
  readonly #stalled = new Set<string | null>();

  constructor(path: string, listener: StatDaemonListener) {
    this.#listener = listener;
    this.#server = new UnixServer(path, (socket) => this.#accept(socket));
  }

  get connectionCount(): number {
    return this.#server.connectionCount;
  }

  /** The slots that have a subscriber. */
  get slots(): readonly string[] {
    return Array.from(this.#subscriptions.values(), ({ slot }) => slot);
  }

  start(): Promise<void> {
    return this.#server.listen();
  }

  /** Closes every connection; the socket is gone. */
  async stop(): Promise<void> {
    this.#subscriptions.clear();
    await this.#server.close();
  }

  /** The subscribers of one slot, or all. */
  subscriptions(slot: string | null): readonly Subscription[] {
    return [...this.#subscriptions.values()].filter((one) => slot === null || one.slot === slot);
  }

  /** Nothing is sent to the subscribers any more, and they are not told. */
  forget(): void {
    this.#subscriptions.clear();
  }

  /** Holds samples back until `resume` with the same slot. */
  stall(slot: string | null): void {
    this.#stalled.add(slot);
  }

  /** Sends what was held back, at once. */
  resume(slot: string | null): void {
    this.#stalled.delete(slot);
    for (const subscription of this.#subscriptions.values()) {
      if (this.#isStalled(subscription) || subscription.held === null) continue;
      const held = Buffer.concat(subscription.held);
      subscription.held = null;
      if (held.length > 0) subscription.socket.write(held);
    }
  }

  /**
   * Sends a sample of every VM to every subscriber whose slot covers it. Returns the subscription that has killed the
   * daemon: the real one dies of a path slot `user:` when a unikernel named exactly `user` runs at the root.
   */
  tick(vms: Iterable<SimulatedVm>): Subscription | null {
    const all = [...vms];
    for (const subscription of this.#subscriptions.values()) {
      const { name } = subscription;
      if (isPath(name) && all.some((vm) => bearsNameOf(vm, name))) return subscription;
      this.#send(subscription, all);
    }
    return null;
  }

  #send(subscription: Subscription, vms: readonly SimulatedVm[]): void {
    const frames: Buffer[] = [];
    for (const vm of vms) {
      if (!subscriptionCovers(subscription.name, vm.spec.name)) continue;
      frames.push(this.#sample(subscription.name, vm));
    }
    const [first] = frames;
    if (first === undefined) return;
    if (subscription.cutNext) {
      this.#subscriptions.delete(subscriptionPlace(subscription.name));
      subscription.socket.write(first.subarray(0, first.length >> 1));
      return;
    }
    if (this.#isStalled(subscription)) {
      subscription.held ??= [];
      subscription.held.push(...frames);
      return;
    }
    subscription.socket.write(Buffer.concat(frames));
    if (subscription.socket.writableLength > MAX_QUEUED_BYTES) {
      this.#listener.event(`the subscriber of ${subscription.slot} does not read: closed`);
      this.#subscriptions.delete(subscriptionPlace(subscription.name));
      subscription.socket.destroy();
    }
  }

  #sample(slot: Name, vm: SimulatedVm): Buffer {
    const { path, label } = vm.spec.name;
    // Relative to the path of the subscribed name: a subscriber of `user:web` reads `:web`.
    const name = { path: path.slice(slot.path.length), label };
    const frame = frameOf(statsMessage(name, vm.stats()));
    return this.spoil === null ? frame : this.spoil(frame, vm);
  }

  #isStalled({ slot }: Subscription): boolean {
    return this.#stalled.has(null) || this.#stalled.has(slot);
  }

  #accept(socket: Socket): void {
    socket.on("close", () => {
      for (const [place, subscription] of this.#subscriptions) {
        if (subscription.socket === socket) this.#subscriptions.delete(place);
      }
    });
    onMessages(socket, (message) => {
      if (!this.mute) this.#answer(socket, message);
    });
  }

  #answer(socket: Socket, { header, payload }: Message): void {
    if (
      payload.type === "command" &&
      payload.command.class === "stats" &&
      payload.command.command === "subscribe"
    ) {
      this.#subscribe(socket, header);
      return;
    }
    socket.end(frameOf(failureReply(header, "unexpected command")));
  }

  #subscribe(socket: Socket, header: Header): void {
    const slot = formatName(header.name);
    const place = subscriptionPlace(header.name);
    const before = this.#subscriptions.get(place);
    socket.write(frameOf(successString(header, "subscribed")));
    if (this.silent) return;
    this.#subscriptions.set(place, { slot, name: header.name, socket, held: null, cutNext: false });
    this.#listener.event(
      `a client subscribes to ${slot}${before === undefined ? "" : ", the one before it is closed"}`,
    );
    before?.socket.destroy();
  }
}

function isPath(name: Name): boolean {
  return name.label === null && name.path.length > 0;
}

/** Whether the VM's full name reads like the path without its trailing colon. */
function bearsNameOf(vm: SimulatedVm, path: Name): boolean {
  const { name } = vm.spec;
  if (name.path.length !== path.path.length - 1 || name.label !== path.path.at(-1)) return false;
  return name.path.every((label, index) => label === path.path[index]);
}
