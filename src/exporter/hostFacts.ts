import type { TargetConfig } from "../config/types.ts";
import type { HostFacts } from "./row.ts";

/** Tells what the configuration says of a record's host. */
export type FactsOf = (host: string) => HostFacts;

/** A target that the configuration no longer has may still have VMs for a moment after a reload. */
const UNKNOWN_HOST: HostFacts = { os: "linux", pageSizeBytes: 4096 };

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
