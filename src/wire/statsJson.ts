import { integerToJson, type JsonObject, timevalToJson } from "./jsonValues.ts";
import type { IfData, KinfoMem, Rusage, Stats } from "./messages.ts";

export function statsToJson(stats: Stats): JsonObject {
  return {
    rusage: rusageToJson(stats.rusage),
    kinfo_mem: stats.kinfoMem === null ? null : kinfoToJson(stats.kinfoMem),
    vmm: stats.vmm === null ? null : stats.vmm.map(({ key, value }) => ({ key, value: String(value) })),
    ifdata: stats.ifdata.map(interfaceToJson),
  };
}

function rusageToJson(rusage: Rusage): JsonObject {
  return {
    utime: timevalToJson(rusage.utimeSec, rusage.utimeUsec),
    stime: timevalToJson(rusage.stimeSec, rusage.stimeUsec),
    maxrss: String(rusage.maxrss),
    ixrss: String(rusage.ixrss),
    idrss: String(rusage.idrss),
    isrss: String(rusage.isrss),
    minflt: String(rusage.minflt),
    majflt: String(rusage.majflt),
    nswap: String(rusage.nswap),
    inblock: String(rusage.inblock),
    outblock: String(rusage.outblock),
    msgsnd: String(rusage.msgsnd),
    msgrcv: String(rusage.msgrcv),
    nsignals: String(rusage.nsignals),
    nvcsw: String(rusage.nvcsw),
    nivcsw: String(rusage.nivcsw),
  };
}

function kinfoToJson(kinfo: KinfoMem): JsonObject {
  return {
    vsize: String(kinfo.vsize),
    rss: String(kinfo.rss),
    tsize: String(kinfo.tsize),
    dsize: String(kinfo.dsize),
    ssize: String(kinfo.ssize),
    runtime: String(kinfo.runtime),
    cow: integerToJson(kinfo.cow),
    start: timevalToJson(kinfo.startSec, kinfo.startUsec),
  };
}

function interfaceToJson(one: IfData): JsonObject {
  return {
    bridge: one.bridge,
    flags: integerToJson(one.flags),
    send_length: integerToJson(one.sendLength),
    max_send_length: integerToJson(one.maxSendLength),
    send_drops: integerToJson(one.sendDrops),
    mtu: integerToJson(one.mtu),
    baudrate: String(one.baudrate),
    input_packets: String(one.inputPackets),
    input_errors: String(one.inputErrors),
    output_packets: String(one.outputPackets),
    output_errors: String(one.outputErrors),
    collisions: String(one.collisions),
    input_bytes: String(one.inputBytes),
    output_bytes: String(one.outputBytes),
    input_mcast: String(one.inputMcast),
    output_mcast: String(one.outputMcast),
    input_dropped: String(one.inputDropped),
    output_dropped: String(one.outputDropped),
  };
}
