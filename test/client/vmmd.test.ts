import { createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { SocketDirectory } from "../../src/client/endpoint.ts";
import { VmmdClient, VmmdError, type VmmdErrorReason } from "../../src/client/vmmd.ts";
import { failureReply, policiesReply, unikernelInfoReply } from "../../src/simulator/messages.ts";
import type { InfoCommand, Message, NamedInfo } from "../../src/wire/messages.ts";
import { formatName, parseName, ROOT } from "../../src/wire/names.ts";
import { eventually, settle } from "../support/eventually.ts";
import { successEmpty } from "../support/simulated.ts";
import { captureBytes } from "../wire/support/vectors.ts";
import { answerAsAlbatrossd, running, TestHost } from "./support/host.ts";

let host: TestHost;
let vmmd: VmmdClient;

beforeEach(() => {
  // Of the host only its clock and its vmmd.sock are used here.
  host = new TestHost();
  vmmd = new VmmdClient({
    endpoint: new SocketDirectory({ socketDir: host.socketDir, os: "linux" }),
    maxFrameBytes: 64 * 1024 * 1024,
    clock: host.clock,
  });
});

afterEach(async () => {
  vmmd.stop();
  await host.stop();
});

/** One round: what is running, or why that is not known. The clock runs, so that pauses end. */
async function round(...names: string[]): Promise<string[] | VmmdErrorReason> {
  let result: string[] | VmmdErrorReason | null = null;
  vmmd.beginRound();
  const all = async () => {
    const found: string[] = [];
    for (const name of names.length === 0 ? [":"] : names) {
      for (const entry of await vmmd.unikernels(parseName(name))) found.push(formatName(entry.name));
    }
    return found;
  };
  all().then(
    (found) => {
      result = found;
    },
    (error) => {
      result = error instanceof VmmdError ? error.reason : "unexpected";
    },
  );
  await host.passUntil("an answer", () => result !== null, 60_000);
  return result ?? "unexpected";
}

/** The info commands that albatrossd was asked since the last call. */
let seen = 0;
function commands(): string[] {
  const all = host.vmmd.requests.map(({ payload }) =>
    payload.type === "command" ? payload.command.command : payload.type,
  );
  const fresh = all.slice(seen);
  seen = all.length;
  return fresh;
}

/** An albatrossd that knows these info commands only: it closes without a reply on any other. */
async function albatrossd(...known: InfoCommand[]): Promise<void> {
  seen = 0;
  host.running = running("user:web");
  answer(...known);
  await host.vmmd.start();
}

function answer(...known: InfoCommand[]): void {
  host.vmmd.onRequest = (peer, { header, payload }) => {
    const command = payload.type === "command" ? payload.command.command : null;
    const understood = known.find((one) => one === command);
    if (understood !== undefined) peer.send(unikernelInfoReply(header, host.running, understood));
    peer.close();
  };
}

function namesOf(unikernels: readonly NamedInfo[]): string[] {
  return unikernels.map(({ name }) => formatName(name));
}

describe("unikernel info from an albatrossd of", () => {
  test("2.7 is asked for by the present command only", async () => {
    await albatrossd("info");
    expect(await round(":", "user:web")).toEqual(["user:web", "user:web"]);
    expect(commands()).toEqual(["info", "info"]);
  });

  test("2.6 is asked for by the old command once the present one was closed twice without a reply", async () => {
    await albatrossd("old_info5");
    expect(await round(":", ":")).toEqual(["user:web", "user:web"]);
    expect(commands()).toEqual(["info", "info", "old_info5", "old_info5"]);
    expect(host.clock.nowUs()).toBeGreaterThanOrEqual(1_000_000);
  });

  test("2.4 and 2.5 is asked for by the one before", async () => {
    await albatrossd("old_info4");
    expect(await round()).toEqual(["user:web"]);
    expect(commands()).toEqual(["info", "info", "old_info5", "old_info5", "old_info4"]);
  });

  test("2.6 is remembered, but asked by the present command first in every round: it may have been updated", async () => {
    await albatrossd("old_info5");
    await round();
    commands();
    await round(":", ":");
    expect(commands()).toEqual(["info", "old_info5", "old_info5"]);
    answer("info");
    expect(await round(":", ":")).toEqual(["user:web", "user:web"]);
    expect(commands()).toEqual(["info", "info"]);
  });

  test("a version that knows none of them is said to", async () => {
    await albatrossd();
    expect(await round()).toBe("no_reply");
    expect(commands()).toEqual(["info", "info", "old_info5", "old_info5", "old_info4", "old_info4"]);
  });
});

describe("an old info command, which kills an albatrossd 2.7, is never sent", () => {
  test("once the present one was answered", async () => {
    await albatrossd("info");
    await round();
    answer();
    for (let i = 0; i < 3; i++) expect(await round()).toBe("no_reply");
    expect(new Set(commands())).toEqual(new Set(["info"]));
  });

  test.each<[string, (header: Message["header"]) => Message | Buffer, VmmdErrorReason]>([
    ["with a failure", (header) => failureReply(header, "no"), "failure"],
    ["with something else", (header) => successEmpty(header), "unexpected"],
    ["with bytes that do not decode", () => Buffer.from("00000003300000", "hex"), "undecodable"],
    ["with half a frame", () => Buffer.from("0000ff", "hex"), "undecodable"],
    ["with 2 GB announced", () => Buffer.from("7fffffff", "hex"), "undecodable"],
  ])("once the present one was answered %s", async (_, reply, reason) => {
    await albatrossd();
    host.vmmd.onRequest = (peer, { header }) => {
      const bytes = reply(header);
      if (Buffer.isBuffer(bytes)) peer.raw(bytes);
      else peer.send(bytes);
      peer.close();
    };
    expect(await round()).toBe(reason);
    answer();
    expect(await round()).toBe("no_reply");
    expect(new Set(commands())).toEqual(new Set(["info"]));
  });

  test("to one that restarts while it is asked: it closes once, then is away, then answers", async () => {
    await albatrossd();
    let asked = 0;
    host.vmmd.onRequest = (peer, message) => {
      if (++asked > 1) peer.send(answerAsAlbatrossd(message, host.running));
      peer.close();
    };
    expect(await round()).toEqual(["user:web"]);
    expect(commands()).toEqual(["info", "info"]);
  });

  test("when the connection breaks instead of being closed in good order", async () => {
    // A daemon that dies leaves the question unread, and the connection is reset.
    let connections = 0;
    const dying = createServer({ pauseOnConnect: true }, (socket) => {
      connections++;
      settle(10).then(() => socket.destroy());
    });
    await new Promise<void>((resolve) => {
      dying.listen(host.vmmd.path, resolve);
    });
    for (let i = 0; i < 3; i++) expect(await round()).toBe("lost");
    // Three rounds, three questions: none was followed by an older one.
    expect(connections).toBe(3);
    await new Promise((resolve) => dying.close(resolve));
  });

  test("when nothing answers at all", async () => {
    await albatrossd();
    host.vmmd.onRequest = () => undefined;
    expect(await round()).toBe("timeout");
    expect(commands()).toEqual(["info"]);
  });

  test("when the socket is not there", async () => {
    expect(await round()).toBe("unreachable");
    expect(commands()).toEqual([]);
  });
});

describe("a question to albatrossd", () => {
  test("is given up after ten seconds, its connection closed", async () => {
    await albatrossd();
    host.vmmd.onRequest = () => undefined;
    expect(await round()).toBe("timeout");
    expect(host.clock.nowUs()).toBe(10_000_000);
    await eventually("closed", () => host.vmmd.openPeers.length === 0);
  });

  test("ends with its first reply, whatever follows", async () => {
    await albatrossd();
    host.vmmd.onRequest = (peer, message) => {
      const reply = answerAsAlbatrossd(message, host.running);
      peer.send(reply, reply, reply);
      peer.raw(Buffer.alloc(100));
    };
    expect(await round()).toEqual(["user:web"]);
    await eventually("closed", () => host.vmmd.openPeers.length === 0);
  });

  test("may be answered with megabytes", async () => {
    await albatrossd();
    host.running = running(...Array.from({ length: 20_000 }, (_, i) => `user:vm-${i}`));
    host.vmmd.onRequest = (peer, message) => peer.send(answerAsAlbatrossd(message, host.running));
    expect(await round()).toHaveLength(20_000);
  });

  describe("whose answer takes long to decode", () => {
    beforeEach(async () => {
      let nowMs = 0;
      // each look at it finds that 3 ms have passed
      vi.spyOn(performance, "now").mockImplementation(() => (nowMs += 3));
      await albatrossd();
      host.running = running(...Array.from({ length: 1_000 }, (_, i) => `user:vm-${i}`));
      host.vmmd.onRequest = (peer, message) => peer.send(answerAsAlbatrossd(message, host.running));
    });

    afterEach(() => vi.restoreAllMocks());

    test("is decoded in turns of the event loop", async () => {
      const turns = vi.spyOn(globalThis, "setImmediate");
      const found = await vmmd.unikernels(ROOT);
      expect(turns.mock.calls.length).toBeGreaterThan(5);
      expect(namesOf(found)).toEqual(namesOf(host.running));
    });

    test("is decoded and looked at in turns where it is one about policies, too", async () => {
      const policy = { cpuids: [], unikernels: 1, memory: 2, block: null, bridges: [] };
      const policies = Array.from({ length: 4_000 }, (_, i) => ({ name: parseName(`path-${i}:`), policy }));
      host.vmmd.onRequest = (peer, { header }) => peer.send(policiesReply(header, policies));
      const turns = vi.spyOn(globalThis, "setImmediate");
      expect(await vmmd.policiesOf([ROOT])).toEqual(policies);
      expect(turns.mock.calls.length).toBeGreaterThan(5);
    });

    test("ends when it is stopped in the middle", async () => {
      const nextTurn = setImmediate;
      vi.spyOn(globalThis, "setImmediate").mockImplementation((callback) => {
        vmmd.stop();
        return nextTurn(callback);
      });
      await expect(vmmd.unikernels(ROOT)).rejects.toMatchObject({ reason: "stopped" });
    });
  });

  test("is refused after stop, and ended by it", async () => {
    await albatrossd();
    host.vmmd.onRequest = () => undefined;
    const asked = vmmd.unikernels(ROOT);
    await host.vmmd.peer(1);
    vmmd.stop();
    await expect(asked).rejects.toMatchObject({ reason: "stopped" });
    await expect(vmmd.policies(ROOT)).rejects.toMatchObject({ reason: "stopped" });
    expect(host.clock.pendingTimers).toBe(0);
  });
});

describe("recorded replies", () => {
  test.each([
    [":", "vmmd-info-root.s2c.bin", ["user:web", "user:sub:router", "user:db", ":hello"]],
    ["user:", "vmmd-info-path.s2c.bin", [":web", "sub:router", ":db"]],
    ["nope:", "vmmd-info-missing.s2c.bin", []],
  ])("to info at %s (%s) are read, without arguments", async (name, file, names) => {
    await albatrossd();
    host.vmmd.onRequest = (peer) => {
      peer.raw(captureBytes(file));
      peer.close();
    };
    const found = await vmmd.unikernels(parseName(name));
    expect(found.map((entry) => formatName(entry.name))).toEqual(names);
    expect(found.map(({ info }) => info.argv)).toEqual(names.map(() => null));
  });

  test("to policy info are read", async () => {
    await albatrossd();
    host.vmmd.onRequest = (peer) => {
      peer.raw(captureBytes("vmmd-policy-info.s2c.bin"));
      peer.close();
    };
    const found = await vmmd.policies(ROOT);
    expect(found.map(({ name, policy }) => [formatName(name), policy.bridges])).toEqual([
      [":", ["mgmt", "private", "service"]],
    ]);
  });

  test.each(["vmmd-destroy-missing.s2c.bin", "vmmd-get-missing.s2c.bin"])(
    "of failure (%s) are failures",
    async (file) => {
      await albatrossd();
      host.vmmd.onRequest = (peer) => peer.raw(captureBytes(file));
      await expect(vmmd.unikernels(ROOT)).rejects.toMatchObject({ reason: "failure" });
    },
  );

  test("of failure are told in their first words only: a reply may be as long as a frame", async () => {
    await albatrossd();
    host.vmmd.onRequest = (peer, { header }) => peer.send(failureReply(header, "no ".repeat(100_000)));
    await expect(vmmd.unikernels(ROOT)).rejects.toThrow(/^albatrossd says: (no ){100}\.\.\.$/);
  });

  test("are what the recorded requests ask for, byte for byte", async () => {
    await albatrossd("info");
    await round();
    vmmd.policies(ROOT).catch(() => undefined);
    await host.vmmd.peer(2);
    expect(host.vmmd.peers[0]?.bytes).toEqual(captureBytes("vmmd-info-root.c2s.bin"));
    const policyRequest = captureBytes("vmmd-policy-info.c2s.bin");
    // Recorded as the seventh command of its client; ours is always the first.
    policyRequest[policyRequest.indexOf(7)] = 1;
    expect(host.vmmd.peers[1]?.bytes).toEqual(policyRequest);
  });
});
