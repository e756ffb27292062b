import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  failureReply,
  makeHeader,
  policiesReply,
  subscribeCommand,
  successString,
  unikernelInfoReply,
} from "../../src/simulator/messages.ts";
import {
  decodeInSteps,
  decodeMessage,
  encodeMessage,
  type InfoCommand,
  type Message,
  type Policy,
  type Stats,
  statsMessage,
  type UnikernelInfo,
} from "../../src/wire/messages.ts";
import { formatName, parseName, ROOT } from "../../src/wire/names.ts";
import { stats as statistics } from "../../src/wire/stats.ts";
import { policyInfoCommand, successEmpty, unikernelInfoCommand } from "../support/simulated.ts";
import { element, stripElement } from "./support/der.ts";
import { malformedVectors, newerShapes, vectorBytes } from "./support/vectors.ts";

function statsOf(message: Message): Stats {
  if (message.payload.type !== "data" || message.payload.data !== "stats") {
    throw new Error(`expected statistics, found ${JSON.stringify(message.payload)}`);
  }
  return message.payload.stats;
}

describe("constructors", () => {
  const header = makeHeader(parseName("user:"), 7);
  const policy: Policy = { cpuids: [0, 2], unikernels: 3, memory: 64, block: null, bridges: ["service"] };

  test.each<[string, Message]>([
    ["subscribe", subscribeCommand(ROOT)],
    ["policy info", policyInfoCommand(ROOT, 3)],
    ["string", successString(header, "subscribed")],
    ["empty", successEmpty(header)],
    ["failure", failureReply(header, "unexpected command")],
    ["policies", policiesReply(header, [{ name: ROOT, policy }])],
    [
      "a policy with a limit on blocks",
      policiesReply(header, [{ name: ROOT, policy: { ...policy, block: 9 } }]),
    ],
  ])("%s encodes and decodes to itself", (_, message) => {
    expect(decodeMessage(encodeMessage(message))).toEqual(message);
  });

  test("subscribing at the root is the bytes that Albatross sends", () => {
    expect(encodeMessage(subscribeCommand(ROOT))).toEqual(vectorBytes("stats-subscribe-root"));
  });

  test.each<[InfoCommand, string, string]>([
    ["info", "unikernel-info", "unikernel-info-reply-1"],
    ["old_info5", "unikernel-old-info5", "unikernel-info-reply-old5"],
    ["old_info4", "unikernel-old-info4", "unikernel-info-reply-old4"],
  ])("%s is asked and answered in the bytes of its age", (command, question, answer) => {
    expect(encodeMessage(unikernelInfoCommand(ROOT, 0, command))).toEqual(vectorBytes(question));
    const reply = decodeMessage(vectorBytes(answer));
    if (reply.payload.type !== "success" || !("unikernels" in reply.payload)) throw new Error("no info");
    const again = unikernelInfoReply(reply.header, reply.payload.unikernels, command);
    expect(encodeMessage(again)).toEqual(vectorBytes(answer));
  });
});

describe("restart", () => {
  test("keeps new arguments as the bytes they came in", () => {
    const content = element(0x30, element(0x0c, Buffer.from("--port=80")));
    const asWas = encodeMessage(decodeMessage(vectorBytes("unikernel-restart")));
    const header = asWas.subarray(2, 4 + (asWas[3] ?? 0));
    const bytes = element(0x30, header, element(0xa0, element(0xa3, element(0xae, element(0xa1, content)))));
    const message = decodeMessage(bytes);
    expect(message.payload).toEqual({
      type: "command",
      command: { class: "unikernel", command: "restart", arguments: Uint8Array.from(content) },
    });
    expect(encodeMessage(message)).toEqual(bytes);
  });
});

describe("unikernel info", () => {
  const info: UnikernelInfo = {
    typ: "bhyve",
    startup: 7,
    failBehaviour: { type: "restart", exitCodes: [2, 127] },
    cpuids: [0, 1],
    memory: 512,
    digest: Buffer.from("vm-name"),
    blockDevices: [{ unikernelDevice: "a", hostDevice: "b", sectorSize: 512, size: 10 }],
    bridges: [{ unikernelDevice: "net0", hostDevice: "br0", mac: "02:00:00:00:00:0a" }],
    argv: ["--secret=hunter2"],
    startedMs: Date.UTC(2026, 0, 2, 3, 4, 5, 60),
    numcpus: 2,
    linuxBootPartition: "gpt1",
  };
  const bytes = encodeMessage(unikernelInfoReply(makeHeader(ROOT), [{ name: parseName(":web"), info }]));

  function infoOf(message: Message): UnikernelInfo | undefined {
    if (message.payload.type !== "success" || !("unikernels" in message.payload)) throw new Error("no info");
    return message.payload.unikernels[0]?.info;
  }

  test("has every field", () => {
    expect(infoOf(decodeMessage(bytes))).toEqual({ ...info, digest: Uint8Array.from(info.digest) });
  });

  test("comes without arguments for who must not see them, and without a trace of them", () => {
    const message = decodeMessage(bytes, { dropArguments: true });
    expect(infoOf(message)).toEqual({ ...info, digest: Uint8Array.from(info.digest), argv: null });
    expect(JSON.stringify(message)).not.toContain("hunter2");
  });

  test("comes without bridges for who has no use for them", () => {
    const bare = infoOf(decodeMessage(bytes, { dropBridges: true }));
    expect(bare).toEqual({ ...info, digest: Uint8Array.from(info.digest), bridges: [] });
  });

  test("about many unikernels is decoded in steps, to the same", () => {
    const many = Array.from({ length: 1000 }, (_, i) => ({ name: parseName(`:web-clone-${i}`), info }));
    const long = encodeMessage(unikernelInfoReply(makeHeader(ROOT), many));
    const steps = decodeInSteps(long);
    let count = 1;
    let step = steps.next();
    for (; !step.done; count++) step = steps.next();
    expect(step.value).toEqual(decodeMessage(long));
    expect(count).toBeGreaterThan(1000 / 100);
  });

  test("that is damaged far behind is refused in steps as it is at once", () => {
    const many = Array.from({ length: 1000 }, (_, i) => ({ name: parseName(`:web-clone-${i}`), info }));
    const long = encodeMessage(unikernelInfoReply(makeHeader(ROOT), many));
    long[long.lastIndexOf("gpt1") - 2] = 0x04;
    const told = {
      reason: "message",
      detail: "linux boot partition: expected UTF8String, found OCTET STRING",
    };
    expect(() => decodeMessage(long)).toThrow(expect.objectContaining(told));
    expect(() => [...decodeInSteps(long)]).toThrow(expect.objectContaining(told));
  });

  test("keeps a digest of its own, not the chunk it came in", () => {
    const digest = infoOf(decodeMessage(bytes))?.digest;
    expect(digest?.buffer.byteLength).toBe(info.digest.length);
  });

  test("the bytes of no text become U+FFFD", () => {
    const text = Buffer.from("net0");
    const damaged = Buffer.from(bytes);
    damaged[damaged.indexOf(text)] = 0xff;
    expect(infoOf(decodeMessage(damaged))?.bridges[0]?.unikernelDevice).toBe("\ufffdet0");
  });
});

describe("64-bit values", () => {
  const template = statsOf(decodeMessage(vectorBytes("stats-data-mem-1if")));

  test.each([
    0,
    1,
    -1,
    2 ** 31,
    2 ** 32,
    -(2 ** 32),
    2 ** 48,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
    2n ** 53n,
    -(2n ** 53n),
    2n ** 53n + 1n,
    2n ** 63n - 1n,
    -(2n ** 63n),
  ])("%d keeps every bit, as a number where that is exact", (value) => {
    const stats: Stats = { ...template, rusage: { ...template.rusage, minflt: value } };
    expect(statsOf(decodeMessage(encodeMessage(statsMessage(ROOT, stats)))).rusage.minflt).toBe(value);
  });

  test("any survives", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
        const stats: Stats = { ...template, rusage: { ...template.rusage, maxrss: value } };
        const decoded = statsOf(decodeMessage(encodeMessage(statsMessage(ROOT, stats)))).rusage.maxrss;
        expect(BigInt(decoded)).toBe(value);
        expect(typeof decoded).toBe(Number.isSafeInteger(Number(value)) ? "number" : "bigint");
      }),
    );
  });

  test("an INTEGER of up to 63 bits survives, one of 64 is refused", () => {
    const withCow = (cow: bigint) =>
      encodeMessage(
        statsMessage(ROOT, { ...template, kinfoMem: template.kinfoMem && { ...template.kinfoMem, cow } }),
      );
    for (const cow of [2n ** 62n - 1n, -(2n ** 62n), 2n ** 47n, -(2n ** 47n) - 1n, 128n, -129n]) {
      expect(BigInt(statsOf(decodeMessage(withCow(cow))).kinfoMem?.cow ?? 0)).toBe(cow);
    }
    expect(() => decodeMessage(withCow(2n ** 62n))).toThrow(expect.objectContaining({ reason: "der" }));
  });
});

describe("data under other tags", () => {
  const known = decodeMessage(vectorBytes("stats-data-vmm-mem-3if"));
  const { header } = known;
  const stats = statsOf(known);
  const empty = { ...stats, ifdata: [], vmm: null, kinfoMem: null };

  /** The message `header`, data tag `tag` around `content`. */
  function dataMessage(tag: number, ...content: Buffer[]): Buffer {
    const whole = encodeMessage(successEmpty(header));
    const headerDer = whole.subarray(2, 4 + (whole[3] ?? 0));
    return element(0x30, headerDer, element(0xa3, element(tag, ...content)));
  }

  /** The elements of statistics: rusage, ifdata, vmm under [0], kinfo_mem under [1]. */
  function parts(of: Stats): Buffer[] {
    const data = stripElement(encodeMessage(statsMessage(ROOT, of)))[1];
    const sequence = stripElement(stripElement(data)[0])[0];
    return stripElement(sequence);
  }

  const [rusage, ifdata, vmm, kinfo] = parts(stats) as [Buffer, Buffer, Buffer, Buffer];
  const kinfoFields = Buffer.concat(stripElement(kinfo));

  test.each<[string, Buffer[], Stats]>([
    ["nothing more", [rusage, ifdata], { ...stats, vmm: null, kinfoMem: null }],
    ["kinfo_mem under [1]", [rusage, ifdata, kinfo], { ...stats, vmm: null }],
    ["kinfo_mem under [0]", [rusage, ifdata, element(0xa0, kinfoFields)], { ...stats, vmm: null }],
    [
      "EXPLICIT kinfo_mem",
      [rusage, ifdata, element(0xa4, element(0x30, kinfoFields))],
      { ...stats, vmm: null },
    ],
    ["vmm and kinfo_mem", [rusage, ifdata, vmm, kinfo], stats],
    ["kinfo_mem before vmm", [rusage, ifdata, kinfo, vmm], stats],
    [
      "something new between them",
      [rusage, ifdata, element(0xa5, Buffer.from("0500", "hex")), kinfo],
      { ...stats, vmm: null },
    ],
    [
      "something new that is no context tag",
      [rusage, ifdata, element(0x04, Buffer.from("x")), kinfo],
      { ...stats, vmm: null },
    ],
    [
      "a kinfo_mem of nine fields",
      [rusage, ifdata, element(0xa1, kinfoFields, element(0x05))],
      { ...stats, vmm: null, kinfoMem: null },
    ],
    ["no interfaces", [rusage, element(0x30)], empty],
    ["resource usage alone", [rusage], empty],
    [
      "interfaces of 17 fields, which cannot be told",
      [rusage, element(0x30, element(0x30, ...stripElement(stripElement(ifdata)[0]).slice(1)))],
      empty,
    ],
    ["everything in another order", [rusage, kinfo, vmm, ifdata], stats],
    [
      "bare kinfo_mem and vmm",
      [rusage, element(0x30, kinfoFields), stripElement(vmm)[0] as Buffer, ifdata],
      stats,
    ],
    ["interfaces under an EXPLICIT tag", [rusage, element(0xa7, ifdata)], { ...empty, ifdata: stats.ifdata }],
    [
      "interfaces under an IMPLICIT tag",
      [rusage, element(0xa7, ...stripElement(ifdata))],
      { ...empty, ifdata: stats.ifdata },
    ],
    [
      "an empty list before the interfaces",
      [rusage, element(0xa2, element(0x30)), ifdata],
      { ...empty, ifdata: stats.ifdata },
    ],
  ])("statistics with %s are understood", (_, content, expected) => {
    for (const tag of [0xa0, 0xa2, 0xa5, 0xbe]) {
      const message = decodeMessage(dataMessage(tag, element(0x30, ...content)));
      expect(statsOf(message)).toEqual(expected);
      expect(message.header).toEqual(header);
      expect(statsOf(decodeMessage(dataMessage(tag, ...content)))).toEqual(expected);
    }
  });

  test.each(newerShapes)("the shape $name is read", ({ hex, want }) => {
    const message = decodeMessage(Buffer.from(hex, "hex"));
    const { name, ...parts } = want;
    expect(formatName(message.header.name)).toBe(name);
    expect(statistics.json(statsOf(message))).toEqual({ vmm: null, ...parts });
  });

  test.each<[string, Buffer[]]>([
    ["a string", [element(0x0c, Buffer.from("startup"))]],
    ["an empty sequence", [element(0x30)]],
    [
      "a resource usage of 15 fields",
      [element(0x30, element(0x30, ...stripElement(rusage).slice(1)), ifdata)],
    ],
    [
      "a resource usage of 17 fields",
      [element(0x30, element(0x30, ...stripElement(rusage), element(0x04, Buffer.alloc(8))), ifdata)],
    ],
    ["bytes that are no DER", [Buffer.from([0x30, 0x80])]],
  ])("%s is data of an unknown kind", (_, content) => {
    expect(decodeMessage(dataMessage(0xa5, ...content)).payload).toEqual({
      type: "data",
      data: "unknown",
      tag: 5,
    });
  });

  test("a tag number above 30 is one too", () => {
    const bytes = dataMessage(0x30, element(0x0c, Buffer.from("x")));
    const at = bytes.lastIndexOf(Buffer.from([0x30, 0x03, 0x0c]));
    const high = Buffer.concat([bytes.subarray(0, at), Buffer.from([0xbf, 0x1f]), bytes.subarray(at + 1)]);
    for (const lengthAt of [1, at - 1]) high[lengthAt] = (high[lengthAt] ?? 0) + 1;
    expect(decodeMessage(high).payload).toEqual({ type: "data", data: "unknown", tag: 31 });
  });

  test.each([
    ["NULL", dataMessage(0xa5, element(0x05))],
    ["nothing at all", dataMessage(0xa2)],
    ["a primitive tag", dataMessage(0x85, Buffer.from("x"))],
  ])("%s is refused", (_, bytes) => {
    expect(() => decodeMessage(bytes)).toThrow(expect.objectContaining({ reason: "message" }));
  });

  test("data of an unknown kind cannot be written", () => {
    expect(() => encodeMessage({ header, payload: { type: "data", data: "unknown", tag: 5 } })).toThrow(
      TypeError,
    );
  });
});

describe("what would cost too much memory", () => {
  const listOf = (count: number, element: string) => Buffer.from(element.repeat(count), "hex");

  test.each<[string, Buffer]>([
    ["300,000 console names", element(0xac, element(0x30, listOf(300_000, "0c0161")))],
    [
      "300,000 empty policies",
      element(0xa2, element(0x30, listOf(300_000, "300f0c0161300a30000201000201003000"))),
    ],
  ])("%s are refused", (_, result) => {
    const header = encodeMessage(successEmpty(makeHeader(ROOT))).subarray(2, 20);
    expect(() => decodeMessage(element(0x30, header, element(0xa1, result)))).toThrow(
      expect.objectContaining({ reason: "message", detail: expect.stringContaining("at most 262144") }),
    );
  });
});

describe("errors", () => {
  test.each([
    ["version-6", "version", 4, "version: expected 5, found 6"],
    ["name-space", "name", 17, 'name "user:he llo": expected labels'],
    ["trailing-byte-00", "der", 37, "message: expected its end, found 1 more bytes"],
    ["reply-unknown-tag-14", "message", 31, "result: there is no result [14]"],
    ["data-ifdata-missing", "message", 215, "ifdata: expected SEQUENCE, found [1]"],
    ["length-name-long-form-81", "der", 18, "name: length 10 is not in its shortest form"],
  ])("%s: %s at byte %i", (name, reason, offset, detail) => {
    const hex = malformedVectors.find((vector) => vector.name === name)?.hex ?? "";
    expect(() => decodeMessage(Buffer.from(hex, "hex"))).toThrow(
      expect.objectContaining({ reason, offset, detail: expect.stringContaining(detail) }),
    );
  });
});
