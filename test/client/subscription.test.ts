import { chmodSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import type { TargetOptions } from "../../src/client/target.ts";
import type { TargetConfig } from "../../src/config/target.ts";
import { failureReply, successString } from "../../src/simulator/messages.ts";
import { encodeFrame } from "../../src/wire/framing.ts";
import { encodeMessage, statsMessage } from "../../src/wire/messages.ts";
import { parseName } from "../../src/wire/names.ts";
import { eventually, settle } from "../support/eventually.ts";
import type { Peer } from "../support/scriptedDaemon.ts";
import { makeStats } from "../support/stats.ts";
import { captureBytes } from "../wire/support/vectors.ts";
import { acknowledge, sampleOf, TestHost } from "./support/host.ts";

const S = 1_000_000;

let host: TestHost;

afterEach(async () => {
  await host.stop();
});

function testHost(config?: Partial<TargetConfig>, options?: TargetOptions): TestHost {
  host = new TestHost(config, options);
  return host;
}

/** A host whose first connection is subscribed. */
async function subscribed(config?: Partial<TargetConfig>): Promise<Peer> {
  await testHost(config).start("stat");
  const peer = await host.stat.peer(1);
  await host.state("subscribed");
  return peer;
}

describe("a subscription", () => {
  test("asks for what is configured and nothing else, and is up when acknowledged", async () => {
    await subscribed();
    expect(host.stat.requests).toEqual([
      {
        header: { version: 5, sequence: 1, name: { path: [], label: null } },
        payload: { type: "command", command: { class: "stats", command: "subscribe" } },
      },
    ]);
    expect(host.sink.lives).toEqual([true]);
    expect(host.subscription()).toMatchObject({
      connects: 1,
      messages: 0,
      lastMessageWallMs: null,
      lastError: null,
    });
    expect(host.target.snapshot()).toMatchObject({ name: "box", up: true });
  });

  test("is not up before that", async () => {
    testHost();
    host.stat.onRequest = () => undefined;
    await host.start("stat");
    await host.stat.peer(1);
    expect(host.subscription().state).toBe("connecting");
    expect(host.sink.lives).toEqual([]);
  });

  test("delivers samples with the time they were read at, the same for all that were read at once", async () => {
    const peer = await subscribed();
    host.clock.advance(3_000);
    await host.burst(peer, "user:web", ":hello");
    expect(host.sink.samples).toMatchObject([
      { name: "user:web", arrivalUs: 3 * S, arrivalWallMs: Date.parse("2026-01-01T00:00:03Z") },
      { name: ":hello", arrivalUs: 3 * S, arrivalWallMs: Date.parse("2026-01-01T00:00:03Z") },
    ]);
    expect(host.sink.samples[0]?.stats).toEqual(makeStats(1_000_000));
    expect(host.subscription()).toMatchObject({ state: "receiving", messages: 2 });
    expect(host.subscription().lastMessageWallMs).toBe(Date.parse("2026-01-01T00:00:03Z"));
  });

  test("takes samples that come before the acknowledgement", async () => {
    testHost();
    host.stat.onRequest = (peer, request) => {
      peer.send(sampleOf("user:web"));
      acknowledge(peer, request);
    };
    await host.start("stat");
    await host.state("receiving");
    expect(host.sink.samples).toHaveLength(1);
  });

  test.each([
    ["user:", ":web", "user:web"],
    ["user:", "sub:router", "user:sub:router"],
    ["user:web", ":web", "user:web"],
    [":web", ":web", ":web"],
  ])("at %s makes the relative name %s full: %s", async (subscription, relative, full) => {
    testHost({ subscribe: [subscription] });
    await host.start("stat", "vmmd");
    const peer = await host.stat.peer(1);
    await host.burst(peer, relative);
    expect(host.sink.samples[0]?.name).toBe(full);
  });

  test("skips and counts statistics of a path", async () => {
    const peer = await subscribed();
    peer.send(statsMessage(parseName("user:"), makeStats()), sampleOf("user:web"));
    await eventually("the sample after it", () => host.sink.samples.length === 1);
    expect(host.subscription().decodeErrors.name).toBe(1);
  });

  test("says receiving while samples come, subscribed when they stay away", async () => {
    testHost({ statsIntervalMs: 1_000 });
    await host.start("stat", "vmmd");
    await host.nextInfo(() => undefined);
    await host.burst(await host.stat.peer(1), "web");
    host.clock.advance(3_000);
    expect(host.subscription().state).toBe("receiving");
    host.clock.advance(1);
    expect(host.subscription().state).toBe("subscribed");
  });

  test("costs no more than the sample when the sink throws", async () => {
    const peer = await subscribed();
    const { samples } = host.sink;
    let failures = 0;
    host.sink.onSample = (sample) => {
      if (failures++ === 0) throw new Error("a fault in the fleet");
      samples.push({ ...sample, name: String(sample.name.label) });
    };
    peer.send(sampleOf("web"), sampleOf("db"));
    await eventually("the sample after it", () => samples.length === 1);
    expect(host.subscription().decodeErrors.internal).toBe(1);
    expect(host.log.fields).toContainEqual(
      expect.objectContaining({
        reason: "internal",
        detail: expect.stringContaining("a fault in the fleet"),
      }),
    );
  });

  test("drops what would not fit in memory", async () => {
    testHost({}, { sampleBudgetBytes: 5 * 1024 });
    await host.start("stat");
    const peer = await host.stat.peer(1);
    peer.send(...Array.from({ length: 100 }, (_, i) => sampleOf(`vm-${i}`)));
    await eventually("all of them counted", () => host.subscription().decodeErrors.over_budget === 95);
    expect(host.sink.samples).toHaveLength(5);
  });
});

describe("the stats interval", () => {
  test("is learnt, and known to each sample as well as it can be", async () => {
    const peer = await subscribed();
    for (let tick = 0; tick < 5; tick++) {
      await host.burst(peer, "user:web", "user:db");
      host.clock.advance(1_000);
    }
    expect(host.sink.samples.map(({ intervalUs }) => intervalUs / S)).toEqual([
      10, 10, 1, 1, 1, 1, 1, 1, 1, 1,
    ]);
    expect(host.subscription().intervalUs).toBe(S);
  });

  test("is learnt anew on the next connection", async () => {
    const peer = await subscribed();
    for (let tick = 0; tick < 4; tick++) {
      await host.burst(peer, "user:web");
      host.clock.advance(1_000);
    }
    expect(host.subscription().intervalUs).toBe(S);
    peer.close();
    await host.state("backoff");
    expect(host.subscription().intervalUs).toBe(S);
    host.clock.advance(1_000);
    await host.state("subscribed");
    expect(host.subscription().intervalUs).toBe(10 * S);
  });

  test("is what is configured, with one warning when that is far off", async () => {
    const peer = await subscribed({ statsIntervalMs: 10_000 });
    for (let tick = 0; tick < 10; tick++) {
      await host.burst(peer, "user:web");
      host.clock.advance(1_000);
    }
    expect(host.subscription().intervalUs).toBe(10 * S);
    expect(host.log.with("stats_interval")).toHaveLength(1);
    expect(host.log.fields).toContainEqual(
      expect.objectContaining({ host: "box", subscription: ":", configuredSeconds: 10, measuredSeconds: 1 }),
    );
  });

  test("takes a stall and the burst of queued samples after it for one burst", async () => {
    const peer = await subscribed();
    for (let tick = 0; tick < 4; tick++) {
      await host.burst(peer, "user:web", "user:db");
      host.clock.advance(10_000);
    }
    host.clock.advance(15_000);
    await host.burst(peer, "user:web", "user:db", "user:web", "user:db", "user:web", "user:db");
    expect(new Set(host.sink.samples.slice(-6).map(({ arrivalUs }) => arrivalUs)).size).toBe(1);
    expect(host.subscription().intervalUs).toBe(10 * S);
  });
});

describe("a daemon that is not there", () => {
  test("is looked for again and again, with one line, and found when it comes", async () => {
    await testHost().start();
    await host.pass(120_000);
    expect(host.subscription()).toMatchObject({
      state: "backoff",
      connects: 0,
      lastError: expect.stringContaining("does not exist (yet)"),
    });
    expect(host.log.with("stat.sock")).toHaveLength(1);

    await host.stat.start();
    await host.pass(60_000);
    expect(host.subscription()).toMatchObject({ state: "subscribed", connects: 1, lastError: null });
    expect(host.log.with("info: subscribed")).toHaveLength(1);
  });

  test("that goes and comes back is subscribed to again", async () => {
    const peer = await subscribed();
    await host.burst(peer, "user:web");
    await host.stat.stop();
    await host.state("backoff");
    expect(host.sink.lives).toEqual([true, false]);
    expect(host.subscription()).toMatchObject({ disconnects: { closed: 1 } });

    await host.pass(20_000);
    expect(host.subscription()).toMatchObject({
      state: "backoff",
      lastError: expect.stringContaining("stat.sock"),
    });
    await host.stat.start();
    await host.pass(30_000);
    const again = await host.stat.peer(2);
    await host.burst(again, "user:web");
    expect(host.sink.lives).toEqual([true, false, true]);
    expect(host.subscription()).toMatchObject({ state: "receiving", messages: 2, connects: 2 });
  });

  test("restarted many times within minutes is no rival", async () => {
    await testHost().start();
    for (let restart = 0; restart < 5; restart++) {
      await host.stat.start();
      await host.passUntil("subscribed", () => host.subscription().state === "subscribed");
      await host.stat.stop();
      await host.passUntil(
        "an attempt in vain",
        () => host.subscription().lastError?.includes("stat.sock") ?? false,
      );
    }
    expect(host.log.with("displaced")).toEqual([]);
    expect(host.subscription()).toMatchObject({ connects: 5, disconnects: { closed: 5 } });
  });

  test.runIf(process.getuid?.() === 0)("and one that may not be opened, say what to do", async () => {
    testHost();
    await host.stat.start();
    chmodSync(host.stat.path, 0o600);
    chmodSync(host.socketDir, 0o755);
    process.seteuid?.(65534);
    try {
      host.target.start();
      await host.state("backoff");
    } finally {
      process.seteuid?.(0);
    }
    expect(host.subscription().lastError).toMatch(
      /stat\.sock \(root:root, mode 0600\) keeps out nobody .*: chmod g\+w /,
    );
    expect(host.log.with("keeps out")).toHaveLength(1);
  });
});

describe("a daemon that does not acknowledge", () => {
  test("is left after ten seconds", async () => {
    testHost();
    host.stat.onRequest = () => undefined;
    await host.start("stat");
    await host.stat.peer(1);
    host.clock.advance(9_999);
    expect(host.subscription().state).toBe("connecting");
    host.clock.advance(1);
    expect(host.subscription()).toMatchObject({ state: "backoff", disconnects: { timeout: 1 } });
    await eventually("the connection closed", () => host.stat.openPeers.length === 0);
  });

  test("is told apart by its failure, and tried ever more rarely", async () => {
    testHost();
    host.stat.onRequest = (peer, { header }) => {
      peer.send(failureReply(header, "unexpected command"));
      peer.close();
    };
    await host.start("stat");
    await host.pass(60_000);
    // At 0, 1, 3, 7, 15 and 31 s.
    expect(host.subscription()).toMatchObject({ state: "backoff", connects: 6, disconnects: { refused: 6 } });
    expect(host.subscription().lastError).toContain("unexpected command");
    expect(host.log.with("refused")).toHaveLength(1);
    expect(host.log.with("displaced")).toEqual([]);
  });

  test("has its failure told in its first words only", async () => {
    testHost();
    host.stat.onRequest = (peer, { header }) => peer.send(failureReply(header, "no ".repeat(100_000)));
    await host.start("stat");
    await host.state("backoff");
    expect(host.subscription().lastError).toMatch(/refused the subscription: (no )+\.\.\.$/);
    expect(host.subscription().lastError?.length).toBeLessThan(400);
  });

  test("but refuses is not listened to any more", async () => {
    testHost();
    host.stat.onRequest = (peer, { header }) => peer.send(failureReply(header, "no"), sampleOf("user:web"));
    await host.start("stat");
    await host.state("backoff");
    await settle();
    expect(host.sink.samples).toEqual([]);
  });

  test("is tried soon again once a subscription has held", async () => {
    testHost();
    host.stat.onRequest = (peer) => peer.close();
    await host.start("stat");
    await host.pass(60_000);
    host.stat.onRequest = acknowledge;
    await host.passUntil("subscribed", () => host.target.snapshot().up);
    const peer = await host.stat.peer(host.stat.peers.length);
    host.clock.advance(10_000);
    await host.burst(peer, "user:web");
    peer.close();
    await host.state("backoff");
    host.clock.advance(1_000);
    await host.state("subscribed");
  });

  test("closing without a word is a refusal, too", async () => {
    testHost();
    host.stat.onRequest = (peer) => peer.close();
    await host.start("stat");
    await host.state("backoff");
    expect(host.subscription()).toMatchObject({ disconnects: { refused: 1, closed: 0 } });
  });

  test("with the number that was asked does so nevertheless: there is one command per connection", async () => {
    testHost();
    host.stat.onRequest = (peer, { header }) =>
      peer.send(successString({ ...header, sequence: 77 }, "subscribed"));
    await host.start("stat");
    await host.state("subscribed");
  });
});

describe("another client that takes the subscription again and again", () => {
  /** The rival subscribes at once whenever we do: the daemon acknowledges us, then closes. */
  async function kickedHost(config?: Partial<TargetConfig>): Promise<void> {
    testHost(config);
    host.stat.onRequest = (peer, request) => {
      acknowledge(peer, request);
      peer.close();
    };
    await host.start("stat");
  }

  test("is not fought: after three closes one attempt every five minutes", async () => {
    await kickedHost();
    await eventually("the first close", () => host.subscription().disconnects.closed === 1);
    host.clock.advance(1_000);
    await eventually("the second close", () => host.subscription().disconnects.closed === 2);
    expect(host.subscription().state).toBe("backoff");
    host.clock.advance(2_000);
    await eventually("the third close", () => host.subscription().disconnects.closed === 3);
    expect(host.subscription()).toMatchObject({ state: "displaced", connects: 3 });

    for (let retry = 1; retry <= 3; retry++) {
      await host.pass(299_000);
      expect(host.stat.peers).toHaveLength(2 + retry);
      await host.pass(1_000);
      await eventually("closed again", () => host.subscription().disconnects.closed === 3 + retry);
      expect(host.subscription().state).toBe("displaced");
    }
    expect(host.stat.peers).toHaveLength(6);
  });

  test("is named, once, with the way out", async () => {
    await kickedHost({ displacedRetryMs: 60_000 });
    await host.pass(300_000);
    expect(host.subscription().disconnects.closed).toBeGreaterThanOrEqual(7);
    const lines = host.log.with("displaced");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/albatross-influx.*mollymawk.*to paths/);
    expect(host.subscription().lastError).toContain("displaced");
    // subscribed, closed by the daemon, displaced: and then silence.
    expect(host.log.lines.filter((line) => !line.includes("unikernel info"))).toHaveLength(3);
  });

  test("is over when a subscription holds", async () => {
    await kickedHost();
    await host.pass(10_000);
    host.stat.onRequest = acknowledge;
    await host.pass(300_000);
    const peer = await host.stat.peer(4);
    await host.burst(peer, "user:web");
    expect(host.subscription().state).toBe("displaced");
    expect(host.target.snapshot().up).toBe(true);
    host.clock.advance(10_000);
    await host.burst(peer, "user:web");
    expect(host.subscription()).toMatchObject({ state: "receiving", lastError: null });
    expect(host.log.with("receiving again")).toHaveLength(1);
  });

  test("is over after five minutes on a host without unikernels, too", async () => {
    await kickedHost();
    await host.pass(10_000);
    host.stat.onRequest = acknowledge;
    await host.passUntil("subscribed", () => host.target.snapshot().up);
    await host.pass(298_000);
    expect(host.subscription().state).toBe("displaced");
    await host.pass(32_000);
    expect(host.subscription()).toMatchObject({ state: "subscribed", lastError: null });
  });

  test("once or twice is only closed and tried again", async () => {
    const peer = await subscribed();
    await host.burst(peer, "user:web");
    peer.close();
    await host.state("backoff");
    host.clock.advance(1_000);
    await host.state("subscribed");
    expect(host.subscription()).toMatchObject({ disconnects: { closed: 1 } });
  });
});

describe("damage on stat.sock", () => {
  test("samples cut at every byte are the same samples", async () => {
    const capture = captureBytes("stats-root.bin");
    testHost();
    host.stat.onRequest = (peer) => {
      peer.socket.setNoDelay(true);
      for (let i = 0; i < capture.length; i++) peer.raw(capture.subarray(i, i + 1));
    };
    await host.start("stat");
    await eventually("all samples", () => host.subscription().messages === 16);
    expect(host.subscription()).toMatchObject({ bytes: capture.length, state: "receiving" });
    expect(sum(host.subscription().decodeErrors)).toBe(0);
  });

  test("two samples across every cut are the same samples", async () => {
    const two = Buffer.concat(
      [sampleOf("user:web"), sampleOf("user:db")].map((message) => encodeFrame(encodeMessage(message))),
    );
    const peer = await subscribed();
    for (let cut = 1; cut < two.length; cut++) {
      const bytesBefore = host.subscription().bytes;
      peer.raw(two.subarray(0, cut));
      await eventually("the first part", () => host.subscription().bytes === bytesBefore + cut);
      peer.raw(two.subarray(cut));
      await eventually("both samples", () => host.sink.samples.length === 2 * cut);
    }
    expect(sum(host.subscription().decodeErrors)).toBe(0);
  });

  test.each([
    ["2 GB announced", "7fffffff", "frame_too_long"],
    ["one byte more than allowed", "00100001", "frame_too_long"],
    ["length zero", "00000000", "frame_length"],
    ["a negative length", "ffffffff", "frame_length"],
  ] as const)("%s closes and reconnects, what came before is kept", async (_, prefix, reason) => {
    const peer = await subscribed();
    const good = encodeFrame(encodeMessage(sampleOf("user:web")));
    const rssBefore = process.memoryUsage().arrayBuffers;
    peer.raw(Buffer.concat([good, Buffer.from(prefix, "hex"), good]));
    await host.state("backoff");
    expect(process.memoryUsage().arrayBuffers - rssBefore).toBeLessThan(16 * 1024 * 1024);
    expect(host.sink.samples).toHaveLength(1);
    expect(host.subscription().decodeErrors[reason]).toBe(1);
    expect(host.subscription().disconnects.framing).toBe(1);
    expect(host.subscription().lastError).toContain("damaged");

    host.clock.advance(1_000);
    await host.burst(await host.stat.peer(2), "user:web");
    expect(host.subscription().state).toBe("receiving");
  });

  test("again and again is met with ever longer waits and one line", async () => {
    testHost();
    host.stat.onRequest = (peer, request) => {
      acknowledge(peer, request);
      peer.send(sampleOf("user:web"));
      peer.raw(Buffer.alloc(8));
    };
    await host.start("stat");
    for (let attempt = 1; attempt <= 8; attempt++) {
      await eventually("damaged", () => host.subscription().disconnects.framing === attempt);
      host.clock.advance(Math.min(2 ** (attempt - 1), 30) * 1000 - 1);
      expect(host.subscription().state).toBe("backoff");
      host.clock.advance(1);
    }
    expect(host.log.with("the stream is damaged")).toHaveLength(1);
  });

  test("a message that does not decode is skipped and counted, the connection stays", async () => {
    const peer = await subscribed();
    const good = encodeMessage(sampleOf("user:web"));
    const versionSix = Buffer.from(good);
    versionSix[versionSix.indexOf(Buffer.from("020105", "hex")) + 2] = 6;
    peer.raw(Buffer.concat([Buffer.from("300000"), versionSix, good.subarray(0, -1), good].map(encodeFrame)));
    await eventually("the good one", () => host.sink.samples.length === 1);
    expect(host.subscription().decodeErrors.version).toBe(1);
    expect(sum(host.subscription().decodeErrors)).toBe(3);
    expect(host.subscription()).toMatchObject({ connects: 1, state: "receiving" });
  });

  test("other data, replies and commands are skipped and counted", async () => {
    const peer = await subscribed();
    const header = { version: 5, sequence: 0, name: parseName("user:web") } as const;
    peer.send(
      { header, payload: { type: "data", data: "console", timestampMs: 0, line: "hello" } },
      { header, payload: { type: "success", result: "empty" } },
      { header, payload: { type: "failure", message: "no" } },
      { header, payload: { type: "command", command: { class: "stats", command: "subscribe" } } },
      sampleOf("user:web"),
    );
    await eventually("the sample", () => host.sink.samples.length === 1);
    expect(host.subscription().decodeErrors).toMatchObject({ unknown_data: 1, unexpected: 3 });
    expect(host.subscription().connects).toBe(1);
  });

  test("a stream that ends inside a frame is closed by the daemon, and counted", async () => {
    const peer = await subscribed();
    const good = encodeFrame(encodeMessage(sampleOf("user:web")));
    peer.raw(Buffer.concat([good, good.subarray(0, 20)]));
    peer.close();
    await host.state("backoff");
    expect(host.subscription()).toMatchObject({
      messages: 1,
      decodeErrors: { truncated: 1 },
      disconnects: { closed: 1 },
    });
  });

  test("random bytes end nothing but the connection", async () => {
    testHost({ displacedRetryMs: 10_000 });
    let seed = 1;
    const randomByte = () => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      return (seed >> 16) & 0xff;
    };
    host.stat.onRequest = (peer, request) => {
      acknowledge(peer, request);
      peer.raw(Buffer.from(Array.from({ length: 2000 }, randomByte)));
      peer.close();
    };
    await host.start("stat");
    for (let attempt = 1; attempt <= 200; attempt++) {
      await host.passUntil("an end", () => sum(host.subscription().disconnects) === attempt);
    }
    host.stat.onRequest = acknowledge;
    await host.passUntil("subscribed", () => host.target.snapshot().up);
    await host.burst(await host.stat.peer(host.stat.peers.length), "user:web");
    expect(sum(host.subscription().decodeErrors)).toBeGreaterThan(0);
  });
});

describe("recorded streams", () => {
  test.each([
    [":", "stats-root.bin", ["user:web", "user:sub:router", "user:db", ":hello"], 16],
    [":", "stats-root-10s.bin", ["user:web", "user:sub:router", "user:db", ":hello"], 16],
    ["user:", "stats-path-user.bin", ["user:web", "user:sub:router", "user:db"], 12],
    ["nope:vm", "stats-nonexisting.bin", [], 0],
  ])("at %s (%s) are taken whole", async (text, file, vms, messages) => {
    testHost({ subscribe: [text] });
    host.stat.onRequest = (peer) => peer.raw(captureBytes(file));
    await host.start("stat", "vmmd");
    await eventually(
      "all samples",
      () => host.subscription(text).messages === messages && host.target.snapshot().up,
    );
    expect(new Set(host.sink.samples.map(({ name }) => name))).toEqual(new Set(vms));
    expect(sum(host.subscription(text).decodeErrors)).toBe(0);
  });
});

describe("stopping", () => {
  test.each(["connecting", "subscribed", "backoff"] as const)(
    "while %s leaves no timer and no socket",
    async (state) => {
      testHost();
      if (state === "connecting") host.stat.onRequest = () => undefined;
      await (state === "backoff" ? host.start() : host.start("stat"));
      await host.state(state);
      await host.target.stop();
      expect(host.clock.pendingTimers).toBe(0);
      expect(host.subscription().state).toBe("stopped");
      expect(host.target.snapshot().up).toBe(false);
    },
  );
});

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
