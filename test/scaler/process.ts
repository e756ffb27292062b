/** The program's inner half, fleet and scaler, on a virtual clock: started, killed and started again. */

import type { Sample } from "../../src/client/receiver.ts";
import type { Cancel, Clock } from "../../src/clock.ts";
import type { ScalerConfig } from "../../src/config/scaler.ts";
import { Fleet } from "../../src/fleet/fleet.ts";
import { createLogger, type Logger } from "../../src/log.ts";
import { ImageCache } from "../../src/scaler/actions/images.ts";
import { parseRecord } from "../../src/scaler/actions/record.ts";
import type { LineLog, LoggedDecision } from "../../src/scaler/report/log.ts";
import type { Source } from "../../src/scaler/rules/types.ts";
import { Scaler, type ScalerFiles } from "../../src/scaler/scaler.ts";
import { FleetSource } from "../../src/scaler/sources/fleet.ts";
import { type PromqlOptions, PromqlSource } from "../../src/scaler/sources/promql.ts";
import {
  parseState,
  type SavedState,
  type Targets,
  UnreadableState,
} from "../../src/scaler/state/savedState.ts";
import type { Store } from "../../src/scaler/state/stateFile.ts";
import type { NamedInfo } from "../../src/wire/messages.ts";
import type { FakeClock } from "../support/fakeClock.ts";
import { arrivingNow } from "../support/stats.ts";
import type { Receiver } from "../support/world.ts";

/** A clock of a process of its own: monotonic time has another origin, timers end with the process. */
class ProcessClock implements Clock {
  readonly #machine: FakeClock;
  readonly #originUs: number;
  #isAlive = true;

  constructor(machine: FakeClock, upUs: number) {
    this.#machine = machine;
    this.#originUs = machine.nowUs() - upUs;
  }

  nowUs(): number {
    return this.#machine.nowUs() - this.#originUs;
  }

  wallMs(): number {
    return this.#machine.wallMs();
  }

  after(delayMs: number, callback: () => void): Cancel {
    return this.#machine.after(delayMs, () => {
      if (this.#isAlive) callback();
    });
  }

  end(): void {
    this.#isAlive = false;
  }
}

/** What outlives a process: the state file's text and the decision log's lines. */
export class Disk implements ScalerFiles {
  text: string | null = null;
  recordText: string | null = null;
  readonly lines: LoggedDecision[] = [];
  /** why the state file cannot be read, if it cannot */
  unreadable: string | null = null;

  /** paths of the state files asked for */
  readonly opened: string[] = [];
  /** those that were waited for until they were on the disk */
  readonly flushed: string[] = [];

  state({ stateFile }: ScalerConfig): Store<SavedState> {
    this.opened.push(stateFile);
    return {
      path: stateFile,
      load: (): SavedState | null => {
        if (this.unreadable !== null) throw new UnreadableState(this.unreadable);
        return this.text === null ? null : parseState(this.text);
      },
      save: async (pieces) => {
        this.text = [...pieces()].join("");
        return true;
      },
      flush: async () => void this.flushed.push(stateFile),
    };
  }

  record() {
    return {
      path: "actions.json",
      load: () => (this.recordText === null ? null : parseRecord(this.recordText)),
      save: async (pieces: () => Iterable<string>) => {
        this.recordText = [...pieces()].join("");
        return true;
      },
      flush: async () => undefined,
    };
  }

  images(): ImageCache {
    return new ImageCache("/nowhere", SILENT);
  }

  decisions(): LineLog {
    return {
      append: (lines) => {
        for (const line of lines) this.lines.push(JSON.parse(line));
      },
      flush: () => Promise.resolve(),
    };
  }
}

/** One evaluation of one group, as far as a restart may not change it. */
export interface Seen {
  readonly time: string;
  readonly group: string;
  readonly decision: string;
  readonly averages: readonly (number | null)[];
}

export interface ProcessOptions {
  readonly machine: FakeClock;
  readonly disk: Disk;
  readonly config: ScalerConfig;
  readonly log?: Logger;
  readonly targets?: Targets;
  /** beside the fleet */
  readonly sources?: readonly Source[];
  /** Prometheus, for policies with `load` */
  readonly connect?: PromqlOptions["connect"];
  /** how long the machine has been up: where monotonic time is at the start */
  readonly upUs?: number;
}

/** Of every host that the tests speak of. */
const TARGETS = new Map(["h", "a", "b", "other", "local"].map((host) => [host, `/run/${host}`]));

const SILENT = createLogger({ level: "error", format: "json" }, { write: () => undefined });

export class Process implements Receiver {
  readonly fleet: Fleet;
  readonly scaler: Scaler;
  /** every evaluation since its start */
  readonly seen: Seen[] = [];
  readonly #clock: ProcessClock;
  #config: ScalerConfig;

  constructor(options: ProcessOptions) {
    const { machine, disk, config, log = SILENT, targets = TARGETS, sources = [], upUs = 0 } = options;
    this.#clock = new ProcessClock(machine, upUs);
    this.fleet = new Fleet({ clock: this.#clock, deathTimeoutMs: config.defaults.deathTimeoutMs });
    const observed = new FleetSource(this.fleet);
    this.#config = config;
    const { connect = () => ({ ask: () => new Promise(() => undefined), close: () => undefined }) } = options;
    const promql = new PromqlSource({
      clock: this.#clock,
      fleet: observed,
      config: () => this.#config,
      connect,
    });
    this.scaler = new Scaler({
      clock: this.#clock,
      log,
      fleet: observed,
      sources: [promql, ...sources],
      config,
      targets: () => targets,
      reach: () => null,
      postHook: async () => null,
      files: disk,
      // once all groups are evaluated
      onTick: () => setImmediate(() => this.#look()),
    });
    this.scaler.start();
  }

  reconfigure(config: ScalerConfig): void {
    this.#config = config;
    this.scaler.reconfigure(config);
  }

  /** A sample arrives now, by its own clock. */
  record(arrived: Omit<Sample, "arrivalUs" | "arrivalWallMs">): void {
    const sample = { ...arrived, ...arrivingNow(this.#clock) };
    this.fleet.record(sample);
    this.scaler.sampleArrived(sample);
  }

  /** Unikernel info answers now, asked for just before. */
  recordInfo(host: string, entries: readonly NamedInfo[]): void {
    this.fleet.recordInfo(host, entries, this.#clock.nowUs());
  }

  /** Ends it as kill -9 does. */
  kill(): void {
    this.#clock.end();
  }

  /** Ends it as SIGTERM does. */
  terminate(): void {
    // the disk here is done at once
    void this.scaler.stop();
    this.#clock.end();
  }

  #look(): void {
    const snapshot = this.fleet.snapshot({ staleAfterUs: () => Number.POSITIVE_INFINITY });
    for (const group of snapshot.groups()) {
      const told = this.scaler.explain(group);
      if (told === null) continue;
      const clone = told.clone ?? told.would?.clone ?? "";
      this.seen.push({
        time: told.time,
        group: `${group.host} ${group.path}:${group.group}`,
        decision: `${told.decision} ${told.reason} ${clone} step=${told.step} clones=${told.clones} high=${told.high_ticks} low=${told.low_ticks}`,
        averages: [told.average_percent, told.average_for_up_percent, told.average_for_down_percent].map(
          (a) => (a === null ? null : Number(a.toFixed(2))),
        ),
      });
    }
  }
}
