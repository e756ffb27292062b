/**
 * Wire version 5 as a grammar: what is read, written, and printed by `decode`. The types of the messages follow from it.
 * Field names are the wire's own (see the albatross protocol text); what a field of the statistics means, and in which
 * unit, is the business of the exporter's metric tables.
 */
import {
  anything,
  boolean,
  called,
  choice,
  copiedOctets,
  type DecodeOptions,
  droppable,
  explicit,
  fields,
  fixed,
  inMember,
  inside,
  int64,
  integer,
  integers,
  type JsonObject,
  list,
  longList,
  type Members,
  MessageReader,
  mac,
  mapped,
  members,
  name,
  nothing,
  octets,
  optional,
  orNone,
  orNull,
  type Part,
  type Steps,
  sequence,
  time,
  utf8,
  type Value,
  withDefault,
} from "./asn1.ts";
import { context, DerWriter, type Int64, Tag } from "./der.ts";
import { WireError } from "./errors.ts";
import { formatName, type Name } from "./names.ts";
import { decodeUsualStats, readStatsByStructure, type Stats, stats } from "./stats.ts";

export type { JsonObject, JsonValue } from "./asn1.ts";
export type { Int64 } from "./der.ts";
export { type IfData, type KinfoMem, type Rusage, type Stats, statsToJson, type VmmStat } from "./stats.ts";

const WIRE_VERSION = 5;

const typ = mapped(choice("typ", "typ", { solo5: [0, nothing], bhyve: [1, nothing] }), {
  decoded: (value) => value.typ,
  encoded: (label) => ({ typ: label }),
  json: (label) => label,
});
/** Which exit codes restart it: none listed stands for any, which is null. */
const exitCodes = mapped(called("exit codes", integers(Tag.set)), {
  decoded: (codes) => (codes.length === 0 ? null : codes),
  encoded: (codes) => codes ?? [],
  json: (codes) => codes?.map(integer.json) ?? null,
});
/** What albatrossd does when the unikernel's process exits. */
const failBehaviour = choice("type", "fail_behaviour", {
  quit: [0, nothing],
  restart: [1, fields({ exitCodes })],
});
const startup = optional(integer);
const cpuids = integers(Tag.set);
const argv = called("arguments", optional(explicit(2, list(utf8))));
const numcpus = (number: number) => called("cpus", withDefault(explicit(number, integer), 1));
const linuxBootPartition = (number: number) =>
  called("linux boot partition", optional(explicit(number, utf8)));
const setUnder = <T>(number: number, what: string, element: Part<T>) =>
  called(what, orNone(explicit(number, list(element, Tag.set))));

const blockDevices = setUnder(
  0,
  "block devices",
  sequence({
    unikernelDevice: called("block device", utf8),
    hostDevice: called("host's block device", utf8),
    sectorSize: called("sector size", integer),
    size: called("block size", integer),
  }),
);
const bridges = setUnder(
  1,
  "bridges",
  sequence({
    unikernelDevice: called("network device", utf8),
    hostDevice: called("host's bridge", utf8),
    mac,
  }),
);
/** From the memory (MB) to the start time, null where albatrossd does not say; Albatross itself reads that as the epoch. */
const infoFromMemory = {
  memory: integer,
  digest: copiedOctets,
  blockDevices: droppable("dropDevices", blockDevices, []),
  bridges: droppable("dropDevices", bridges, []),
  argv: droppable("dropArguments", argv, null),
  startedMs: { ...optional(explicit(3, time)), json: (ms: number | null) => time.json(ms ?? 0) },
};
/** What albatrossd says about one unikernel. */
const info = sequence({
  typ,
  startup,
  failBehaviour,
  cpuids,
  ...infoFromMemory,
  numcpus: numcpus(4),
  linuxBootPartition: linuxBootPartition(5),
});
/** The older shapes have one cpuid instead of a set, and end after the start time. */
const oldCpuids = mapped(called("cpuid", integer), {
  decoded: (cpuid): readonly Int64[] => [cpuid],
  encoded: (ids) => ids[0] ?? 0,
  json: cpuids.json,
});
const oldInfoFromCpuid = {
  cpuids: oldCpuids,
  ...infoFromMemory,
  numcpus: fixed(1),
  linuxBootPartition: fixed(null),
};
/** Albatross 2.6 */
const oldInfo5: Part<UnikernelInfo> = sequence({ typ, startup, failBehaviour, ...oldInfoFromCpuid });
/** Albatross 2.4 and 2.5, which know no start-up priority. */
const oldInfo4: Part<UnikernelInfo> = sequence({
  typ,
  startup: fixed(null),
  failBehaviour,
  ...oldInfoFromCpuid,
});
const unikernels = (shape: Part<UnikernelInfo>) =>
  fields({ unikernels: longList(sequence({ name: called("unikernel name", name), info: shape })) });

/** What a new unikernel is made of. A null device or bridge means the host's of the same name. The image is a view. */
const config = sequence({
  typ,
  compressed: boolean,
  image: octets,
  startup,
  addName: boolean,
  failBehaviour,
  cpuids,
  /** MB */
  memory: integer,
  blockDevices: setUnder(
    0,
    "block devices",
    sequence({
      name: called("block device", utf8),
      device: called("host's block device", optional(utf8)),
      sectorSize: called("sector size", optional(integer)),
    }),
  ),
  bridges: setUnder(
    1,
    "bridges",
    sequence({
      name: called("network device", utf8),
      bridge: called("host's bridge", optional(utf8)),
      mac: optional(mac),
    }),
  ),
  argv,
  numcpus: numcpus(3),
  linuxBootPartition: linuxBootPartition(4),
});

/** Limits that hold for one path. A value of 2^62-1 means no limit. */
const policy = sequence(
  {
    cpuids: integers(Tag.sequence),
    unikernels: integer,
    /** MB, as is `block` */
    memory: integer,
    block: optional(integer),
    bridges: list(utf8),
  },
  "policy ",
);

const compression = fields({ compressionLevel: called("compression level", integer) });

/** Since a time, or the last `count` lines. */
const since = fields({ sinceMs: explicit(0, time) });
const count = fields({ count: explicit(1, integer) });
const consoleSubscribe: Members<Value<typeof since> | Value<typeof count>> = {
  tag: -1,
  read: (reader, what) => (reader.peek() === context(0) ? since : count).read(reader, what),
  write: (writer, value) => ("count" in value ? count.write(writer, value) : since.write(writer, value)),
  json: (value) => ("count" in value ? count.json(value) : since.json(value)),
};

const command = choice("class", "command class", {
  console: [
    0,
    choice("command", "command", {
      add: [0, fields({ maxUnikernels: called("max unikernels", integer) })],
      subscribe: [2, consoleSubscribe],
      list_inactive: [3, nothing],
    }),
  ],
  stats: [
    1,
    choice("command", "command", {
      add: [
        0,
        sequence({
          vmmdev: utf8,
          pid: integer,
          taps: list(sequence({ bridge: called("tap's bridge", utf8), tap: utf8 })),
        }),
      ],
      remove: [1, nothing],
      subscribe: [2, nothing],
      initial: [3, nothing],
    }),
  ],
  unikernel: [
    3,
    choice("command", "command", {
      destroy: [3, nothing],
      get: [11, compression],
      /** What to start it with instead, as the DER it came in; null starts it as it was. */
      restart: [
        14,
        fields({
          arguments: orNull(called("restart arguments", explicit(1, anything)), 0, "restart"),
        }),
      ],
      /** Albatross 2.4 and 2.5 */
      old_info4: [15, nothing],
      /** Albatross 2.6 */
      old_info5: [18, nothing],
      info: [19, nothing],
      create: [20, fields({ config })],
      force_create: [21, fields({ config })],
    }),
  ],
  policy: [
    4,
    choice("command", "command", {
      info: [0, nothing],
      add: [1, fields({ policy })],
      remove: [2, nothing],
    }),
  ],
  /** Sizes are MB. */
  block: [
    5,
    choice("command", "command", {
      info: [0, nothing],
      add: [1, fields({ size: called("block size", integer) })],
      remove: [2, nothing],
      old_add: [
        3,
        sequence({
          size: called("block size", integer),
          compressed: boolean,
          data: called("block data", optional(octets)),
        }),
      ],
      old_set: [4, sequence({ compressed: boolean, data: called("block data", octets) })],
      old_dump: [5, compression],
      dump: [6, compression],
      set: [7, fields({ compressed: boolean })],
    }),
  ],
});

/** The image is a view of the message. */
const image = called("image", sequence({ compressed: boolean, image: octets }));
const success = choice("result", "result", {
  empty: [0, nothing],
  string: [1, fields({ string: called("result string", utf8) })],
  policies: [2, fields({ policies: longList(sequence({ name: called("policy name", name), policy })) })],
  /** `size` is MB. */
  block_devices: [
    4,
    fields({
      blockDevices: called(
        "block devices",
        longList(sequence({ name, size: integer, active: boolean }, "block device ")),
      ),
    }),
  ],
  unikernel_image: [6, image],
  old_block_device_image: [7, image],
  old_unikernel_info4: [9, unikernels(oldInfo4)],
  block_device_image: [10, fields({ compressed: boolean })],
  old_unikernel_info5: [11, unikernels(oldInfo5)],
  consoles: [12, fields({ names: called("consoles", list(called("console name", name))) })],
  unikernel_info: [13, unikernels(info)],
});

/** A data message of a newer Albatross that is not understood, which is to be skipped and counted. */
const unknownData: Members<{ readonly tag: number }> = {
  ...fields({ tag: fixed(0) }),
  write(_, { tag }) {
    throw new TypeError(`data of the unknown kind [${tag}] cannot be written`);
  },
  json: (value) => value,
};
const data = choice(
  "data",
  "data",
  {
    stats: [1, inMember("stats", called("statistics", stats))],
    console: [
      3,
      called(
        "console data",
        sequence({
          timestampMs: called("console timestamp", time),
          line: called("console line", utf8),
        }),
      ),
    ],
    /** A part of a block device's content, a view of the message; null ends it. */
    block: [4, fields({ block: orNull(called("block data", explicit(0, octets)), 1, "end of block data") })],
    unknown: [-1, unknownData],
  },
  // Other tags than 2.7's are read by structure; only a bare NULL (the dropped log of older protocols) is refused.
  (reader, tag, at) => {
    const first = reader.peek();
    if (first === -1 || (first === Tag.null && reader.end - reader.pos === 2)) {
      throw new WireError("message", at, `data: [${tag}] holds nothing`);
    }
    const found = readStatsByStructure(reader);
    return found === null ? { data: "unknown", tag } : { data: "stats", stats: found };
  },
);

const version: Part<typeof WIRE_VERSION> = {
  ...fixed(WIRE_VERSION),
  read(reader, what) {
    const at = reader.pos;
    const found = reader.integer(what);
    if (found === WIRE_VERSION) return WIRE_VERSION;
    throw new WireError("version", at, `${what}: expected ${WIRE_VERSION}, found ${found}`);
  },
  write: (writer, value) => writer.integer(value),
};
const header = called(
  "header",
  inside(
    Tag.sequence,
    members(fields({ version, sequence: int64 }), {
      ...fields({ name }),
      json: (value: { readonly name: Name }) => nameToJson(value.name),
    }),
  ),
);

const message = fields({
  header,
  payload: choice("type", "payload", {
    command: [0, inMember("command", command)],
    success: [1, success],
    failure: [2, fields({ message: called("failure", utf8) })],
    data: [3, data],
  }),
});

export type Header = Value<typeof header>;
export type UnikernelInfo = Value<typeof info>;
export type Policy = Value<typeof policy>;
export type Message = Value<typeof message>;
export type Command = Value<typeof command>;
export type UnikernelCommand = Extract<Command, { class: "unikernel" }>;
export type Payload = Message["payload"];
type Success = Extract<Payload, { type: "success" }>;
export type NamedPolicy = Extract<Success, { result: "policies" }>["policies"][number];
export type NamedInfo = Extract<Success, { result: InfoResult }>["unikernels"][number];

/** Which of the info replies: the answers to `info`, `old_info5` and `old_info4`. */
type InfoResult = "unikernel_info" | "old_unikernel_info5" | "old_unikernel_info4";
/** `old_info5` is Albatross 2.6's, `old_info4` that of 2.4 and 2.5. */
export type InfoCommand = "info" | "old_info5" | "old_info4";

/**
 * Decodes one message: the content of a frame. Images and block data are views of `frame`, everything else is copied.
 * Throws a WireError "der", "version", "name" or "message", never anything else.
 */
export function decodeMessage(frame: Uint8Array, options?: DecodeOptions): Message {
  return decodeUsualStats(frame) ?? decodeAnyMessage(frame, options);
}

/** As `decodeMessage`, without the short cut for statistics: the rule that the short cut is tested against. */
export function decodeAnyMessage(frame: Uint8Array, options?: DecodeOptions): Message {
  return readMessage(new MessageReader(frame, options));
}

/**
 * As `decodeMessage`, in steps: info about 10,000 unikernels takes 50 ms to decode, and whoever has other work pauses
 * between two of them. `frame` must stay as it is until the last.
 */
export function* decodeInSteps(frame: Uint8Array, options?: DecodeOptions): Steps<Message> {
  const unfilled: Steps<void>[] = [];
  const decoded = readMessage(new MessageReader(frame, options, unfilled));
  for (const steps of unfilled) yield* steps;
  return decoded;
}

function readMessage(reader: MessageReader): Message {
  const outer = reader.enter(Tag.sequence, "message");
  if (reader.end !== outer) {
    const more = outer - reader.end;
    throw new WireError("der", reader.end, `message: expected its end, found ${more} more bytes`);
  }
  const decoded = message.read(reader, "message");
  reader.leave(outer, "message");
  return decoded;
}

/** Encodes one message, without its length prefix. Throws a TypeError for data "unknown". */
export function encodeMessage(value: Message): Buffer {
  const writer = new DerWriter();
  inside(Tag.sequence, message).write(writer, value);
  return writer.finish();
}

/** A message in the shape that `decode` prints, field names as in the protocol. */
export function messageToJson(value: Message): JsonObject {
  return message.json(value);
}

/** A name as text and in its parts. */
function nameToJson(value: Name): JsonObject {
  return { name: formatName(value), path: value.path, label: value.label };
}

// The messages that this project sends: a client's questions, and a simulated host's answers.

export function makeHeader(to: Name, sequenceNumber: Int64 = 0): Header {
  return { version: WIRE_VERSION, sequence: sequenceNumber, name: to };
}

/** Subscribes to the statistics of every unikernel at or below `to`. */
export function subscribeCommand(to: Name, sequenceNumber: Int64 = 0): Message {
  return {
    header: makeHeader(to, sequenceNumber),
    payload: { type: "command", command: { class: "stats", command: "subscribe" } },
  };
}

/** Asks for unikernel info; `old_info5` and `old_info4` are for daemons before 2.7. */
export function unikernelInfoCommand(
  to: Name,
  sequenceNumber: Int64 = 0,
  age: InfoCommand = "info",
): Message {
  return {
    header: makeHeader(to, sequenceNumber),
    payload: { type: "command", command: { class: "unikernel", command: age } },
  };
}

export function policyInfoCommand(to: Name, sequenceNumber: Int64 = 0): Message {
  return {
    header: makeHeader(to, sequenceNumber),
    payload: { type: "command", command: { class: "policy", command: "info" } },
  };
}

/** One sample, as albatross-stats pushes it: its sequence number is always 0. */
export function statsMessage(name: Name, stats: Stats): Message {
  return { header: makeHeader(name), payload: { type: "data", data: "stats", stats } };
}

/** A reply carries the header of the command it answers. */
export function successString(header: Header, text: string): Message {
  return { header, payload: { type: "success", result: "string", string: text } };
}

export function successEmpty(header: Header): Message {
  return { header, payload: { type: "success", result: "empty" } };
}

export function failureReply(header: Header, message: string): Message {
  return { header, payload: { type: "failure", message } };
}

const INFO_RESULTS: Record<InfoCommand, InfoResult> = {
  info: "unikernel_info",
  old_info5: "old_unikernel_info5",
  old_info4: "old_unikernel_info4",
};

/** Answers an info command of any age in that command's shape. */
export function unikernelInfoReply(
  header: Header,
  unikernels: readonly NamedInfo[],
  command: InfoCommand = "info",
): Message {
  return { header, payload: { type: "success", result: INFO_RESULTS[command], unikernels } };
}

export function policiesReply(header: Header, policies: readonly NamedPolicy[]): Message {
  return { header, payload: { type: "success", result: "policies", policies } };
}
