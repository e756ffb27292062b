import { connect, type Socket } from "node:net";
import type { Cancel, Clock } from "../clock.ts";
import type { Name } from "../wire/names.ts";
import { frameOf } from "./frames.ts";
import { subscribeCommand } from "./messages.ts";

/** How soon a client that has lost its slot is back: albatross-influx and mollymawk reconnect at once. */
const RECONNECT_MS = 10;

export interface RivalOptions {
  readonly socketPath: string;
  readonly slot: Name;
  readonly clock: Clock;
  /** null: whenever it has lost the slot; else every so often, whether it still has it or not. */
  readonly everyMs: number | null;
}

/** Another client of albatross-stats that wants the same slot and does not give way. */
export class Rival {
  readonly #options: RivalOptions;
  #socket: Socket | null = null;
  #cancel: Cancel = () => undefined;
  #stopped = false;

  constructor(options: RivalOptions) {
    this.#options = options;
  }

  start(): void {
    this.#take();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
    this.#socket?.destroy();
  }

  #take(): void {
    const { socketPath, slot, clock, everyMs } = this.#options;
    this.#socket?.destroy();
    const socket = connect(socketPath);
    this.#socket = socket;
    socket.on("error", () => undefined); // `close` follows
    socket.resume();
    socket.write(frameOf(subscribeCommand(slot)));
    if (everyMs !== null) this.#cancel = clock.after(everyMs, () => this.#take());
    socket.on("close", () => {
      if (this.#stopped || everyMs !== null || this.#socket !== socket) return;
      this.#cancel = clock.after(RECONNECT_MS, () => this.#take());
    });
  }
}
