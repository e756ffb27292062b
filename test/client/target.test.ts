import { afterEach, describe, expect, test } from "vitest";
import type { TargetConfig } from "../../src/config/target.ts";
import { policiesReply } from "../../src/simulator/messages.ts";
import type { NamedPolicy } from "../../src/wire/messages.ts";
import { formatName, parseName } from "../../src/wire/names.ts";
import { eventually, settle } from "../support/eventually.ts";
import type { Peer } from "../support/scriptedDaemon.ts";
import { makeInfo } from "../support/stats.ts";
import { acknowledge, answerAsAlbatrossd, running, sampleOf, TestHost } from "./support/host.ts";

let host: TestHost;

afterEach(async () => {
  await host.stop();
});

function testHost(config?: Partial<TargetConfig>, ...names: string[]): TestHost {
  host = new TestHost(config);
  host.running = running(...names);
  return host;
}

/** The names that albatrossd was asked for with unikernel info, in order. */
function askedFor(): string[] {
  return host.vmmd.requests.flatMap(({ header, payload }) =>
    payload.type === "command" && payload.command.class === "unikernel" ? [formatName(header.name)] : [],
  );
}

describe("unikernel info", () => {
  test("is asked at once and every 30 s, each question on a connection of its own", async () => {
    testHost({}, "user:web", "hello");
    await host.nextInfo(() => void host.start("stat", "vmmd"));
    expect(host.sink.infos).toMatchObject([{ names: ["user:web", ":hello"], askedAtUs: 0 }]);
    expect(host.target.snapshot()).toMatchObject({ infoReadable: true, infoError: null });

    await eventually("policies", () => host.sink.policyLists.length === 1);
    host.clock.advance(29_999);
    await settle();
    expect(host.sink.infos).toHaveLength(1);
    await host.nextInfo(() => host.clock.advance(1));
    expect(host.sink.infos[1]?.askedAtUs).toBe(30_000_000);
    expect(host.vmmd.peers.every(({ requests }) => requests.length === 1)).toBe(true);
  });

  test("is asked for each subscription, and its names made full", async () => {
    testHost(
      { subscribe: ["user:", "other:web", ":solo"] },
      "user:web",
      "user:sub:router",
      "other:web",
      "other:db",
      "solo",
      "hello",
    );
    await host.nextInfo(() => void host.start("stat", "vmmd"));
    expect(askedFor().slice(0, 4)).toEqual(["user:", ":user", "other:web", ":solo"]);
    expect(host.sink.infos[0]?.names).toEqual(["user:web", "user:sub:router", "other:web", ":solo"]);
  });

  test("comes without arguments, which hold secrets", async () => {
    testHost();
    host.running = [{ name: parseName("web"), info: makeInfo({ argv: ["--password=secret"] }) }];
    await host.nextInfo(() => void host.start("stat", "vmmd"));
    expect(host.sink.infos[0]?.entries[0]?.info.argv).toBeNull();
    expect(JSON.stringify([host.sink.infos, host.target.snapshot(), host.log])).not.toContain("secret");
  });

  test("keeps nothing of the reply's buffer alive", async () => {
    testHost();
    host.running = [
      { name: parseName("web"), info: makeInfo({ argv: ["secret"], digest: Buffer.alloc(32, 7) }) },
    ];
    await host.nextInfo(() => void host.start("stat", "vmmd"));
    const digest = host.sink.infos[0]?.entries[0]?.info.digest;
    expect(digest?.buffer.byteLength).toBe(32);
  });

  test("that cannot be read costs one line, its families and nothing else", async () => {
    testHost();
    await host.start("stat");
    await host.pass(120_000);
    expect(host.sink.infos).toEqual([]);
    expect(host.log.with("unikernel info")).toHaveLength(1);
    expect(host.target.snapshot()).toMatchObject({
      up: true,
      infoReadable: false,
      infoError: expect.stringContaining("vmmd.sock does not exist"),
    });
    expect(host.target.snapshot().infoErrors.unreachable).toBeGreaterThanOrEqual(4);
    await host.burst(await host.stat.peer(1), "user:web");
  });

  test("is taken up again when it can be read", async () => {
    testHost({}, "user:web");
    await host.start("stat");
    await host.noInfo();
    await host.vmmd.start();
    await host.nextInfo(() => host.clock.advance(30_000));
    expect(host.target.snapshot()).toMatchObject({ infoReadable: true, infoError: null });
    expect(host.log.with("can be read again")).toHaveLength(1);
  });

  test("is asked at once when albatross-stats comes up: albatrossd came with it", async () => {
    testHost({}, "user:web");
    await host.start();
    await host.noInfo();
    await host.stat.start();
    await host.vmmd.start();
    await host.passUntil("unikernel info", () => host.sink.infos.length === 1, 8_000);
  });

  test("is all or nothing: when one subscription's question fails there is no answer", async () => {
    testHost({ subscribe: ["a:", "b:"] }, "a:web", "b:web");
    host.vmmd.onRequest = (peer, message) => {
      const isInfo = message.payload.type === "command" && message.payload.command.class === "unikernel";
      if (isInfo && formatName(message.header.name) === "b:") peer.raw(Buffer.from("00000003300000", "hex"));
      else peer.send(answerAsAlbatrossd(message, host.running));
    };
    await host.start("stat", "vmmd");
    await host.noInfo();
    expect(host.sink.infos).toEqual([]);
    expect(host.target.snapshot().infoErrors.undecodable).toBe(1);
  });
});

describe("unikernel info that something just heard waits for", () => {
  const questions = () => askedFor().filter((name) => name === ":").length;

  /** A host whose albatrossd was asked once, `agoMs` ago. */
  async function askedOnce(agoMs: number): Promise<void> {
    testHost();
    await host.nextInfo(() => void host.start("stat", "vmmd"));
    await eventually("policies", () => host.sink.policyLists.length === 1);
    host.clock.advance(agoMs);
    await settle();
  }

  test("is asked at once, and every 30 s from then on", async () => {
    await askedOnce(5_000);
    host.target.askInfoSoon();
    await host.nextInfo(() => host.clock.advance(0));
    expect(host.sink.infos[1]?.askedAtUs).toBe(5_000_000);
    await eventually("policies", () => host.sink.policyLists.length === 2);
    await host.pass(29_000);
    expect(questions()).toBe(2);
    await host.pass(1_000);
    expect(questions()).toBe(3);
  });

  test("is asked every 2 s at most, however much waits for it", async () => {
    await askedOnce(500);
    for (let i = 0; i < 60; i++) {
      for (let vm = 0; vm < 100; vm++) host.target.askInfoSoon();
      host.clock.advance(100);
      await settle(4);
    }
    // At 0 s, and between 0.5 and 6.5 s at 2, 4 and 6 s.
    expect(host.sink.infos.map(({ askedAtUs }) => askedAtUs / 1e6)).toEqual([0, 2, 4, 6]);
  });

  test("is asked again where the question was on its way already", async () => {
    await askedOnce(29_000);
    const { onRequest } = host.vmmd;
    let answer = () => undefined as unknown;
    host.vmmd.onRequest = (peer, message) => {
      answer = () => onRequest(peer, message);
      host.vmmd.onRequest = onRequest;
    };
    host.clock.advance(1_000);
    await eventually("the question", () => questions() === 2);
    host.target.askInfoSoon();
    host.clock.advance(3_000);
    await host.nextInfo(() => answer());
    await eventually("policies", () => host.sink.policyLists.length === 2);
    await host.passUntil("the next question", () => host.sink.infos.length === 3, 1_000);
  });

  test("is not asked again before the last one is taken in, however long that takes", async () => {
    testHost();
    let taken = () => {};
    host.sink.info = () =>
      new Promise<void>((resolve) => {
        taken = resolve;
      });
    await host.start("stat", "vmmd");
    await eventually("the first answer", () => host.target.snapshot().infoReadable === true);
    host.target.askInfoSoon();
    await host.pass(90_000);
    expect(questions()).toBe(1);
    host.sink.info = () => undefined;
    taken();
    await eventually("the first answer taken in", () => host.clock.pendingTimers > 0);
    await host.passUntil("the next question", () => questions() === 2, 2_000);
  });

  test("is not asked sooner where it cannot be read", async () => {
    testHost();
    await host.start("stat");
    await host.noInfo();
    for (let second = 0; second < 29; second++) {
      host.target.askInfoSoon();
      await host.pass(1_000);
    }
    expect(host.target.snapshot().infoErrors.unreachable).toBeLessThanOrEqual(2);
  });
});

describe("policies", () => {
  const policy = { cpuids: [0], unikernels: 1, memory: 2, block: null, bridges: [] };

  /** Lets albatrossd answer with these policies for each path asked. */
  async function policiesOf(
    subscribe: string[],
    byPath: Record<string, string[]>,
  ): Promise<readonly NamedPolicy[]> {
    testHost({ subscribe });
    host.vmmd.onRequest = (peer, message) => {
      if (message.payload.type !== "command" || message.payload.command.class !== "policy") {
        peer.send(answerAsAlbatrossd(message, host.running));
        return;
      }
      const names = byPath[formatName(message.header.name)];
      if (names === undefined) throw new Error(`asked for ${formatName(message.header.name)}`);
      peer.send(
        policiesReply(
          message.header,
          names.map((name) => ({ name: parseName(name), policy })),
        ),
      );
    };
    await host.start("stat", "vmmd");
    await eventually("policies", () => host.sink.policyLists.length > 0);
    return host.sink.policyLists[0] ?? [];
  }

  test.each<[string, string[], Record<string, string[]>, string[]]>([
    ["of everything for the root", [":"], { ":": [":", "user:", "user:sub:"] }, [":", "user:", "user:sub:"]],
    ["named in full for a path", ["user:"], { "user:": [":", "sub:"] }, ["user:", "user:sub:"]],
    ["of a path however they are written", [":"], { ":": ["user"] }, ["user:"]],
    ["of its path alone for a unikernel", ["user:web"], { "user:": [":", "sub:"] }, ["user:"]],
    ["once for two unikernels of one path", ["user:web", "user:db"], { "user:": [":"] }, ["user:"]],
  ])("are %s", async (_, subscribe, byPath, expected) => {
    const policies = await policiesOf(subscribe, byPath);
    expect(policies.map(({ name }) => formatName(name))).toEqual(expected);
    expect(policies[0]?.policy).toEqual(policy);
  });

  test("that cannot be read leave unikernel info as it is", async () => {
    testHost({}, "user:web");
    host.vmmd.onRequest = (peer, message) => {
      if (message.payload.type === "command" && message.payload.command.class === "policy") peer.close();
      else peer.send(answerAsAlbatrossd(message, host.running));
    };
    await host.nextInfo(() => void host.start("stat", "vmmd"));
    await eventually("the failure", () => host.target.snapshot().infoError !== null);
    await host.nextInfo(() => host.clock.advance(30_000));
    expect(host.target.snapshot()).toMatchObject({ infoReadable: true });
    expect(host.sink.policyLists).toEqual([]);
    expect(host.log.with("policies cannot be read")).toHaveLength(1);
  });
});

describe("the guard of a subscription to a path", () => {
  test("asks whether a unikernel has the path's name before it opens it", async () => {
    testHost({ subscribe: ["a:b:"] }, "a:b:web", "b", "a:c");
    await host.start("stat", "vmmd");
    await host.state("subscribed", "a:b:");
    expect(askedFor()).toEqual(["a:b:", "a:b"]);
    expect(host.sink.infos[0]?.names).toEqual(["a:b:web"]);
  });

  test("does not open it while that unikernel runs", async () => {
    testHost({ subscribe: ["user:"] }, "user:web", "user");
    await host.start("stat", "vmmd");
    await host.state("blocked", "user:");
    await host.pass(300_000);
    expect(host.subscription("user:").state).toBe("blocked");
    expect(host.subscription("user:").lastError).toContain("the unikernel :user runs");
    expect(host.stat.peers).toEqual([]);
    expect(host.log.with(":user runs")).toHaveLength(1);
    // It is no unikernel of the subscription.
    expect(host.sink.infos[0]?.names).toEqual(["user:web"]);
  });

  test("opens it when that unikernel is gone", async () => {
    testHost({ subscribe: ["user:"] }, "user:web", "user");
    await host.start("stat", "vmmd");
    await host.state("blocked", "user:");
    host.running = running("user:web");
    host.clock.advance(30_000);
    await host.state("subscribed", "user:");
    expect(host.subscription("user:").lastError).toBeNull();
  });

  test("closes it when such a unikernel appears", async () => {
    testHost({ subscribe: ["user:"] }, "user:web");
    await host.start("stat", "vmmd");
    const peer = await host.stat.peer(1);
    await host.burst(peer, ":web");
    host.running = running("user:web", "user");
    host.clock.advance(30_000);
    await host.state("blocked", "user:");
    expect(host.subscription("user:").disconnects.blocked).toBe(1);
    expect(host.target.snapshot().up).toBe(false);
    await eventually("the connection closed", () => peer.closed);
  });

  test("asks anew before it opens it again", async () => {
    testHost({ subscribe: ["user:"] }, "user:web");
    await host.start("stat", "vmmd");
    const peer = await host.stat.peer(1);
    await host.state("subscribed", "user:");
    await host.pass(10_000);
    host.running = running("user:web", "user");
    peer.close();
    await host.state("backoff", "user:");
    host.clock.advance(1_000);
    await host.state("blocked", "user:");
    expect(host.stat.peers).toHaveLength(1);
  });

  test("does not open it without unikernel info, and says what to do", async () => {
    testHost({ subscribe: ["user:"] });
    await host.start("stat");
    await host.state("blocked", "user:");
    expect(host.subscription("user:").lastError).toMatch(
      /allow_unchecked_path: true.*vmmd.sock does not exist/,
    );
    await host.pass(120_000);
    expect(host.stat.peers).toEqual([]);
    expect(host.log.with("allow_unchecked_path")).toHaveLength(1);
  });

  test("opens it without unikernel info on the operator's word", async () => {
    testHost({ subscribe: ["user:"], allowUncheckedPath: true });
    await host.start("stat");
    await host.burst(await host.stat.peer(1), ":web");
    expect(host.subscription("user:").state).toBe("receiving");
  });

  test("checks nevertheless where info can be read", async () => {
    testHost({ subscribe: ["user:"], allowUncheckedPath: true }, "user");
    await host.start("stat", "vmmd");
    await host.state("blocked", "user:");
    expect(host.stat.peers).toEqual([]);
  });

  test("leaves an open one open while albatrossd is away", async () => {
    testHost({ subscribe: ["user:"] }, "user:web");
    await host.start("stat", "vmmd");
    await host.state("subscribed", "user:");
    await host.vmmd.stop();
    host.clock.advance(30_000);
    await eventually("info unreadable", () => host.target.snapshot().infoReadable === false);
    expect(host.subscription("user:").state).toBe("subscribed");
  });

  test("holds for paths only", async () => {
    testHost({ subscribe: ["user:web", ":user"] }, "user");
    await host.start("stat");
    await host.state("subscribed", "user:web");
    await host.state("subscribed", ":user");
  });
});

describe("the watchdog", () => {
  /** Subscribed, one burst received, then the daemon forgets: what runs still runs. */
  async function forgotten(config: Partial<TargetConfig>, ...daemons: ("stat" | "vmmd")[]): Promise<Peer> {
    testHost({ statsIntervalMs: 2_000, ...config }, "user:web");
    const before = host.sink.infos.length;
    await host.start(...daemons);
    if (daemons.includes("vmmd")) await eventually("info", () => host.sink.infos.length > before);
    else await host.noInfo();
    const peer = await host.stat.peer(1);
    await host.burst(peer, "user:web");
    return peer;
  }

  test("reconnects after three intervals of silence when info still lists a unikernel", async () => {
    const peer = await forgotten({}, "stat", "vmmd");
    host.clock.advance(5_999);
    await settle();
    expect(host.subscription().state).toBe("receiving");
    host.clock.advance(1);
    await eventually("the watchdog", () => host.subscription().disconnects.watchdog === 1);
    await eventually("the connection closed", () => peer.closed);
    host.clock.advance(1_000);
    await host.burst(await host.stat.peer(2), "user:web");
    expect(host.subscription()).toMatchObject({ state: "receiving", connects: 2 });
  });

  test("does not when the unikernel has gone, which it asks first", async () => {
    await forgotten({}, "stat", "vmmd");
    host.running = [];
    await host.nextInfo(() => host.clock.advance(6_000));
    expect(host.subscription()).toMatchObject({ state: "receiving", disconnects: { watchdog: 0 } });
    await host.pass(120_000);
    expect(host.subscription()).toMatchObject({ state: "subscribed", connects: 1 });
  });

  test("gives a unikernel that appears where there was none three intervals to show", async () => {
    testHost({ statsIntervalMs: 20_000 });
    await host.start("stat", "vmmd");
    await host.state("subscribed");
    await host.pass(150_000);
    host.running = running("user:web");
    await host.nextInfo(() => host.clock.advance(30_000));
    await host.pass(55_000);
    expect(host.subscription().disconnects.watchdog).toBe(0);
    await host.pass(10_000);
    expect(host.subscription().disconnects.watchdog).toBe(1);
  });

  test("gives unikernels three intervals after albatrossd was away, too", async () => {
    testHost({ statsIntervalMs: 20_000 }, "user:web");
    await host.nextInfo(() => void host.start("stat", "vmmd"));
    await host.vmmd.stop();
    await host.pass(60_000);
    expect(host.target.snapshot().infoReadable).toBe(false);
    await host.vmmd.start();
    await host.nextInfo(() => host.clock.advance(30_000));
    await host.pass(55_000);
    expect(host.subscription().disconnects.watchdog).toBe(0);
    await host.pass(10_000);
    expect(host.subscription().disconnects.watchdog).toBe(1);
  });

  test("without info goes by what the subscription has ever delivered", async () => {
    await forgotten({}, "stat");
    host.clock.advance(6_000);
    expect(host.subscription().disconnects.watchdog).toBe(1);
  });

  test("without info leaves one alone that never delivered", async () => {
    testHost({ statsIntervalMs: 2_000 });
    await host.start("stat");
    await host.state("subscribed");
    await host.pass(300_000);
    expect(host.subscription()).toMatchObject({ state: "subscribed", connects: 1 });
  });

  test("says so once, however often it reconnects in vain", async () => {
    await forgotten({}, "stat", "vmmd");
    await host.pass(300_000);
    expect(host.subscription().disconnects.watchdog).toBeGreaterThan(5);
    expect(host.log.with("forgotten")).toHaveLength(1);
    expect(host.log.with("displaced")).toEqual([]);
  });

  test("learns a slow daemon instead of cutting it off for ever", async () => {
    testHost({}, "user:web");
    // A daemon that ticks every 60 s would never be heard by connections that are given up after 30 s.
    let cancelTick = host.clock.after(45_000, tick);
    function tick(): void {
      for (const peer of host.stat.openPeers) peer.send(sampleOf("user:web"));
      cancelTick = host.clock.after(60_000, tick);
    }
    await host.start("stat", "vmmd");
    await host.pass(600_000);
    cancelTick();
    expect(host.subscription()).toMatchObject({ state: "receiving", intervalUs: 60_000_000 });
    expect(host.subscription().disconnects.watchdog).toBeLessThanOrEqual(2);
  });
});

describe("a target", () => {
  test("is up while at least one of its subscriptions is acknowledged", async () => {
    testHost({ subscribe: ["a:web", "b:web"] });
    await host.start("stat");
    await host.state("subscribed", "a:web");
    await host.state("subscribed", "b:web");
    host.stat.onRequest = () => undefined;
    const [first, second] = [await host.stat.peer(1), await host.stat.peer(2)];
    first.close();
    await eventually("one left", () =>
      host.target.snapshot().subscriptions.some(({ state }) => state === "backoff"),
    );
    expect(host.target.snapshot().up).toBe(true);
    second.close();
    await eventually("none left", () => !host.target.snapshot().up);
    expect(host.sink.lives).toEqual([true, false]);
  });

  test("goes on when the sink throws at info", async () => {
    testHost({}, "user:web");
    host.sink.info = () => {
      throw new Error("a fault in the fleet");
    };
    await host.start("stat", "vmmd");
    await eventually("the line", () => host.log.with("could not be taken").length === 1);
    await host.state("subscribed");
  });

  test("sends nothing but subscribe, unikernel info and policy info", async () => {
    testHost({ subscribe: ["user:", "other:web"] }, "user:web");
    await host.start("stat", "vmmd");
    await host.pass(60_000);
    const commands = [...host.stat.requests, ...host.vmmd.requests].map(({ payload }) =>
      payload.type === "command" ? `${payload.command.class} ${payload.command.command}` : payload.type,
    );
    expect(new Set(commands)).toEqual(new Set(["stats subscribe", "unikernel info", "policy info"]));
  });

  test("stopped while albatrossd is asked leaves no timer and no socket", async () => {
    testHost({ subscribe: ["user:"] });
    host.vmmd.onRequest = () => undefined;
    await host.start("stat", "vmmd");
    await host.vmmd.peer(1);
    await host.target.stop();
    expect(host.clock.pendingTimers).toBe(0);
    await eventually("the connection closed", () => host.vmmd.openPeers.length === 0);
    expect(host.log.with("unikernel info")).toEqual([]);
    expect(host.target.snapshot().infoReadable).toBeNull();
  });

  test("names itself and its subscription in every line", async () => {
    testHost();
    host.stat.onRequest = (peer, request) => {
      acknowledge(peer, request);
      peer.close();
    };
    await host.start("stat");
    await host.pass(10_000);
    expect(host.log.fields.length).toBeGreaterThan(2);
    for (const fields of host.log.fields) expect(fields).toMatchObject({ host: "box" });
  });
});
