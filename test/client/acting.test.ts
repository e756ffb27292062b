import { getEventListeners } from "node:events";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Image, Outcome, Sending } from "../../src/client/acting.ts";
import { parseName } from "../../src/wire/names.ts";
import { eventually, settle } from "../support/eventually.ts";
import { exchangeBytes } from "../wire/support/vectors.ts";
import { FakeAlbatrossd, imageOf, kindOf, PLAIN, replyOf, type Visit } from "./support/acting.ts";

const MIB = 1024 * 1024;
const WEB = parseName(":web");
const DESTROYED = exchangeBytes("destroy", "s2c");

let host: FakeAlbatrossd;
/** What happened, in order. */
let events: string[];
let sending: Sending;

beforeEach(async () => {
  host = new FakeAlbatrossd();
  await host.start();
  await host.known();
  events = [];
  sending = {
    beforeFirstByte: async () => void events.push("before"),
    afterLastByte: () => void events.push("after"),
  };
});

afterEach(() => host.stop());

async function create(
  content: Uint8Array,
  image: Image = imageOf(content),
  how = sending,
): Promise<Outcome<string>> {
  return host.client.create(WEB, PLAIN, await host.file(content), image, how);
}

const destroy = (how = sending) => host.client.destroy(WEB, how);

/** Waits for the n-th visitor, who has sent so many bytes. */
async function visit(n: number, bytes = 0): Promise<Visit> {
  await eventually(`${bytes} bytes of visit ${n}`, () => (host.visits[n - 1]?.received ?? -1) >= bytes);
  const found = host.visits[n - 1];
  if (found === undefined) throw new Error("unreachable: it was just there");
  return found;
}

/** A daemon that takes so many bytes of each request, then does something. */
function takes(bytes: number, act: (visit: Visit) => void): void {
  host.serve = (one) => {
    one.socket.on("data", (chunk) => {
      one.received += chunk.length;
      if (one.received >= bytes && one.received - chunk.length < bytes) act(one);
    });
    if (bytes === 0) act(one);
  };
}

describe("what albatrossd refuses a create with", () => {
  test.each([
    ["Unikernel with same name is already running", "exists"],
    ["maximum amount of unikernels (2) reached", "quota"],
    ["maximum allowed memory (80, used 32) would be exceeded (requesting 49)", "quota"],
    ["CPUids 1, 3 are not allowed by policy", "quota"],
    ["bridges back not allowed by policy", "quota"],
    ["block device :data already in use", "block_device"],
    ["block device :nodata not found", "block_device"],
    ["couldn't find initial block device", "block_device"],
    ["error during ELF parsing", "image"],
    ["failed to uncompress: Invalid Zlib header", "image"],
    ["unsupported solo5 target virtio", "image"],
    [
      'specified bridge(s) does not match with the manifest. Devices present in manifest: net "service"',
      "manifest",
    ],
    [
      'specified block device(s) does not match with manifest. Devices present in manifest: block "x"',
      "manifest",
    ],
    ["interface back does not exist", "bridge"],
    ["could not create unikernel: console failed", "console"],
    ["get: no unikernel found", "not_found"],
    ["destroy: not found", "not_found"],
    ["expected success when adding policy, got: unknown policy", "other"],
    ["a unikernel called quota already running: console failed?", "other"],
    ["", "other"],
  ])("%s: %s", async (text, reason) => {
    host.answer(replyOf({ type: "failure", message: text }));
    expect(await create(Buffer.alloc(100))).toEqual({ type: "failure", reason, text });
  });

  test("in 200 characters at most", async () => {
    host.answer(replyOf({ type: "failure", message: "no ".repeat(300_000) }));
    const text = "no ".repeat(67).slice(0, 200);
    expect(await create(Buffer.alloc(100))).toEqual({ type: "failure", reason: "other", text });
  });
});

describe("a unikernel that is not there", () => {
  test.each(["destroyed unikernel", "destroyed: removed from restarting"])("is gone: %s", async (string) => {
    host.answer(replyOf({ type: "success", result: "string", string }));
    expect(await destroy()).toEqual({ type: "success", value: string });
  });

  test("is gone: destroy: not found", async () => {
    host.answer(replyOf({ type: "failure", message: "destroy: not found" }));
    expect(await destroy()).toEqual({ type: "success", value: "destroy: not found" });
  });

  test("is not gone with another failure", async () => {
    host.answer(replyOf({ type: "failure", message: "no" }));
    expect(kindOf(await destroy())).toBe("failure other");
  });
});

describe("nothing is sent", () => {
  const both: [string, (how?: Sending) => Promise<Outcome<string>>][] = [
    ["create", (how) => create(Buffer.alloc(100), undefined, how)],
    ["destroy", destroy],
  ];

  describe.each(both)("by %s", (_, act) => {
    test("before albatrossd has answered the info command of 2.7, or once it no longer does", async () => {
      host.serve = ({ socket }) => socket.resume().end();
      expect(kindOf(await host.client.info(WEB))).toBe("unknown no_reply");
      host.visits.length = 0;
      expect(kindOf(await act())).toBe("failure version");
      expect(host.visits).toEqual([]);
      host.answer(exchangeBytes("info-name-missing", "s2c"));
      expect(await host.client.info(WEB)).toEqual({ type: "success", value: null });
      host.answer(DESTROYED);
      expect(kindOf(await act())).toBe("success");
      expect(events).toEqual(["before", "after"]);
    });

    test("when the hook refuses", async () => {
      host.answer(DESTROYED);
      const refusing = { ...sending, beforeFirstByte: () => Promise.reject(new Error("the disk is full")) };
      expect(await act(refusing)).toEqual({ type: "failure", reason: "refused", text: "the disk is full" });
      expect(host.visits.map(({ received }) => received)).toEqual([0]);
      expect(events).toEqual([]);
    });

    test("before the hook has ended", async () => {
      host.answer(DESTROYED);
      let record = () => {};
      const recorded = new Promise<void>((resolve) => {
        record = resolve;
      });
      const outcome = act({ ...sending, beforeFirstByte: () => recorded });
      await visit(1);
      host.clock.advance(3_600_000); // a slow disk is no silent daemon
      await settle();
      expect(host.visits[0]).toMatchObject({ received: 0, closed: false });
      record();
      expect(kindOf(await outcome)).toBe("success");
      expect(events).toEqual(["after"]);
    });

    test.each(["before it begins", "during the hook"])("when it is stopped %s", async (when) => {
      host.answer(DESTROYED);
      const stopping = new AbortController();
      const hook = async () => stopping.abort();
      if (when === "before it begins") stopping.abort();
      const outcome = await act({ ...sending, beforeFirstByte: hook, signal: stopping.signal });
      expect(kindOf(outcome)).toBe("failure unsent");
      expect(host.visits.map(({ received }) => received)).toEqual(when === "during the hook" ? [0] : []);
      expect(events).toEqual([]);
    });

    test("when albatrossd closes during the hook", async () => {
      host.serve = ({ socket }) => socket.destroy();
      const hook = async () => {
        await eventually("closed", () => host.visits[0]?.closed === true);
        await settle();
      };
      expect(kindOf(await act({ ...sending, beforeFirstByte: hook }))).toBe("failure unsent");
    });
  });

  test("by the name of a path, or what is no name", async () => {
    for (const name of [
      parseName("user:"),
      { path: [], label: "x".repeat(64) },
      { path: ["_"], label: "web" },
    ]) {
      expect(kindOf(await host.client.destroy(name, sending))).toBe("failure other");
      const file = await host.file(Buffer.alloc(100));
      const outcome = await host.client.create(name, PLAIN, file, imageOf(Buffer.alloc(100)), sending);
      expect(kindOf(outcome)).toBe("failure other");
    }
    expect(host.visits).toEqual([]);
  });

  test.each([0, 15, 40, 63, 2 ** 31 - 50])("of an image of %d bytes", async (bytes) => {
    expect(kindOf(await create(Buffer.alloc(100), { bytes, digest: "" }))).toBe("failure image");
    expect(host.visits).toEqual([]);
  });

  test("when nobody listens", async () => {
    const other = new FakeAlbatrossd();
    const outcome = await other.client.info(WEB);
    expect(outcome).toMatchObject({ type: "failure", reason: "unreachable" });
    expect(outcome).toHaveProperty("text", expect.stringContaining("vmmd.sock does not exist"));
    await other.stop();
  });
});

describe("the hooks are called", () => {
  test("before the first byte and after the last, before the reply", async () => {
    takes(1, ({ socket }) => {
      events.push("request");
      eventually("sent", () => events.includes("after")).then(() => socket.end(DESTROYED));
    });
    await destroy().then(({ type }) => events.push(type));
    expect(events).toEqual(expect.arrayContaining(["before", "after", "request", "success"]));
    expect([events[0], events[3]]).toEqual(["before", "success"]);
  });

  test("after the last byte of an image, not before", async () => {
    host.serve = ({ socket }) => socket.pause();
    const outcome = create(Buffer.alloc(4 * MIB));
    await visit(1);
    await settle();
    expect(events).toEqual(["before"]);
    host.visits[0]?.socket.destroy();
    expect(kindOf(await outcome)).toBe("failure unsent");
    expect(events).toEqual(["before"]);
  });
});

describe("a daemon that closes", () => {
  const FRAME_BYTES = 4 * MIB;

  test.each([
    ["at once", 0],
    ["in the length of a create", 3],
    ["in its head", 30],
    ["at the start of its image", 200],
    ["in the middle of its image", 2 * MIB],
  ])("%s has created nothing", async (_, bytes) => {
    takes(bytes, ({ socket }) => socket.destroy());
    expect(kindOf(await create(Buffer.alloc(FRAME_BYTES)))).toBe("failure unsent");
    expect(events).toEqual(["before"]);
  });

  test.each(["create", "destroy"])("in place of a reply to %s may have done it", async (what) => {
    host.answer(Buffer.alloc(0));
    expect(kindOf(what === "create" ? await create(Buffer.alloc(FRAME_BYTES)) : await destroy())).toBe(
      "unknown no_reply",
    );
    expect(events).toEqual(["before", "after"]);
  });

  test("without having read the request may have done it", async () => {
    host.serve = ({ socket }) => {
      socket.pause();
      eventually("sent", () => events.includes("after")).then(() => socket.destroy());
    };
    expect(kindOf(await destroy())).toBe("unknown lost");
  });

  test("anywhere in its reply may have done it", async () => {
    for (let bytes = 1; bytes < DESTROYED.length; bytes++) {
      host.answer(DESTROYED.subarray(0, bytes));
      expect(kindOf(await destroy())).toBe("unknown undecodable");
    }
  });
});

describe("a reply", () => {
  test.each([
    ["of no length", Buffer.alloc(4)],
    ["of a negative length", Buffer.from("ffffffff", "hex")],
    ["of 2 GB", Buffer.from("7fffffff00", "hex")],
    ["of junk", Buffer.from("0000000530030102ff", "hex")],
    ["to another question", exchangeBytes("info-name", "s2c")],
    ["that is a command", exchangeBytes("destroy", "c2s")],
  ])("%s is unknown", async (_, reply) => {
    host.answer(reply);
    expect(kindOf(await destroy())).toBe("unknown undecodable");
    expect(kindOf(await create(Buffer.alloc(100)))).toBe("unknown undecodable");
    expect(kindOf(await host.client.get(WEB, await host.file(), MIB))).toBe("unknown undecodable");
    expect(kindOf(await host.client.policy([]))).toBe("unknown undecodable");
    host.answer(reply.equals(exchangeBytes("info-name", "s2c")) ? DESTROYED : reply);
    expect(kindOf(await host.client.info(WEB))).toBe("unknown undecodable");
  });

  test("leaves nothing behind on the signal that might have stopped it", async () => {
    host.answer(DESTROYED);
    const { signal } = new AbortController();
    expect(kindOf(await destroy({ ...sending, signal }))).toBe("success");
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("may come byte by byte, and more after it", async () => {
    takes(1, async ({ socket }) => {
      for (const byte of Buffer.concat([DESTROYED, Buffer.alloc(9)])) {
        socket.write(Buffer.of(byte));
        await settle(1);
      }
    });
    expect(await destroy()).toEqual({ type: "success", value: "destroyed unikernel" });
  });

  test("about another unikernel is none about this one", async () => {
    host.answer(exchangeBytes("info-args", "s2c"));
    expect(await host.client.info(WEB)).toEqual({ type: "success", value: null });
  });

  test("holds the arguments: a clone gets them", async () => {
    host.answer(exchangeBytes("info-args", "s2c"));
    const outcome = await host.client.info(parseName("args"));
    expect(outcome).toMatchObject({ value: { argv: ["--burn=1", "--secret=hunter2"] } });
  });
});

describe("without a reply", () => {
  /** Asserts that it waits so long, not less. */
  async function endsAfter(ms: number, outcome: Promise<Outcome<unknown>>): Promise<string> {
    let kind = "";
    outcome.then((ended) => {
      kind = kindOf(ended);
    });
    await eventually("sent", () => events.includes("after"));
    await settle();
    host.clock.advance(ms - 1);
    await settle();
    expect(kind).toBe("");
    host.clock.advance(1);
    await eventually("an outcome", () => kind !== "");
    return kind;
  }

  beforeEach(() => takes(Number.POSITIVE_INFINITY, () => undefined));

  test("a destroy ends after 30 s", async () => {
    expect(await endsAfter(30_000, destroy())).toBe("unknown timeout");
  });

  test("a create ends after 30 s and 2 s for each MiB of image", async () => {
    expect(await endsAfter(38_000, create(Buffer.alloc(4 * MIB)))).toBe("unknown timeout");
  });

  test("anything ends when it is stopped", async () => {
    const stopping = new AbortController();
    const outcome = destroy({ ...sending, signal: stopping.signal });
    await eventually("sent", () => events.includes("after"));
    stopping.abort();
    expect(kindOf(await outcome)).toBe("unknown stopped");
  });

  test("a create whose image is not taken ends in time, and is not done", async () => {
    host.serve = ({ socket }) => socket.pause();
    const outcome = create(Buffer.alloc(4 * MIB));
    await visit(1);
    await settle();
    host.clock.advance(38_000);
    expect(kindOf(await outcome)).toBe("failure unsent");
  });
});
