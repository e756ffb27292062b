/**
 * Loaded into the exporter before its own code (`node --import`): measures the event loop over the whole run, which its
 * own metrics, that begin anew with each scrape, do not tell. At the end writes the delays in milliseconds to the file
 * that SOAK_PROBE names: the time between two looks that are meant to be 10 ms apart. SOAK_WARM_UP_MS are left out.
 */
import { writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

const SHARES = [50, 90, 99, 99.9];

const histogram = monitorEventLoopDelay();
histogram.enable();
setTimeout(() => histogram.reset(), Number(process.env.SOAK_WARM_UP_MS)).unref();

process.on("exit", () => {
  const milliseconds = SHARES.map((share) => histogram.percentile(share) / 1e6);
  writeFileSync(process.env.SOAK_PROBE, JSON.stringify([...milliseconds, histogram.max / 1e6]));
});
