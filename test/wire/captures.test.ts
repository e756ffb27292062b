import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { encodeFrame, FrameReader } from "../../src/wire/framing.ts";
import { decodeMessage, encodeMessage, type Message, type Stats } from "../../src/wire/messages.ts";
import { formatName, parseName, resolveName } from "../../src/wire/names.ts";
import { captureBytes, WIRE_FIXTURES } from "./support/vectors.ts";

function messagesOf(capture: string): Message[] {
  const messages: Message[] = [];
  const reader = new FrameReader(1 << 20);
  reader.push(captureBytes(capture), (frame) => messages.push(decodeMessage(frame)));
  reader.end();
  return messages;
}

function statsOf(message: Message | undefined): Stats {
  if (message?.payload.type !== "data" || message.payload.data !== "stats") throw new Error("no statistics");
  return message.payload.stats;
}

describe("streams recorded from the running daemons", () => {
  test.each(readdirSync(new URL("captures/", WIRE_FIXTURES)))(
    "%s decodes whole and encodes back to its bytes",
    (capture) => {
      const frames = messagesOf(capture).map((message) => encodeFrame(encodeMessage(message)));
      expect(Buffer.concat(frames)).toEqual(captureBytes(capture));
    },
  );

  test("statistics at the root name unikernels in full, four ticks of four", () => {
    const [subscribed, ...samples] = messagesOf("stats-root.bin");
    expect(subscribed?.header).toEqual({ version: 5, sequence: 1, name: parseName(":") });
    expect(subscribed?.payload).toEqual({ type: "success", result: "string", string: "subscribed" });
    const tick = ["user:web", "user:sub:router", "user:db", ":hello"];
    expect(samples.map(({ header }) => formatName(header.name))).toEqual([
      ...tick,
      ...tick,
      ...tick,
      ...tick,
    ]);
    expect(samples.map(({ header }) => header.sequence)).toEqual(Array(16).fill(0));
  });

  test("statistics at a path name unikernels relative to it", () => {
    const [subscribed, ...samples] = messagesOf("stats-path-user.bin");
    const subscribedName = subscribed?.header.name ?? parseName(":");
    const names = samples.slice(0, 3).map(({ header }) => header.name);
    expect(names.map(formatName)).toEqual([":web", "sub:router", ":db"]);
    expect(names.map((name) => formatName(resolveName(subscribedName, name)))).toEqual([
      "user:web",
      "user:sub:router",
      "user:db",
    ]);
  });

  test("the first sample says what its bytes say, read by hand", () => {
    const { rusage, kinfoMem, vmm, ifdata } = statsOf(messagesOf("stats-root.bin")[1]);
    expect(rusage).toMatchObject({ utimeSec: 15, utimeUsec: 0x094ed0, stimeSec: 1, stimeUsec: 0x08d9a0 });
    expect(rusage).toMatchObject({ maxrss: 0x118c, minflt: 0x109b, nvcsw: 0x363, nivcsw: 0x191, majflt: 0 });
    expect(kinfoMem).toEqual({
      vsize: 0x0127c000,
      rss: 0x118c,
      tsize: 1,
      dsize: 0x106a,
      ssize: 0x106a,
      runtime: 0x01064c70,
      cow: 0,
      startSec: 0x6b02bc02,
      startUsec: 0x00e85e,
    });
    expect(vmm).toBeNull();
    expect(ifdata).toMatchObject([
      { bridge: "service", flags: 0x11043, mtu: 1500, inputPackets: 0x57, outputPackets: 0x66 },
    ]);
    expect(ifdata).toMatchObject([{ inputBytes: 0x15c0, outputBytes: 0x1ab2, outputDropped: 0 }]);
  });

  test("unikernel info at the root lists four unikernels with their limits", () => {
    const [reply] = messagesOf("vmmd-info-root.s2c.bin");
    if (reply?.payload.type !== "success" || reply.payload.result !== "unikernel_info")
      throw new Error("no info");
    const limits = reply.payload.unikernels.map(({ name, info }) => [
      formatName(name),
      info.memory,
      info.cpuids,
      info.numcpus,
    ]);
    expect(limits).toEqual([
      ["user:web", 64, [1], 1],
      ["user:sub:router", 32, [0], 1],
      ["user:db", 128, [0, 1], 1],
      [":hello", 32, [0], 1],
    ]);
    expect(reply.payload.unikernels[0]?.info.argv).toEqual(["--burn=40", "--resident=16"]);
    expect(reply.payload.unikernels[0]?.info.startedMs).toBe(Date.parse("2026-11-22T10:00:37.324Z"));
  });

  test("policies at the root are the root's own", () => {
    const [reply] = messagesOf("vmmd-policy-info.s2c.bin");
    expect(reply?.payload).toEqual({
      type: "success",
      result: "policies",
      policies: [
        {
          name: parseName(":"),
          policy: {
            cpuids: [0, 1],
            unikernels: 2n ** 62n - 1n,
            memory: 0x5e29,
            block: 0x03efe3,
            bridges: ["mgmt", "private", "service"],
          },
        },
      ],
    });
  });

  test.each([
    ["vmmd-info-missing.s2c.bin", { type: "success", result: "unikernel_info", unikernels: [] }],
    ["vmmd-destroy-missing.s2c.bin", { type: "failure", message: "destroy: not found" }],
  ])("%s is the answer about a unikernel that is not there", (capture, payload) => {
    expect(messagesOf(capture).map((message) => message.payload)).toEqual([payload]);
  });
});
