import type { Clock } from "../clock.ts";
import { int64, integer, utf8 } from "../wire/asn1.ts";
import { context, element, Tag } from "../wire/der.ts";
import { encodeFrame } from "../wire/framing.ts";
import { parseName } from "../wire/names.ts";
import type { Fault } from "./faults.ts";
import { bytesFrom } from "./random.ts";
import { Rival } from "./rival.ts";
import type { StatDaemon } from "./statDaemon.ts";
import type { TlsEndpoint } from "./tlsEndpoint.ts";
import type { SimulatedVm } from "./vm.ts";
import type { VmmDaemon } from "./vmmDaemon.ts";

/** Ends a fault that lasts. Calling it twice, or for a fault that was momentary, does nothing. */
export type EndFault = () => Promise<void>;

type Daemon = StatDaemon | VmmDaemon | TlsEndpoint;

export interface MisbehaviourOptions {
  readonly stat: StatDaemon;
  readonly vmmd: VmmDaemon;
  /** null: faults of it do nothing */
  readonly tls: TlsEndpoint | null;
  readonly statPath: string;
  readonly clock: Clock;
  readonly seed: number;
}

/** Brings faults about and ends them. */
export class Misbehaviour {
  readonly #options: MisbehaviourOptions;
  readonly #lasting = new Set<EndFault>();
  /** VMs whose device names are spoilt; null is every VM. */
  readonly #spoilt = new Set<string | null>();
  /** How many faults keep a daemon away. */
  readonly #away = new Map<Daemon, number>();
  /** So that no two faults send the same random bytes. */
  #count = 0;

  constructor(options: MisbehaviourOptions) {
    this.#options = options;
  }

  /** Brings the fault about; a momentary one is over when this resolves. */
  async begin(fault: Fault): Promise<EndFault> {
    const undo = await this.#bringAbout(fault);
    if (undo === null) return async () => undefined;
    const end: EndFault = async () => {
      if (this.#lasting.delete(end)) await undo();
    };
    this.#lasting.add(end);
    return end;
  }

  /** Ends every fault that lasts. */
  async endAll(): Promise<void> {
    for (const end of [...this.#lasting]) await end();
  }

  /** Does it and returns how to undo it, or null when there is nothing to undo. */
  async #bringAbout(fault: Fault): Promise<(() => void | Promise<void>) | null> {
    const { stat, vmmd, tls } = this.#options;
    switch (fault.type) {
      case "garbage":
        this.#write(fault.slot, this.#random(fault.bytes));
        return null;
      case "frame_length":
        this.#write(fault.slot, announcement(fault.announced, this.#random(8)));
        return null;
      case "undecodable":
        this.#write(fault.slot, encodeFrame(Buffer.concat([Buffer.from([0]), this.#random(31)])));
        return null;
      case "unknown_data":
        this.#write(fault.slot, unknownData());
        return null;
      case "half_frame":
        for (const subscription of stat.subscriptions(fault.slot)) subscription.cutNext = true;
        return null;
      case "close":
        for (const { socket } of stat.subscriptions(fault.slot)) socket.destroy();
        return null;
      case "forget":
        stat.forget();
        return null;
      case "stall":
        stat.stall(fault.slot);
        return () => stat.resume(fault.slot);
      case "silent":
        stat.silent = true;
        return () => {
          stat.silent = false;
        };
      case "no_reply":
        stat.mute = true;
        return () => {
          stat.mute = false;
        };
      case "stat_gone":
        return this.#takeAway(stat);
      case "device_name":
        return this.#spoilDeviceNames(fault.vm);
      case "rival":
        return this.#startRival(fault.slot, fault.everyMs);
      case "vmmd_gone":
        return this.#takeAway(vmmd);
      case "vmmd_unreadable":
        await vmmd.setReadable(false);
        return () => vmmd.setReadable(true);
      case "console_gone":
        vmmd.albatrossd.consoleLost = true;
        return () => {
          vmmd.albatrossd.consoleLost = false;
        };
      case "tls_slow":
        return this.#hinderHandshakes(fault.everyMs);
      case "tls_no_reply":
        return this.#hinderHandshakes("forever");
      case "tls_close":
        return this.#hinderHandshakes("close");
      case "tls_gone":
        return tls === null ? null : this.#takeAway(tls);
      default:
        return vmmd.lay(fault);
    }
  }

  /** A daemon that several faults keep away is back when the last of them ends. */
  async #takeAway(daemon: Daemon): Promise<() => Promise<void>> {
    this.#away.set(daemon, (this.#away.get(daemon) ?? 0) + 1);
    await daemon.stop();
    return async () => {
      const faults = (this.#away.get(daemon) ?? 1) - 1;
      this.#away.set(daemon, faults);
      if (faults === 0) await daemon.start();
    };
  }

  #hinderHandshakes(how: TlsEndpoint["handshake"]): (() => void) | null {
    const { tls } = this.#options;
    if (tls === null) return null;
    tls.handshake = how;
    return () => {
      tls.handshake = 0;
    };
  }

  #write(slot: string | null, bytes: Buffer): void {
    for (const { socket } of this.#options.stat.subscriptions(slot)) socket.write(bytes);
  }

  #random(length: number): Buffer {
    this.#count++;
    return bytesFrom(this.#options.seed + this.#count, length);
  }

  #startRival(slot: string, everyMs: number | null): () => void {
    const { statPath, clock } = this.#options;
    const rival = new Rival({ socketPath: statPath, slot: parseName(slot), clock, everyMs });
    rival.start();
    return () => rival.stop();
  }

  #spoilDeviceNames(vm: string | null): () => void {
    const { stat } = this.#options;
    this.#spoilt.add(vm);
    stat.spoil = (frame, sample) =>
      this.#spoilt.has(null) || this.#spoilt.has(sample.fullName) ? withoutUtf8(frame, sample) : frame;
    return () => {
      this.#spoilt.delete(vm);
      if (this.#spoilt.size === 0) stat.spoil = null;
    };
  }
}

/** A length prefix and what comes after it, which need not be that much. */
function announcement(length: number, bytes: Buffer): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeInt32BE(length);
  return Buffer.concat([prefix, bytes]);
}

/** The first byte of every device name becomes one that UTF-8 has no use for. The frame's length stays. */
function withoutUtf8(frame: Buffer, vm: SimulatedVm): Buffer {
  for (const device of vm.spec.interfaces) {
    const name = Buffer.from(device);
    const element = Buffer.concat([Buffer.from([Tag.utf8String, name.length]), name]);
    // A unikernel's own name holds a colon and is no device's, so the first match is the device.
    const at = frame.indexOf(element);
    if (at >= 0) frame[at + 2] = 0xff;
  }
  return frame;
}

/** A data message under a tag that no Albatross has used. */
function unknownData(): Buffer {
  const header = element(Tag.sequence, integer.write(5), int64.write(0), utf8.write(":"));
  const content = element(Tag.sequence, utf8.write("a kind of data that does not exist yet"));
  const data = element(context(3), element(context(13), content));
  return encodeFrame(element(Tag.sequence, header, data));
}
