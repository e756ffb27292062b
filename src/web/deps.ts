import type { TargetSnapshot } from "../client/target.ts";
import type { Clock } from "../clock.ts";
import type { WebConfig } from "../config/types.ts";
import type { Family } from "../exposition/family.ts";
import type { Logger } from "../log.ts";
import type { RecentQuery } from "../scaler/report/log.ts";
import type { ScalerSummary } from "../scaler/scaler.ts";
import type { Broadcast } from "../trace/broadcast.ts";

/** What the web side needs of the rest of the program. Everything is asked for anew with each request. */
export interface WebDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly build: BuildInfo;
  readonly settings: () => WebSettings;
  /** The families of one scrape. A failure is answered with 500, counted and logged. */
  readonly collect: () => Iterable<Family> | Promise<Iterable<Family>>;
  readonly targets: () => readonly TargetSnapshot[];
  /** One JSON value per VM, made as it is pulled; bigints become decimal text. */
  readonly vms: () => Iterable<unknown>;
  /** One JSON value per group, likewise. */
  readonly groups: () => Iterable<unknown>;
  /** The last decisions of the scaler, newest first. */
  readonly decisions: (query: RecentQuery) => readonly unknown[];
  readonly scaler: () => ScalerSummary;
  /** JSON lines, each published under its host's name, or under none where it concerns all. */
  readonly stream: Broadcast<string>;
  /** The configuration in force, as YAML. */
  readonly configText: () => string;
  readonly ready: () => boolean;
  readonly scrapes: ScrapeObserver;
  /** A client of the stream was cut because it did not keep up. */
  readonly streamDropped: () => void;
  readonly streamLimits?: StreamLimits;
}

export type WebSettings = Pick<WebConfig, "telemetryPath" | "maxRequests" | "writeTimeoutMs">;

export interface BuildInfo {
  readonly version: string;
  /** The commit it was built from, where that is known. */
  readonly revision?: string;
}

/**
 * How a scrape ended: `ok` all handed to the client's connection; `timeout` not taken in time; `aborted` the client
 * went away; `rejected` too many at once; `error` the families could not be collected or written.
 */
export type ScrapeOutcome = "ok" | "timeout" | "aborted" | "rejected" | "error";

export interface FinishedScrape {
  readonly outcome: ScrapeOutcome;
  readonly durationSeconds: number;
  /** Series rendered, also where not all of them were taken. */
  readonly series: number;
  /** Bytes rendered, before compression. */
  readonly bytes: number;
}

export interface ScrapeObserver {
  finished(scrape: FinishedScrape): void;
}

export interface StreamLimits {
  /** Clients of the stream at once. */
  readonly maxClients: number;
  /** What may wait for one client before it is dropped. */
  readonly maxBacklogBytes: number;
}
