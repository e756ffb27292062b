import type { BenchRow } from "./types.ts";

/** The parts of the bench, in the order of the design's table. Each is loaded in a process of its own. */
export const PARTS: Readonly<Record<string, () => Promise<readonly BenchRow[]>>> = {
  decode: async () => (await import("./decode.ts")).benchDecode(),
  fleet: async () => (await import("./fleet.ts")).fleetRows(),
  tick: async () => (await import("./tick.ts")).tickRows(),
  load: async () => (await import("./load.ts")).loadRows(),
  act: async () => (await import("./act.ts")).actRows(),
  render: async () => (await import("./render.ts")).renderRows(),
  scrape: async () => (await import("./scrape.ts")).scrapeRows(),
  tls: async () => (await import("./tlsHosts.ts")).tlsHostsRows(),
  backtest: async () => (await import("./backtest.ts")).backtestRows(),
};
