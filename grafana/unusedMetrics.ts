/** Metrics that the program exports and that are on no dashboard and in no rule, each with the reason. */
const HEAP_SPACES =
  "Parts of the heap, which is on the Exporter dashboard as a whole: for those who debug the program.";
const ACTIVE = "What keeps the program's event loop going: for those who debug the program.";
const DELAYS = "The event loop's delay is shown by its median, its slowest hundredth and its maximum.";

export const unusedMetrics: Readonly<Record<string, string>> = {
  albatross_info_errors_total:
    "The alert AlbatrossInfoDown tells of albatrossd, with these counts by reason.",
  albatross_scaler_hook_failures_total:
    "The log and the API's list of actions say which hook of which action failed.",
  albatross_group_outdated_clones:
    "Said, not mended: for whoever updates primaries, to see when the clones have followed.",
  albatross_stats_implausible_total:
    "Steps of counters that were left out of every figure; the log names the first VM of a host.",
  process_cpu_seconds_total: "The sum of user and system time, which are shown.",
  process_virtual_memory_bytes:
    "Node reserves address space generously; it says nothing about memory in use.",
  process_heap_bytes: "What the C library counts of the process' memory; the resident size is shown.",
  nodejs_eventloop_lag_seconds:
    "One delay measured at the moment of the scrape; the delays between two scrapes are shown.",
  nodejs_eventloop_lag_min_seconds: DELAYS,
  nodejs_eventloop_lag_mean_seconds: DELAYS,
  nodejs_eventloop_lag_stddev_seconds: DELAYS,
  nodejs_eventloop_lag_p90_seconds: DELAYS,
  nodejs_active_resources: ACTIVE,
  nodejs_active_handles: ACTIVE,
  nodejs_active_requests: ACTIVE,
  nodejs_heap_space_size_total_bytes: HEAP_SPACES,
  nodejs_heap_space_size_used_bytes: HEAP_SPACES,
  nodejs_heap_space_size_available_bytes: HEAP_SPACES,
  nodejs_version_info: "The version of Node is a label of albatross_exporter_build_info, which is shown.",
  albatross_exporter_log_lines_lost_total: "For whoever looks for a line that the log should have.",
};
