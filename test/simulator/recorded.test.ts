import { deflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { simulatedImage } from "../../src/simulator/image.ts";
import type { Config, Scenario } from "../../src/simulator/model.ts";
import { encodeFrame } from "../../src/wire/framing.ts";
import { encodeMessage, NO_LIMIT } from "../../src/wire/messages.ts";
import { parseName } from "../../src/wire/names.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { question } from "../support/simulated.ts";
import { exchangeBytes, exchanges } from "../wire/support/vectors.ts";
import { configOf, created, infoIn, messageIn, sorted, withOurDigests } from "./recordings.ts";
import { Client, config, type Running, startHost } from "./support.ts";

/** The policies and block devices of the host that was recorded. */
const host = (polUnikernels = 2): Partial<Scenario> => ({
  policies: [
    {
      name: parseName(":"),
      policy: {
        cpuids: [0, 1],
        unikernels: NO_LIMIT,
        memory: 24_105,
        block: 258_019,
        bridges: ["back", "service"],
      },
    },
    {
      name: parseName("pol:"),
      policy: { cpuids: [0], unikernels: polUnikernels, memory: 80, block: 20, bridges: ["service"] },
    },
  ],
  blockDevices: [{ name: parseName(":data"), sizeMb: 5 }],
});

const bridge = (bridge: string | null = null, mac: string | null = null) => ({
  bridges: [{ name: "service", bridge, mac }],
});
const block = (device: string | null) => ({
  blockDevices: [{ name: "storage", device, sectorSize: null }],
});
const noBridge = { image: simulatedImage("net", { net: ["service"], block: [] }) };
const z = { compressed: true, image: deflateSync(config().image, { level: 9 }) };

interface Play {
  /** What is created before. */
  readonly first?: Record<string, Partial<Config>>;
  /** What is created, or force-created, where the request was not kept. */
  readonly create?: Partial<Config>;
  readonly force?: Partial<Config>;
  /** What is destroyed before. */
  readonly gone?: string;
  /** How the host misbehaves. */
  readonly fault?: "console_gone" | "vmmd_exit";
  /** What the policy of pol: allows. */
  readonly polUnikernels?: number;
}

const FULL = { "pol:a": {}, "pol:b": { memory: 48 } };

/** Where the reply says nothing of unikernel info, which the last row of the table is for. */
const PLAYS: Record<string, Play> = {
  "create-minimal": {},
  "get-missing": {},
  "create-args": {
    create: {
      startup: 20,
      failBehaviour: { type: "restart", exitCodes: null },
      argv: ["--burn=1", "--secret=hunter2"],
    },
  },
  "create-noaddname": { create: { addName: false, argv: ["--burn=1"] } },
  "create-bridge": { create: bridge("service") },
  "create-bridge-short": { create: bridge() },
  "create-bridge-back": { create: bridge("back", "02:52:54:00:00:01") },
  "create-bridge-back-nomac": { create: bridge("back") },
  "create-existing": { first: { ":web": {} }, create: {} },
  "force-create": { first: { ":web": {} }, force: {} },
  "force-create-new": { force: {} },
  restart: { first: { ":web": {} } },
  "restart-missing": {},
  destroy: { first: { ":fresh": {} } },
  "destroy-missing": { first: { ":fresh": {} }, gone: ":fresh" },
  "create-junk": {},
  "create-empty": {},
  "create-badelf": {},
  "create-compressed-junk": {},
  "create-manifest": { create: noBridge },
  "create-nobridge": { create: bridge("nosuch") },
  "create-compressed": { create: z },
  "create-bhyve": {},
  "create-numcpus": {
    create: {
      cpuids: [0, 1],
      numcpus: 2,
      startup: 7,
      failBehaviour: { type: "restart", exitCodes: [3, 4] },
    },
  },
  "create-memory0": { create: { memory: 0 } },
  "create-nocpu": { create: { cpuids: [] } },
  "create-badcpu": { create: { cpuids: [99] } },
  "create-name-root": { create: {} },
  "policy-info-root": { polUnikernels: 1 },
  "policy-info-path": {},
  "policy-info-missing": {},
  "policy-add-low": { first: { ...FULL, "pol:sub:d": {} } },
  "block-info-name": { first: { ":blk": block("data") } },
  "pol-cpu": { create: { cpuids: [1] } },
  "pol-cpu2": { create: { cpuids: [0, 1, 3] } },
  "pol-bridge": { create: bridge("back") },
  "pol-memory": { create: { memory: 81 } },
  "pol-ok1": { create: {} },
  "pol-ok2": { first: { "pol:a": {} }, create: { memory: 48 } },
  "pol-count": { first: FULL, create: {} },
  "pol-sub": { first: FULL, create: { memory: 1 } },
  "pol-force-same": { first: { ...FULL, "pol:sub:d": {} }, force: {} },
  "pol-force-over": { first: { ...FULL, "pol:sub:d": {} }, force: { memory: 64 } },
  "block-create": { create: block("data") },
  "block-missing": { create: block("nodata") },
  "block-missing-default": { create: block(null) },
  "block-force-inuse": { first: { ":blk": block("data") }, force: block("data") },
  "unknown-cmd": {},
  version6: {},
  version4: {},
  badname: {},
  trailing: {},
  "name-64": {},
  "noconsole-restart": { first: { ":web": {} }, fault: "console_gone" },
  "noconsole-force": { first: { ":two": {} }, force: {}, fault: "console_gone" },
  "rt-create": { create: { ...bridge("back"), argv: ["--burn=1", "--x=ü"] } },
  "rt-create-samemac": { create: bridge("back", "00:80:41:68:68:f5") },
  "name-63": { create: {} },
  "create-truncated-15": {},
  "create-truncated-16": {},
  "create-truncated-40": {},
  "create-truncated-63": {},
  "client-create": { create: {} },
  "client-create-net": { create: bridge("back") },
  "client-create-noname": { create: { addName: false } },
  "client-create-z": { create: z },
  "client-restart": { first: { ":px": {} } },
  "client-force": { first: { ":px": {} }, force: {} },
  "client-destroy": { first: { ":px": {} } },
  "client-destroy-missing": { first: { ":px": {} }, gone: ":px" },
  "client-create-exists": { first: { ":pn": {} }, create: {} },
  "destroy-notfound": {},
  "force-manifest": { first: { ":victim": {} }, force: noBridge },
  "force-cpu": { first: { ":victim": {} }, force: { cpuids: [99] } },
  "create-dies": { create: {}, fault: "vmmd_exit" },
};

const OTHER_POLICIES = "a host with other policies; policy-info-root is the same question";
const WRITES = "the simulator has no commands that remove policies or change block devices";
const OTHER_BLOCKS = "a host with other block devices; block-info-name is the same question";
/** Why the others are not played. Those through the TLS endpoint are tls.test.ts's. */
const LEFT_OUT: Record<string, string> = {
  "get-0": "no reply was kept",
  "get-9": "zlib writes other bytes than decompress does; what they hold is tested below",
  "get-0-compressed": "no reply was kept",
  "get-9-compressed": "no reply was kept",
  "rt-get": "no reply was kept",
  "client-get": "no reply was kept",
  "client-policy": OTHER_POLICIES,
  "policy-add": "it leaves the connection open: below",
  "policy-remove": WRITES,
  "policy-remove-missing": WRITES,
  "block-info-root": OTHER_BLOCKS,
  "block-add": WRITES,
  "block-add-over": WRITES,
  "block-add-root": WRITES,
  "block-info-after": OTHER_BLOCKS,
  "client-block": OTHER_BLOCKS,
};

const recorded = exchanges.filter(({ name }) => !name.startsWith("tls-"));
const infos = recorded.filter(
  ({ name, s2c }) => s2c && infoIn(messageIn(exchangeBytes(name, "s2c"))) !== null,
);

/** The request as it was recorded, or as it must have been. */
function requestOf(name: string, { create, force }: Play): Buffer {
  const exchange = exchanges.find((one) => one.name === name);
  if (exchange?.c2s_after !== undefined) {
    const image = simulatedImage("test", { net: [], block: [] }, exchange.c2s_image_bytes);
    return Buffer.concat([exchangeBytes(name, "c2s"), image, Buffer.from(exchange.c2s_after, "hex")]);
  }
  if (exchange?.c2s) return exchangeBytes(name, "c2s");
  const header = messageIn(exchangeBytes(name, "s2c"))?.header;
  if (header === undefined) throw new Error(`${name}: neither the request nor a reply was kept`);
  const command = force === undefined ? "create" : "force_create";
  return encodeFrame(
    encodeMessage(
      question(header.name, header.sequence, {
        class: "unikernel",
        command,
        config: config(force ?? create),
      }),
    ),
  );
}

async function replyOf({ vmmdPath }: Running, request: Buffer): Promise<Buffer> {
  const client = new Client(vmmdPath);
  client.socket.write(request);
  await client.end();
  return client.bytes;
}

describe("albatrossd's recorded replies are the simulator's", () => {
  test.each(Object.keys(PLAYS))("%s", async (name) => {
    const play = PLAYS[name] ?? {};
    const running = await startHost(host(play.polUnikernels));
    await created(running.vmmdPath, play.first ?? {});
    if (play.gone !== undefined) {
      const destroy = { class: "unikernel", command: "destroy" } as const;
      await replyOf(running, encodeFrame(encodeMessage(question(parseName(play.gone), 0, destroy))));
    }
    if (play.fault !== undefined) await running.host.misbehave({ type: play.fault });
    expect(await replyOf(running, requestOf(name, play))).toEqual(exchangeBytes(name, "s2c"));
  });

  test.each(infos)("$name, for unikernels created just so, digests apart", async ({ name }) => {
    const clock = new FakeClock();
    const bytes = exchangeBytes(name, "s2c");
    const listed = infoIn(messageIn(bytes)) ?? [];
    const inTime = [...listed].sort((a, b) => (a.info.startedMs ?? 0) - (b.info.startedMs ?? 0));
    clock.setWall((inTime[0]?.info.startedMs ?? 1) - 1);
    const running = await startHost(host(), clock);
    for (const one of inTime) {
      clock.advance((one.info.startedMs ?? 0) - clock.wallMs());
      await created(running.vmmdPath, { [one.name]: configOf(one.info) });
    }
    const reply = await replyOf(running, exchangeBytes(name, "c2s"));
    if (listed.length > 1) expect(sorted(messageIn(reply))).toEqual(sorted(withOurDigests(bytes)));
    else expect(reply).toEqual(encodeFrame(encodeMessage(withOurDigests(bytes))));
  });

  test("policy-add, after which the connection takes one more command", async () => {
    const running = await startHost({ ...host(), policies: [] });
    const client = new Client(running.vmmdPath);
    client.socket.write(exchangeBytes("policy-add", "c2s"));
    await client.count(1);
    expect(client.bytes).toEqual(exchangeBytes("policy-add", "s2c"));
    client.bytes = Buffer.alloc(0);
    client.socket.write(exchangeBytes("policy-info-path", "c2s"));
    await client.end();
    expect(client.bytes).toEqual(exchangeBytes("policy-info-path", "s2c"));
  });

  test("none is forgotten", () => {
    const named = [...Object.keys(PLAYS), ...infos.map(({ name }) => name), ...Object.keys(LEFT_OUT)];
    expect(named.sort()).toEqual(recorded.map(({ name }) => name).sort());
  });
});
