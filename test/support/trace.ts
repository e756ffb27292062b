import { readFileSync } from "node:fs";
import type { IfData, Int64, KinfoMem, Rusage, Stats } from "../../src/wire/messages.ts";
import { type Name, parseName } from "../../src/wire/names.ts";

/** One sample of a recorded trace, back in the form that the wire decoder gives. */
export interface TraceSample {
  readonly wallMs: number;
  readonly host: string;
  readonly name: Name;
  readonly stats: Stats;
}

type JsonInt = string | number;
interface JsonTime {
  readonly sec: JsonInt;
  readonly usec: JsonInt;
}
type JsonFields = Readonly<Record<string, JsonInt>>;

interface TraceLine {
  readonly time: string;
  readonly host: string;
  readonly header?: { readonly name: string };
  readonly payload?: {
    readonly rusage: JsonFields & { readonly utime: JsonTime; readonly stime: JsonTime };
    readonly kinfo_mem: (JsonFields & { readonly start: JsonTime }) | null;
    readonly vmm: readonly { readonly key: string; readonly value: JsonInt }[] | null;
    readonly ifdata: readonly (JsonFields & { readonly bridge: string })[];
  };
}

/** The samples of a trace file (`record`'s format), in order; lines that are none are skipped. */
export function readTrace(file: string | URL): TraceSample[] {
  const samples: TraceSample[] = [];
  for (const text of readFileSync(file, "utf8").split("\n")) {
    if (text === "") continue;
    const line: TraceLine = JSON.parse(text);
    if (line.header === undefined || line.payload === undefined) continue;
    samples.push({
      wallMs: Date.parse(line.time),
      host: line.host,
      name: parseName(line.header.name),
      stats: statsFrom(line.payload),
    });
  }
  return samples;
}

function statsFrom({ rusage, kinfo_mem, vmm, ifdata }: NonNullable<TraceLine["payload"]>): Stats {
  return {
    rusage: rusageFrom(rusage),
    kinfoMem: kinfo_mem === null ? null : kinfoMemFrom(kinfo_mem),
    vmm: vmm?.map(({ key, value }) => ({ key, value: int(value) })) ?? null,
    ifdata: ifdata.map(interfaceFrom),
  };
}

function rusageFrom({ utime, stime, ...counters }: NonNullable<TraceLine["payload"]>["rusage"]): Rusage {
  const field = (name: string) => int(counters[name]);
  return {
    utimeSec: int(utime.sec),
    utimeUsec: int(utime.usec),
    stimeSec: int(stime.sec),
    stimeUsec: int(stime.usec),
    maxrss: field("maxrss"),
    ixrss: field("ixrss"),
    idrss: field("idrss"),
    isrss: field("isrss"),
    minflt: field("minflt"),
    majflt: field("majflt"),
    nswap: field("nswap"),
    inblock: field("inblock"),
    outblock: field("outblock"),
    msgsnd: field("msgsnd"),
    msgrcv: field("msgrcv"),
    nsignals: field("nsignals"),
    nvcsw: field("nvcsw"),
    nivcsw: field("nivcsw"),
  };
}

function kinfoMemFrom({ start, ...fields }: JsonFields & { readonly start: JsonTime }): KinfoMem {
  return {
    vsize: int(fields["vsize"]),
    rss: int(fields["rss"]),
    tsize: int(fields["tsize"]),
    dsize: int(fields["dsize"]),
    ssize: int(fields["ssize"]),
    runtime: int(fields["runtime"]),
    cow: int(fields["cow"]),
    startSec: int(start.sec),
    startUsec: int(start.usec),
  };
}

function interfaceFrom({ bridge, ...fields }: JsonFields & { readonly bridge: string }): IfData {
  const field = (name: string) => int(fields[name]);
  return {
    bridge,
    flags: field("flags"),
    sendLength: field("send_length"),
    maxSendLength: field("max_send_length"),
    sendDrops: field("send_drops"),
    mtu: field("mtu"),
    baudrate: field("baudrate"),
    inputPackets: field("input_packets"),
    inputErrors: field("input_errors"),
    outputPackets: field("output_packets"),
    outputErrors: field("output_errors"),
    collisions: field("collisions"),
    inputBytes: field("input_bytes"),
    outputBytes: field("output_bytes"),
    inputMcast: field("input_mcast"),
    outputMcast: field("output_mcast"),
    inputDropped: field("input_dropped"),
    outputDropped: field("output_dropped"),
  };
}

function int(value: JsonInt | undefined): Int64 {
  if (value === undefined) throw new Error("a sample of the trace lacks a field");
  const exact = BigInt(value);
  const number = Number(exact);
  return Number.isSafeInteger(number) ? number : exact;
}
