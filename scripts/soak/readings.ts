/** What one scrape of the exporter says about the exporter, and what the scrape itself was like. */
export interface Reading {
  /** seconds since the first scrape */
  readonly atSeconds: number;
  readonly residentBytes: number;
  /** after whatever V8 has collected so far: goes up and down between collections */
  readonly heapUsedBytes: number;
  readonly externalBytes: number;
  readonly openDescriptors: number;
  /** user and system, since the start of the process */
  readonly cpuSeconds: number;
  /**
   * Delay of the event loop since the scrape before, in milliseconds: the time between two looks that are meant to be
   * 10 ms apart, so an idle loop has about 10.
   */
  readonly loopP50Ms: number;
  readonly loopP99Ms: number;
  readonly loopMaxMs: number;
  /** VMs with a CPU usage */
  readonly vms: number;
  readonly scrapeMs: number;
  readonly scrapeBytes: number;
}

/** Reads one answer of `/metrics` in text format. Throws when a figure is missing. */
export function readingFrom(
  text: string,
  measured: Pick<Reading, "atSeconds" | "scrapeMs" | "scrapeBytes">,
): Reading {
  const figures = new Map<string, number>();
  let vms = 0;
  for (const line of text.split("\n")) {
    const [, name, value] = /^((?:process|nodejs)_\w+) (\S+)$/.exec(line) ?? [];
    if (name !== undefined) figures.set(name, Number(value));
    else if (line.startsWith("albatross_vm_cpu_usage_percent{")) vms++;
  }
  const figure = (name: string): number => {
    const value = figures.get(name);
    if (value === undefined) throw new Error(`the exporter does not say ${name}`);
    return value;
  };
  return {
    ...measured,
    residentBytes: figure("process_resident_memory_bytes"),
    heapUsedBytes: figure("nodejs_heap_size_used_bytes"),
    externalBytes: figure("nodejs_external_memory_bytes"),
    openDescriptors: figure("process_open_fds"),
    cpuSeconds: figure("process_cpu_seconds_total"),
    loopP50Ms: figure("nodejs_eventloop_lag_p50_seconds") * 1000,
    loopP99Ms: figure("nodejs_eventloop_lag_p99_seconds") * 1000,
    loopMaxMs: figure("nodejs_eventloop_lag_max_seconds") * 1000,
    vms,
  };
}
