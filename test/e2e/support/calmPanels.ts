/** The queries of panels and annotations that show nothing, or nothing but zero, on a Linux host where all is well. */

const FREEBSD_ONLY = "Linux leaves the field at zero, and the exporter leaves it out";
const RESTARTS = "no VM restarts";
const NO_ACTION = "in dry run nothing is carried out";
const NO_TLS = "no host is reached by TLS";
const NO_LOAD = "no policy has a load from PromQL";

/** Dashboard and panel with the letter of its query, or annotation, and why there is no data. */
export const EMPTY_WHILE_CALM: Readonly<Record<string, string>> = {
  "exporter: Certificates expire in A": NO_TLS,
  "exporter: Connections made and ended B": "no connection ends",
  "exporter: Decode errors by reason A": "every message is understood",
  "exporter: Configuration taken": "nobody changes the configuration",
  "fleet: Restarts by VM A": RESTARTS,
  "scaler: Actions A": NO_ACTION,
  "scaler: Duration of actions A": NO_ACTION,
  "scaler: Load from PromQL A": NO_LOAD,
  "scaler: Load from PromQL B": NO_LOAD,
  "scaler: Load from PromQL C": NO_LOAD,
  "scaler: Failed queries of loads A": NO_LOAD,
  "vm: Restarts": RESTARTS,
  "vm: Packets D": FREEBSD_ONLY,
  "vm: Errors, drops and collisions F": FREEBSD_ONLY,
  "vm: Send queue A": FREEBSD_ONLY,
  "vm: Send queue B": FREEBSD_ONLY,
  "vm: Devices B": FREEBSD_ONLY,
  "vm: Memory by kind D": FREEBSD_ONLY,
  "vm: Memory by kind E": FREEBSD_ONLY,
  "vm: Memory over CPU time A": FREEBSD_ONLY,
  "vm: Swaps, block operations, messages, signals, copies A": FREEBSD_ONLY,
  "vm: Swaps, block operations, messages, signals, copies B": FREEBSD_ONLY,
  "vm: Swaps, block operations, messages, signals, copies C": FREEBSD_ONLY,
  "vm: Swaps, block operations, messages, signals, copies D": FREEBSD_ONLY,
  "vm: Swaps, block operations, messages, signals, copies E": FREEBSD_ONLY,
  "vm: Figures of the monitor A": "only a host with bhyve sends counters of its vmm",
};

/** Likewise, and why it is zero. */
export const ZERO_WHILE_CALM: Readonly<Record<string, string>> = {
  "exporter: Displaced or blocked A": "nobody else takes the subscription",
  "exporter: Decode errors A": "every message is understood",
  "exporter: VMs left out A": "there is no cap",
  "fleet: Restarts A": RESTARTS,
  "fleet: Every VM F": RESTARTS,
  "vm: Restarts A": RESTARTS,
  "vm: Restarts over time A": RESTARTS,
};
