/** What the exporter's metrics say of themselves beyond what every metric does. */
import type { CollectorName } from "../config/sections.ts";
import type { TargetConfig, TargetOs } from "../config/target.ts";
import type { PlainTableRow, RowHead, TableRow } from "../exposition/row.ts";

/** What the wire leaves out and the configuration of the target says. */
export interface HostFacts {
  readonly os: TargetOs;
  readonly pageSizeBytes: number;
}

/** Always exported, whatever `exporter.collectors` says. */
export type RowCollector = CollectorName | null;

export interface RowMeta extends RowHead {
  /** names the original field, in backquotes */
  readonly help: string;
  readonly collector: RowCollector;
  /** path of the field in the decoded message, or where else the figure comes from */
  readonly source: string;
  /** measurement and field of albatross-influx that carry the same figure */
  readonly influx: string | null;
  /** operating systems that leave the field at zero or fill it with something else */
  readonly unfilledOn?: readonly TargetOs[];
}

/** `H` is what the value may ask about the item's host: null where it never does. */
export type Row<T, H = HostFacts> = RowMeta & TableRow<T, H>;

/** A row whose series are all made the same way, so that a walker may repeat it per device. */
export type PlainRow<T, H = HostFacts> = RowMeta & PlainTableRow<T, H>;

/** Tells what the configuration says of a record's host. */
export type FactsOf = (host: string) => HostFacts;

/** A target that the configuration no longer has may still have VMs for a moment after a reload. */
export const UNKNOWN_HOST: HostFacts = { os: "linux", pageSizeBytes: 4096 };

/** VMs come ordered by host, so nearly every call asks for the same host as the one before. */
export function factsFrom(targets: readonly TargetConfig[]): FactsOf {
  const byHost = new Map<string, HostFacts>(
    targets.map(({ name, os, pageSizeBytes }) => [name, { os, pageSizeBytes }]),
  );
  let lastHost: string | null = null;
  let last = UNKNOWN_HOST;
  return (host) => {
    if (host !== lastHost) {
      lastHost = host;
      last = byHost.get(host) ?? UNKNOWN_HOST;
    }
    return last;
  };
}
