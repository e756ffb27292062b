/** Messages in the shape that `decode` prints, as far as the end-to-end tests read them. */

/** 64-bit values are text, others are numbers. */
type Int = string | number;

export interface JsonTime {
  readonly sec: Int;
  readonly usec: Int;
}

interface JsonHeader {
  readonly name: string;
  readonly path: readonly string[];
  readonly label: string | null;
}

type JsonFields<Names extends string> = Readonly<Record<Names, Int>>;

export type JsonRusage = JsonFields<
  | "maxrss"
  | "ixrss"
  | "idrss"
  | "isrss"
  | "minflt"
  | "majflt"
  | "nswap"
  | "inblock"
  | "outblock"
  | "msgsnd"
  | "msgrcv"
  | "nsignals"
  | "nvcsw"
  | "nivcsw"
> & { readonly utime: JsonTime; readonly stime: JsonTime };

export type JsonKinfo = JsonFields<"vsize" | "rss" | "tsize" | "dsize" | "ssize" | "runtime" | "cow"> & {
  readonly start: JsonTime;
};

export type JsonDevice = JsonFields<
  | "flags"
  | "send_length"
  | "max_send_length"
  | "send_drops"
  | "mtu"
  | "baudrate"
  | "input_packets"
  | "input_errors"
  | "output_packets"
  | "output_errors"
  | "collisions"
  | "input_bytes"
  | "output_bytes"
  | "input_mcast"
  | "output_mcast"
  | "input_dropped"
  | "output_dropped"
> & { readonly bridge: string };

export interface StatsMessage {
  readonly header: JsonHeader;
  readonly payload: {
    readonly rusage: JsonRusage;
    readonly kinfo_mem: JsonKinfo | null;
    readonly ifdata: readonly JsonDevice[];
  };
}

export interface JsonUnikernel {
  readonly name: string;
  readonly info: {
    readonly typ: string;
    readonly digest: string;
    readonly cpuids: readonly number[];
    readonly memory: number;
    readonly started: string;
    readonly numcpus: number;
  };
}

export interface InfoMessage {
  readonly payload: { readonly unikernels: readonly JsonUnikernel[] };
}

export interface PoliciesMessage {
  readonly payload: {
    readonly policies: readonly {
      readonly name: string;
      readonly policy: {
        readonly unikernels: Int;
        readonly memory: number;
        readonly block: number | null;
      };
    }[];
  };
}
