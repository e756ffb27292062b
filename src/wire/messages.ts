/** Wire version 5 as a grammar. Field names are the wire's own; units of statistics are in the exporter's tables. */
import {
  anything,
  boolean,
  both,
  choice,
  type DecodeOptions,
  each,
  either,
  fields,
  fixed,
  inMember,
  int64,
  integer,
  integers,
  type JsonObject,
  list,
  longList,
  MessageReader,
  mac,
  name,
  none,
  nothing,
  octets,
  Part,
  type Steps,
  sequence,
  time,
  utf8,
  type Value,
} from "./asn1.ts";
import { copyOf, element, elementHead, type Int64, MAX_INTEGER, Tag } from "./der.ts";
import { WireError } from "./errors.ts";
import type { Name } from "./names.ts";
import { decodeUsualStats, readStatsByStructure, type Stats, stats } from "./stats.ts";

export type { JsonObject, JsonValue } from "./asn1.ts";
export type { Int64 } from "./der.ts";
export type { IfData, KinfoMem, Rusage, Stats, VmmStat } from "./stats.ts";

const WIRE_VERSION = 5;
/** One for all: most unikernels have no block devices. */
const NONE: readonly never[] = [];

const typ = choice("typ", "typ", { solo5: nothing.explicit(0), bhyve: nothing.explicit(1) })
  .mapped(
    (value) => value.typ,
    (label) => ({ typ: label }),
  )
  .printedAs((label) => label);
/** Those that restart it; null stands for any, which is none on the wire. */
const exitCodes = integers(Tag.set)
  .mapped(
    (codes) => (codes.length === 0 ? null : codes),
    (codes) => codes ?? [],
  )
  .printedAs((codes) => codes?.map(integer.json) ?? null);
const failBehaviour = choice("type", "fail_behaviour", {
  quit: nothing.explicit(0),
  restart: fields({ exitCodes: exitCodes.called("exit codes") }).explicit(1),
});
const startup = integer.optional();
const cpuids = integers(Tag.set);
const argv = list(utf8).explicit(2).optional().called("arguments");
const numcpus = (number: number) => integer.explicit(number).orElse(1).called("cpus");
const linuxBootPartition = (number: number) =>
  utf8.explicit(number).optional().called("linux boot partition");
const deviceSet = <T>(number: number, device: Part<T>) =>
  list(device, Tag.set)
    .explicit(number)
    .orElse(NONE, ({ length }) => length === 0);

const infoBlockDevice = sequence({
  unikernelDevice: utf8.called("block device"),
  hostDevice: utf8.called("host's block device"),
  sectorSize: integer.called("sector size"),
  size: integer.called("block size"),
});
const infoBridge = sequence({
  unikernelDevice: utf8.called("network device"),
  hostDevice: utf8.called("host's bridge"),
  mac,
});
const started = time.explicit(3).optional();
const infoFromMemory = {
  memory: integer,
  digest: octets.mapped(copyOf, (digest) => digest),
  blockDevices: deviceSet(0, infoBlockDevice).called("block devices"),
  bridges: deviceSet(1, infoBridge).droppedBy("dropBridges", NONE),
  argv: argv.droppedBy("dropArguments", null),
  startedMs: started.printedAs((ms) => time.json(ms ?? 0)),
};
const info = sequence({
  typ,
  startup,
  failBehaviour,
  cpuids,
  ...infoFromMemory,
  numcpus: numcpus(4),
  linuxBootPartition: linuxBootPartition(5),
});
/** The older shapes have one cpuid, and end after the start time. */
const oldInfoFromCpuid = {
  cpuids: integer
    .called("cpuid")
    .mapped<readonly Int64[]>(
      (cpuid) => [cpuid],
      (ids) => ids[0] ?? 0,
    )
    .printedAs(cpuids.json),
  ...infoFromMemory,
  numcpus: fixed(1),
  linuxBootPartition: fixed(null),
};
/** Albatross 2.6 */
const oldInfo5 = sequence({ typ, startup, failBehaviour, ...oldInfoFromCpuid });
/** Albatross 2.4 and 2.5 */
const oldInfo4 = sequence({ typ, startup: fixed(null), failBehaviour, ...oldInfoFromCpuid });
const unikernels = (shape: Part<UnikernelInfo>) =>
  fields({ unikernels: longList(sequence({ name: name.called("unikernel name"), info: shape })) });

const configBlockDevice = sequence({
  name: utf8.called("block device"),
  device: utf8.optional().called("host's block device"),
  sectorSize: integer.optional().called("sector size"),
});
const configBridge = sequence({
  name: utf8.called("network device"),
  bridge: utf8.optional().called("host's bridge"),
  mac: mac.optional(),
});
const beforeImage = fields({ typ, compressed: boolean });
const afterImage = fields({
  startup,
  addName: boolean,
  failBehaviour,
  cpuids,
  /** MB */
  memory: integer,
  blockDevices: deviceSet(0, configBlockDevice).called("block devices"),
  bridges: deviceSet(1, configBridge),
  argv,
  numcpus: numcpus(3),
  linuxBootPartition: linuxBootPartition(4),
});
/** What a new unikernel is made of. A null device or bridge is the host's of the same name. The image is a view. */
const config = both(both(beforeImage, fields({ image: octets })), afterImage).inside(Tag.sequence);
const create = fields({ config }).explicit(20);

/** Limits of one path; 2^62-1 is none. `memory` and `block` are MB. */
const policyFields = {
  cpuids: integers(Tag.sequence),
  ...each(integer, "unikernels", "memory"),
  block: integer.optional(),
  bridges: list(utf8),
};
const policy = sequence(policyFields, "policy ");

const compression = fields({ compressionLevel: integer.called("compression level") });

const unikernelCommand = choice("command", "unikernel command", {
  destroy: nothing.explicit(3),
  get: compression.explicit(11),
  /** what to start it with instead, as DER; null starts it as it was */
  restart: fields({
    arguments: either(
      none.explicit(0).called("restart"),
      anything.explicit(1).called("restart arguments"),
      (value) => value === null,
    ),
  }).explicit(14),
  /** Albatross 2.4 and 2.5 */
  old_info4: nothing.explicit(15),
  /** Albatross 2.6 */
  old_info5: nothing.explicit(18),
  info: nothing.explicit(19),
  create,
  force_create: fields({ config }).explicit(21),
}).explicit(3);

const command = choice("class", "command class", {
  console: choice("command", "console command", {
    add: fields({ maxUnikernels: integer.called("max unikernels") }).explicit(0),
    /** Since a time, or the last `count` lines. */
    subscribe: either(
      fields({ sinceMs: time }).explicit(0).called("since"),
      fields({ count: integer }).explicit(1).called("count"),
      (value) => "sinceMs" in value,
    ).explicit(2),
    list_inactive: nothing.explicit(3),
  }).explicit(0),
  stats: choice("command", "stats command", {
    add: sequence({
      vmmdev: utf8,
      pid: integer,
      taps: list(sequence({ bridge: utf8.called("tap's bridge"), tap: utf8 })),
    }).explicit(0),
    remove: nothing.explicit(1),
    subscribe: nothing.explicit(2),
    initial: nothing.explicit(3),
  }).explicit(1),
  unikernel: unikernelCommand,
  policy: choice("command", "policy command", {
    info: nothing.explicit(0),
    add: fields({ policy }).explicit(1),
    remove: nothing.explicit(2),
  }).explicit(4),
  /** Sizes are MB. */
  block: choice("command", "block command", {
    info: nothing.explicit(0),
    add: fields({ size: integer.called("block size") }).explicit(1),
    remove: nothing.explicit(2),
    old_add: sequence({
      size: integer.called("block size"),
      compressed: boolean,
      data: octets.optional().called("block data"),
    }).explicit(3),
    old_set: sequence({ compressed: boolean, data: octets.called("block data") }).explicit(4),
    old_dump: compression.explicit(5),
    dump: compression.explicit(6),
    set: fields({ compressed: boolean }).explicit(7),
  }).explicit(5),
});

/** The image is a view of the message. */
const image = sequence({ compressed: boolean, image: octets }).called("image");
const unikernelImage = image.explicit(6);
const namedPolicies = longList(sequence({ name: name.called("policy name"), policy }));
/** Sizes are MB. */
const blockDevices = longList(sequence({ name, size: integer, active: boolean }, "block device "));
const success = choice("result", "result", {
  empty: nothing.explicit(0),
  string: fields({ string: utf8.called("result string") }).explicit(1),
  policies: fields({ policies: namedPolicies }).explicit(2),
  block_devices: fields({ blockDevices: blockDevices.called("block devices") }).explicit(4),
  unikernel_image: unikernelImage,
  old_block_device_image: image.explicit(7),
  old_unikernel_info4: unikernels(oldInfo4).explicit(9),
  block_device_image: fields({ compressed: boolean }).explicit(10),
  old_unikernel_info5: unikernels(oldInfo5).explicit(11),
  consoles: fields({ names: list(name.called("console name")).called("consoles") }).explicit(12),
  unikernel_info: unikernels(info).explicit(13),
}).explicit(1);

/** Data of a newer Albatross that is not understood. */
const unknownData = new Part<{ readonly tag: number }, JsonObject>(
  -1,
  () => ({ tag: -1 }),
  ({ tag }) => {
    throw new TypeError(`data of the unknown kind [${tag}] cannot be written`);
  },
  (value) => value,
);
const dataCases = {
  stats: inMember("stats", stats.called("statistics")).explicit(1),
  console: sequence({
    timestampMs: time.called("console timestamp"),
    line: utf8.called("console line"),
  })
    .called("console data")
    .explicit(3),
  /** a view of the message; null ends it */
  block: fields({
    block: either(
      none.explicit(1).called("end of block data"),
      octets.explicit(0).called("block data"),
      (value) => value === null,
    ),
  }).explicit(4),
  unknown: unknownData,
};
/** Other tags are read by structure; a bare NULL (the log of older protocols) is refused. */
const data = choice("data", "data", dataCases, (reader, tag, at) => {
  const first = reader.peek();
  if (first === -1 || (first === Tag.null && reader.end - reader.pos === 2)) {
    throw new WireError("message", at, `data: [${tag}] holds nothing`);
  }
  const found = readStatsByStructure(reader);
  return found === null ? { data: "unknown", tag } : { data: "stats", stats: found };
});

const version = new Part<typeof WIRE_VERSION>(
  Tag.integer,
  (reader, what) => {
    const at = reader.pos;
    const found = reader.integer(what);
    if (found === WIRE_VERSION) return WIRE_VERSION;
    throw new WireError("version", at, `${what}: expected ${WIRE_VERSION}, found ${found}`);
  },
  integer.write,
  (value) => value,
);
const headerFields = sequence({ version, sequence: int64, name }).called("header");
const header = headerFields.printedAs((value) => {
  const { path, label } = value.name;
  return { ...headerFields.json(value), path, label };
});

const commandPayload = inMember("command", command).explicit(0);
const message = fields({
  header,
  payload: choice("type", "payload", {
    command: commandPayload,
    success,
    failure: fields({ message: utf8.called("failure") }).explicit(2),
    data: data.explicit(3),
  }),
});

export type Header = Value<typeof header>;
export type UnikernelInfo = Value<typeof info>;
export type Policy = Value<typeof policy>;

/** How Albatross writes that a policy has no limit. */
export const NO_LIMIT = MAX_INTEGER;
/** `compressed` is about the image, which comes beside it. */
export type NewUnikernel = Value<typeof beforeImage> & Value<typeof afterImage>;
export type Message = Value<typeof message>;
export type Command = Value<typeof command>;
export type UnikernelCommand = Extract<Command, { class: "unikernel" }>;
export type Payload = Message["payload"];
type Success = Extract<Payload, { type: "success" }>;
export type NamedPolicy = Extract<Success, { result: "policies" }>["policies"][number];
export type NamedInfo = Extract<Success, { result: "unikernel_info" }>["unikernels"][number];

export type InfoCommand = Extract<UnikernelCommand["command"], `${string}info${string}`>;

/** Images and block data are views of the frame. Throws a WireError "der", "version", "name" or "message" only. */
export function decodeMessage(frame: Uint8Array, options?: DecodeOptions): Message {
  return decodeUsualStats(frame) ?? decodeAnyMessage(frame, options);
}

/** As `decodeMessage` without the short cut for statistics, which is tested against this. */
export function decodeAnyMessage(frame: Uint8Array, options?: DecodeOptions): Message {
  const steps = decodeInSteps(frame, options);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** As `decodeMessage`, in steps: info about 10,000 unikernels takes 50 ms. `frame` must stay as it is until the last. */
export function* decodeInSteps(frame: Uint8Array, options?: DecodeOptions): Steps<Message> {
  const reader = new MessageReader(frame, options);
  const outer = reader.enter(Tag.sequence, "message");
  if (reader.end !== outer) {
    const more = outer - reader.end;
    throw new WireError("der", reader.end, `message: expected its end, found ${more} more bytes`);
  }
  const decoded = message.read(reader, "message");
  reader.leave(outer, "message");
  for (const filled of reader.unfilled) yield* filled;
  return decoded;
}

/** Encodes one message, without its length prefix. Throws a TypeError for data "unknown". */
export function encodeMessage(value: Message): Buffer {
  return element(Tag.sequence, message.write(value));
}

/** A create command around `imageBytes` of image, which may be too large to hold; without a length prefix. */
export function encodeCreate(
  to: Header,
  unikernel: NewUnikernel,
  imageBytes: number,
): { readonly before: Buffer; readonly after: Buffer } {
  const after = afterImage.write(unikernel);
  const around = (tag: number, ...before: readonly Uint8Array[]) => {
    const inside = Buffer.concat(before);
    return Buffer.concat([elementHead(tag, inside.length + imageBytes + after.length), inside]);
  };
  const head = elementHead(Tag.octetString, imageBytes);
  let before = around(Tag.sequence, beforeImage.write(unikernel), head);
  for (const { tag } of [create, unikernelCommand, commandPayload]) before = around(tag, before);
  return { before: around(Tag.sequence, header.write(to), before), after: Buffer.from(after) };
}

/** What may stand before the image of a reply: a name of up to 1,024 bytes is the most of it. */
export const IMAGE_HEAD_BYTES = 2_048;

/** Where a reply's image begins, by its first IMAGE_HEAD_BYTES; null without one. Throws as `decodeMessage`. */
export function readImageHead(
  start: Uint8Array,
  frameBytes: number,
): { readonly compressed: boolean; readonly imageAt: number; readonly imageBytes: number } | null {
  const reader = new MessageReader(start);
  reader.end = frameBytes;
  const toTheEnd = (what: string) => {
    if (reader.end === frameBytes) return;
    throw new WireError("der", reader.end, `${what}: expected its end, found more bytes`);
  };
  reader.enter(Tag.sequence, "message");
  toTheEnd("message");
  header.read(reader, "header");
  for (const { tag } of [success, unikernelImage]) {
    if (reader.peek() !== tag) return null;
    reader.enter(tag, "result");
    toTheEnd("result");
  }
  reader.enter(Tag.sequence, "image");
  toTheEnd("image");
  const compressed = reader.boolean("compressed");
  const imageBytes = reader.header(Tag.octetString, "image");
  const imageAt = reader.pos;
  if (imageAt + imageBytes === frameBytes && imageAt <= start.length)
    return { compressed, imageAt, imageBytes };
  throw new WireError("der", imageAt, `image: expected ${frameBytes - imageAt} bytes, found ${imageBytes}`);
}

export function messageToJson(value: Message): JsonObject {
  return message.json(value);
}

/** Of a certificate: what albatross-tls-endpoint does for its holder, not critical. */
export const CERTIFICATE_EXTENSION = "1.3.6.1.4.1.49836.42";
const certificateCommand = sequence({ version, command });

/** The value of CERTIFICATE_EXTENSION: a leaf's command, or an intermediate's policy as the command that adds it. */
export function encodeCertificateCommand(value: Command): Buffer {
  return Buffer.from(certificateCommand.write({ version: WIRE_VERSION, command: value }));
}

/** Throws as `decodeMessage`. */
export function decodeCertificateCommand(extension: Uint8Array): Command {
  const reader = new MessageReader(extension);
  const { command: decoded } = certificateCommand.read(reader, "extension");
  reader.leave(reader.end, "extension");
  return decoded;
}

/** A sample as albatross-stats pushes it. */
export function statsMessage(of: Name, sample: Stats): Message {
  const to: Header = { version: WIRE_VERSION, sequence: 0, name: of };
  return { header: to, payload: { type: "data", data: "stats", stats: sample } };
}

const UNSAID: UnikernelInfo = {
  typ: "solo5",
  failBehaviour: { type: "quit" },
  memory: 0,
  digest: new Uint8Array(),
  numcpus: 1,
  ...each(null, "startup", "argv", "startedMs", "linuxBootPartition"),
  ...each(NONE, "cpuids", "blockDevices", "bridges"),
};

export function infoOfKnown(known: Partial<UnikernelInfo>): UnikernelInfo {
  return { ...UNSAID, ...known };
}
