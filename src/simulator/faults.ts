/** The ways a simulated host can misbehave. Where a fault says `slot`, null means every subscriber. */
export type Fault = StatFault | VmmdFault | TlsFault;

export type StatFault =
  /** Random bytes into the stream: sooner or later they read as an impossible length. */
  | { readonly type: "garbage"; readonly slot: string | null; readonly bytes: number }
  /** A length prefix that announces this much (2147483647, 0, -1), and a few bytes after it. */
  | { readonly type: "frame_length"; readonly slot: string | null; readonly announced: number }
  /** A frame of the right length whose content is no message. */
  | { readonly type: "undecodable"; readonly slot: string | null }
  /** A data message of a kind that nobody knows. */
  | { readonly type: "unknown_data"; readonly slot: string | null }
  /** The next sample is cut in the middle, and nothing follows on that connection. */
  | { readonly type: "half_frame"; readonly slot: string | null }
  /** The daemon closes the connection. */
  | { readonly type: "close"; readonly slot: string | null }
  /** The subscriptions are forgotten, not closed: nothing comes any more. A new subscribe works. */
  | { readonly type: "forget" }
  /** While it lasts samples are held back; then they arrive at once. */
  | { readonly type: "stall"; readonly slot: string | null }
  /** While it lasts a subscribe is acknowledged and nothing follows. */
  | { readonly type: "silent" }
  /** While it lasts connections are taken and never answered. */
  | { readonly type: "no_reply" }
  /** While it lasts albatross-stats does not run: no socket. */
  | { readonly type: "stat_gone" }
  /** While it lasts all devices of this VM (null: of every VM) have a name that is not UTF-8. */
  | { readonly type: "device_name"; readonly vm: string | null }
  /** While it lasts another client takes the slot again as soon as it has lost it, or every `everyMs`. */
  | { readonly type: "rival"; readonly slot: string; readonly everyMs: number | null };

/** These befall who connects to the TLS endpoint, where a host has one. */
export type TlsFault =
  /** While it lasts the handshake waits. */
  | { readonly type: "tls_slow"; readonly everyMs: number }
  /** While it lasts connections are taken and nothing is said. */
  | { readonly type: "tls_no_reply" }
  /** While it lasts connections are closed at once. */
  | { readonly type: "tls_close" }
  /** While it lasts the endpoint does not run: nobody listens. */
  | { readonly type: "tls_gone" };

export type VmmdFault =
  /** While it lasts albatrossd does not run: no socket. (Its VMs and albatross-stats carry on.) */
  | { readonly type: "vmmd_gone" }
  /** While it lasts nobody but root may open the socket. */
  | { readonly type: "vmmd_unreadable" }
  /** While it lasts albatrossd has no console: nothing can be created. */
  | { readonly type: "console_gone" }
  | CommandFault;

/** As the commands are called in faults and in the list of requests. */
export const COMMANDS = [
  "create",
  "force_create",
  "destroy",
  "restart",
  "get",
  "info",
  "policy_info",
  "policy_add",
  "other",
] as const;
export type CommandKind = (typeof COMMANDS)[number];

/** When a daemon dies. */
export const DEATHS = ["connected", "receiving", "received", "carried_out"] as const;

/** Which commands a fault meets while it lasts: all, where it does not say. */
export interface CommandFilter {
  readonly command?: CommandKind | null;
  /** the name that the command is about */
  readonly vm?: string | null;
  /** only so many of them */
  readonly times?: number | null;
  /** in percent; which ones that are comes from the scenario's seed */
  readonly chance?: number | null;
}

/** What befalls a command to albatrossd. Where it says `carriedOut`, albatrossd did what it was told before. */
export type CommandFault = CommandFilter &
  (
    | { readonly type: "vmmd_close"; readonly carriedOut?: boolean }
    | { readonly type: "vmmd_no_reply"; readonly carriedOut?: boolean }
    | { readonly type: "vmmd_garbage"; readonly carriedOut?: boolean }
    /** albatrossd dies; all its VMs are started again, and it is back after 2 s. */
    | { readonly type: "vmmd_die"; readonly when: (typeof DEATHS)[number] }
    /** The reply comes in pieces of so many bytes (null: all at once), each after `everyMs`. */
    | { readonly type: "vmmd_slow"; readonly everyMs: number; readonly bytes?: number | null }
    | { readonly type: "vmmd_fail"; readonly text: string }
    /** A destroy that its process ignores: not answered until this ends. The last to ask gets the answer. */
    | { readonly type: "vmmd_ignore_term" }
    /** A created unikernel exits at once. */
    | { readonly type: "vmmd_exit" }
  );

export type FaultType = Fault["type"];

/** Faults that are over as soon as they have happened; the others last until they are ended. */
export const MOMENTARY_FAULTS: ReadonlySet<FaultType> = new Set<FaultType>([
  "garbage",
  "frame_length",
  "undecodable",
  "unknown_data",
  "half_frame",
  "close",
  "forget",
]);

/** One line for people. */
export function describeFault(fault: Fault): string {
  const details = Object.entries(fault)
    .filter(([key, value]) => key !== "type" && value !== null && value !== undefined)
    .map(([key, value]) => ` ${key} ${value}`);
  return `${fault.type}${details.join("")}`;
}
