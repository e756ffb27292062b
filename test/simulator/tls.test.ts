import { execFile } from "node:child_process";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { issue, readCertificates, readHolder } from "../../src/client/certificates.ts";
import { SimulatedHost } from "../../src/simulator/host.ts";
import type { Config, Scenario } from "../../src/simulator/model.ts";
import { encodeFrame } from "../../src/wire/framing.ts";
import { type Command, encodeCertificateCommand, encodeMessage, NO_LIMIT } from "../../src/wire/messages.ts";
import { parseName } from "../../src/wire/names.ts";
import { INFO, type Made, make, POLICY_INFO, policyOf, SUBSCRIBE } from "../support/certificates.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { scenarioOf } from "../support/simulated.ts";
import { exchangeBytes, exchanges } from "../wire/support/vectors.ts";
import { configOf, created, infoIn, messageIn, sorted, withOurDigests } from "./recordings.ts";
import { type Client, config, type Running, samples, startHost, subscriber, vm } from "./support.ts";
import { dialTls, issuerOf } from "./tlsClient.ts";

const DAY_MS = 86_400_000;
const policy = (unikernels: number | bigint, memory: number, block: number) => ({
  cpuids: [0, 1],
  unikernels,
  memory,
  block,
  bridges: ["back", "service"],
});

/** The host that was recorded. */
const HOST: Partial<Scenario> = {
  policies: [
    { name: parseName(":"), policy: policy(NO_LIMIT, 24_105, 258_019) },
    { name: parseName("user:"), policy: policy(8, 512, 100) },
  ],
};

function startTls(scenario: Partial<Scenario> = {}, clock = new FakeClock(Date.now())): Promise<Running> {
  return startHost({ ...HOST, ...scenario }, clock, true);
}

/** Over which intermediate; none is the CA itself. */
type Via = "user" | "small" | "full" | "plain" | null;

/** A leaf and who is above it. */
async function chainOf(
  running: Running,
  via: Via,
  commonName: string,
  command: Command,
): Promise<readonly [Made, ...Made[]]> {
  const fromMs = 0;
  const ca = await issuerOf(running, "ca");
  if (via === null) return [await make(commonName, { issuer: ca, isCa: false, command, fromMs })];
  const small = (unikernels: number) => ({
    class: "policy" as const,
    command: "add" as const,
    policy: { cpuids: [0], unikernels, memory: 40, block: null, bridges: [] },
  });
  const above = {
    user: () => issuerOf(running, "issuer-user"),
    small: () => make("small", { issuer: ca, command: small(1), fromMs }),
    full: () => make("small", { issuer: ca, command: small(0), fromMs }),
    plain: () => make("plain", { issuer: ca, fromMs }),
  };
  const issuer = await above[via]();
  return [await make(commonName, { issuer, isCa: false, command, fromMs }), issuer];
}

async function ask(running: Running, via: Via, commonName: string, command: Command): Promise<Client> {
  return dialTls(running, ...(await chainOf(running, via, commonName, command)));
}

/** Frames of a streamed image, and its end mark. */
function upload(image: Uint8Array, ...sizes: readonly number[]): Buffer {
  const frames: Buffer[] = [];
  let at = 0;
  for (const size of [...sizes, image.length]) {
    if (at < image.length) frames.push(encodeFrame(image.subarray(at, at + size)));
    at += size;
  }
  return Buffer.concat([...frames, Buffer.alloc(4)]);
}

const GET: Command = { class: "unikernel", command: "get", compressionLevel: 0 };
const DESTROY: Command = { class: "unikernel", command: "destroy" };
const RESTART: Command = { class: "unikernel", command: "restart", arguments: null };
const BLOCKS: Command = { class: "block", command: "info" };
const create = (given: Partial<Config> = {}): Command => ({
  class: "unikernel",
  command: "create",
  config: config({ image: new Uint8Array(), ...given }),
});
const z = { compressed: true, image: deflateSync(config().image, { level: 9 }) };
const WEB = { "user:web": {} };
const WEB2 = { "user:web2": {} };
const A = { "small:a": {} };

interface Play {
  readonly via: Via;
  readonly commonName: string;
  readonly command: Command;
  /** What is created before. */
  readonly first?: Record<string, Partial<Config>>;
}

/** By what was recorded; `unikernels` of info are created as they were listed. */
const PLAYS: Record<string, Play> = {
  "tls-info-root": { via: null, commonName: ".", command: INFO },
  "tls-info-name": { via: null, commonName: "web", command: INFO },
  "tls-minimal": { via: null, commonName: ".", command: INFO },
  "tls-p256-leaf": { via: null, commonName: ".", command: INFO },
  "tls-inter-noext": { via: "plain", commonName: ".", command: INFO },
  "tls-user-info2": { via: "user", commonName: "web", command: INFO },
  "tls-user-info4": { via: "user", commonName: ".", command: INFO },
  "tls-user-info5": { via: "user", commonName: ".", command: INFO },
  "tls-policy-root": { via: null, commonName: ".", command: POLICY_INFO },
  "tls-policy-nocn": { via: null, commonName: "", command: POLICY_INFO },
  "tls-user-policy": { via: "user", commonName: ".", command: POLICY_INFO },
  "tls-inter-small": { via: "small", commonName: ".", command: POLICY_INFO },
  "tls-user-create-stream": { via: "user", commonName: "web", command: create(), first: WEB },
  "tls-user-create-exists": { via: "user", commonName: "web", command: create(), first: WEB },
  "tls-user-create-inline": { via: "user", commonName: "web2", command: create(z), first: WEB2 },
  "tls-user-cpu": { via: "user", commonName: "web6", command: create({ cpuids: [9] }) },
  "tls-user-restart": { via: "user", commonName: "web", command: RESTART, first: WEB },
  "tls-user-block": { via: "user", commonName: ".", command: BLOCKS },
  "tls-user-destroy": { via: "user", commonName: "web2", command: DESTROY, first: WEB2 },
  "tls-user-destroy-missing": { via: "user", commonName: "nobody", command: DESTROY },
  "tls-get-missing": { via: "user", commonName: "nobody", command: GET },
  "tls-root-create": { via: null, commonName: "rootweb", command: create() },
  "tls-root-destroy": { via: null, commonName: "rootweb", command: DESTROY, first: { ":rootweb": {} } },
  "tls-inter-noext-create": { via: "plain", commonName: "np", command: create() },
  "tls-inter-noext-create-destroy": {
    via: "plain",
    commonName: "np",
    command: DESTROY,
    first: { ":np": {} },
  },
  "tls-small-create1": { via: "small", commonName: "a", command: create() },
  "tls-small-create2": { via: "small", commonName: "b", command: create(), first: A },
  "tls-small-destroy": { via: "small", commonName: "a", command: DESTROY, first: A },
  "tls-inter-policyfail": { via: "full", commonName: ".", command: INFO, first: A },
};

describe("the recorded replies of albatross-tls-endpoint are the simulator's", () => {
  test.each(Object.entries(PLAYS))("%s", async (name, { via, commonName, command, first = {} }) => {
    const bytes = exchangeBytes(name, "s2c");
    const listed = infoIn(messageIn(bytes)) ?? [];
    const inTime = [...listed].sort((a, b) => (a.info.startedMs ?? 0) - (b.info.startedMs ?? 0));
    const clock = new FakeClock(inTime[0]?.info.startedMs ?? Date.now());
    const running = await startTls({}, clock);
    for (const one of inTime) {
      clock.advance((one.info.startedMs ?? 0) - clock.wallMs());
      await created(running.vmmdPath, { [one.name]: configOf(one.info) });
    }
    await created(running.vmmdPath, first);
    const client = await ask(running, via, commonName, command);
    const isStreamed = "config" in command && command.config.image.length === 0;
    if (isStreamed) client.socket.write(upload(config().image, 10));
    await client.end();
    if (listed.length > 1) expect(sorted(messageIn(client.bytes))).toEqual(sorted(withOurDigests(bytes)));
    else if (listed.length === 1)
      expect(client.bytes).toEqual(encodeFrame(encodeMessage(withOurDigests(bytes))));
    else expect(client.bytes).toEqual(bytes);
  });

  test.each([
    ["tls-stats-displaced", (running: Running) => subscriber(running.statPath, ":zz")],
    ["tls-stats-daemon-restart", ({ host }: Running) => host.misbehave({ type: "stat_gone" })],
  ] as const)("%s, the endpoint's counter apart", async (name, happens) => {
    const running = await startTls();
    const first = await ask(running, null, "zz", SUBSCRIBE);
    await first.count(1);
    const second = await ask(running, null, "other", SUBSCRIBE);
    expect((await second.count(1))[0]?.header.sequence).toBe(1);
    await happens(running);
    await first.end();
    const bytes = exchangeBytes(name, "s2c");
    // the sequence of "subscribed"
    bytes.fill(0, 13, 21);
    expect(first.bytes).toEqual(bytes);
  });

  test("none is forgotten", () => {
    const named = [...Object.keys(PLAYS), ...REFUSED.map(([name]) => name), ...OTHERS].sort();
    const recorded = exchanges.map(({ name }) => name).filter((name) => name.startsWith("tls-"));
    expect(named).toEqual(recorded.sort());
  });
});

/** Those whose bytes were not kept, or that have a test of their own. */
const OTHERS = [
  "tls-user-get0",
  "tls-user-get9",
  "tls-user-create-nolen0",
  "tls-user-create-noend",
  "tls-user-create-cut",
  "tls-user-stats",
  "tls-stats-root",
  "tls-stats-displaced",
  "tls-stats-daemon-restart",
];

const hex = (text: string) => ({ extension: Buffer.from(text, "hex") });
const EXPIRED = "ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED";
const BAD = "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE";

/** What is wrong, its leaf, what the client sees after its handshake (null: a close), what the endpoint says. */
const REFUSED: readonly [string, Parameters<typeof make>[1], string | null, string, string?][] = [
  ["tls-expired", { fromMs: Date.now() - 2 * DAY_MS, untilMs: Date.now() - DAY_MS }, EXPIRED, "has expired"],
  [
    "tls-notyet",
    { fromMs: Date.now() + DAY_MS, untilMs: Date.now() + 2 * DAY_MS },
    EXPIRED,
    "is not valid yet",
  ],
  ["tls-wrongca", {}, BAD, "the CA has not issued"],
  ["tls-critical", { isCritical: true }, BAD, "has a critical extension"],
  ["tls-version6", hex("3009020106a304b3020500"), null, "version: expected 5, found 6"],
  ["tls-version4", hex("3009020104a304b3020500"), null, "version: expected 5, found 4"],
  ["tls-unknown-tag", hex("3009020105a304b6020500"), null, "there is no unikernel command [22]"],
  ["tls-noext", {}, null, "the leaf has no extension"],
  [
    "tls-forbidden",
    { command: { class: "policy", command: "remove" } },
    null,
    "policy remove is not allowed",
  ],
  [
    "tls-forbidden2",
    { command: { class: "stats", command: "initial" } },
    null,
    "stats initial is not allowed",
  ],
  ["tls-badname", {}, null, 'the common name "we_b" is no label', "we_b"],
  ["tls-pathcn", {}, null, 'the common name "user:web" is no label', "user:web"],
  ["tls-inter-cmd", {}, null, "holds something other than a policy"],
];

describe("the endpoint refuses after the handshake", () => {
  test.each(REFUSED)("%s", async (name, wish, error, says, commonName = ".") => {
    const running = await startTls();
    const ca = name === "tls-wrongca" ? await make("other") : await issuerOf(running, "ca");
    const above = name === "tls-inter-cmd" ? [await make("user", { issuer: ca, command: INFO })] : [];
    const [issuer = ca] = above;
    const leaf = await make(commonName, {
      issuer,
      isCa: false,
      ...(name === "tls-noext" ? {} : hex(INFO_HEX)),
      ...wish,
    });
    const client = await dialTls(running, leaf, ...above);
    await client.end();
    expect([client.error, client.bytes.length]).toEqual([error, 0]);
    expect(running.events.at(-1)).toContain(says);
    expect(running.requests).toEqual([]);
  });

  test("who shows no certificate", async () => {
    const running = await startTls();
    const client = await dialTls(running, { pem: "", key: "" });
    await client.end();
    expect([client.error, client.bytes.length]).toEqual([null, 0]);
    expect(running.events.at(-1)).toBe("the TLS endpoint refuses a client: it shows no certificate");
  });

  test("an intermediate that has expired, or that the CA has not issued", async () => {
    const running = await startTls();
    const ca = await issuerOf(running, "ca");
    const old = await make("user", { issuer: ca, command: policyOf(8), untilMs: Date.now() - 1 });
    const foreign = await make("user", { issuer: await make("other"), command: policyOf(8) });
    for (const [issuer, error] of [
      [old, EXPIRED],
      [foreign, BAD],
    ] as const) {
      const client = await dialTls(running, await make(".", { issuer, command: INFO }), issuer);
      await client.end();
      expect(client.error).toBe(error);
    }
  });

  test.each(["policy", "stats", "console"] as const)("%s commands but the one that reads", async (kind) => {
    const running = await startTls();
    const forbidden: Record<typeof kind, Command> = {
      policy: policyOf(1),
      stats: { class: "stats", command: "remove" },
      console: { class: "console", command: "list_inactive" },
    };
    const client = await ask(running, null, ".", forbidden[kind]);
    await client.end();
    expect(client.bytes.length).toBe(0);
    expect(running.events.at(-1)).toMatch(/ is not allowed$/);
  });
});

const INFO_HEX = encodeCertificateCommand(INFO).toString("hex");

describe("a create whose image is streamed", () => {
  const image = config().image;

  test.each([
    ["whole, with its end mark", upload(image), true],
    ["in chunks, cut anywhere on their way", upload(image, 1, 7, 20), true],
    ["without an end mark", upload(image).subarray(0, -4), false],
    ["with half of an end mark", upload(image).subarray(0, -2), false],
    ["cut in the middle", upload(image).subarray(0, 20), false],
  ])("%s", async (_, bytes, isCreated) => {
    const running = await startTls();
    const client = await ask(running, "user", "web", create());
    for (const byte of bytes.subarray(0, 30)) client.socket.write(Buffer.from([byte]));
    client.socket.write(bytes.subarray(30));
    if (!isCreated) client.socket.end();
    await client.end();
    expect(client.bytes.length > 0).toBe(isCreated);
    expect(running.host.vmNames).toEqual(isCreated ? ["user:web"] : []);
  });

  test("is created when the client leaves after the end mark", async () => {
    const running = await startTls();
    const client = await ask(running, "user", "web", create());
    client.socket.write(upload(image), () => client.socket.destroy());
    await client.end();
    await expect.poll(() => running.host.vmNames).toEqual(["user:web"]);
    await expect.poll(() => running.host.connectionCount).toBe(0);
  });

  test("has its name and policy checked only after the upload", async () => {
    const running = await startTls({ vms: [vm("small:a")] });
    const client = await ask(running, "full", "b", create());
    client.socket.write(upload(image).subarray(0, -4));
    expect(await client.isQuiet()).toBe(true);
    client.socket.write(Buffer.alloc(4));
    await client.end();
    expect(client.messages[0]?.payload).toMatchObject({
      type: "failure",
      message: expect.stringContaining("expected success when adding policy, got: host [unikernel: small:]"),
    });
  });
});

test("an image comes back as it was created", async () => {
  const running = await startTls();
  await created(running.vmmdPath, WEB);
  const client = await ask(running, "user", "web", GET);
  await client.end();
  expect(client.messages).toMatchObject([
    { payload: { result: "unikernel_image", compressed: false, image: config().image } },
  ]);
});

test("an intermediate's policy is applied at each command to albatrossd, not for statistics", async () => {
  const running = await startTls({ vms: [vm("small:web")] });
  const policies = async () => {
    const client = await ask(running, null, ".", POLICY_INFO);
    await client.end();
    return client.messages.flatMap(({ payload }) =>
      payload.type === "success" && payload.result === "policies" ? payload.policies : [],
    );
  };
  const client = await ask(running, "small", ".", SUBSCRIBE);
  await client.count(1);
  expect(await policies()).toHaveLength(2);
  await (await ask(running, "small", ".", INFO)).end();
  expect((await policies()).at(-1)).toMatchObject({ name: parseName("small:"), policy: { memory: 40 } });
  expect(running.requests.map(({ command }) => command)).toEqual([
    "policy_info",
    "policy_add",
    "info",
    "policy_info",
  ]);
});

test("statistics come with names relative to the path, until the client leaves", async () => {
  const running = await startTls({ vms: [vm("user:web"), vm(":other")] });
  const client = await ask(running, "user", ".", SUBSCRIBE);
  await client.count(1);
  running.clock.advance(2_000);
  await client.count(3);
  expect(samples(client.messages).map(({ name }) => name)).toEqual([":web", ":web"]);
  client.socket.destroy();
  await expect.poll(() => running.host.slots).toEqual([]);
  expect(running.host.connectionCount).toBe(0);
});

test.each([
  ["albatrossd", "vmmd_gone", INFO],
  ["albatross-stats", "stat_gone", SUBSCRIBE],
  ["albatross-console, which is not simulated", null, { class: "console", command: "subscribe", count: 1 }],
] as const)("a daemon that is down: %s", async (_, type, command) => {
  const running = await startTls();
  if (type !== null) await running.host.misbehave({ type });
  const client = await ask(running, null, ".", command);
  await client.end();
  expect(client.messages).toMatchObject([
    { header: { sequence: 0 }, payload: { type: "failure", message: "couldn't reach service" } },
  ]);
});

describe("faults of the endpoint", () => {
  const dial = (running: Running) => ask(running, null, ".", INFO);

  test("a slow handshake", async () => {
    const running = await startTls();
    await running.host.misbehave({ type: "tls_slow", everyMs: 5_000 });
    const dialled = dial(running);
    await expect.poll(() => running.host.connectionCount).toBe(1);
    await expect.poll(() => running.clock.pendingTimers).toBe(2);
    running.clock.advance(5_000);
    await (await dialled).count(1);
  });

  test("nothing said, nothing accepted, nobody there; and all well afterwards", async () => {
    const running = await startTls();
    const { host } = running;
    for (const [type, error] of [
      ["tls_close", /ECONNRESET|EPIPE/],
      ["tls_gone", /ECONNREFUSED/],
    ] as const) {
      const end = await host.misbehave({ type });
      await expect(dial(running)).rejects.toThrow(error);
      await end();
    }
    await host.misbehave({ type: "tls_no_reply" });
    const silent = dial(running).catch((error: Error) => error.message);
    await expect.poll(() => host.connectionCount).toBe(1);
    await host.recover();
    await (await dial(running)).count(1);
    await host.stop();
    expect(await silent).toContain("no handshake");
  });
});

describe("the folder for clients", () => {
  const nested = (...paths: readonly string[]) =>
    paths.map((path) => ({ name: parseName(path), policy: policy(1, 1, 1) }));

  test("has the CA, and an issuer for each path whose paths above it have one; keys are their owner's", async () => {
    const { tlsFolder } = await startTls({ policies: nested("a:b:", ":", "a:", "x:y:") });
    const modes = readdirSync(tlsFolder).map((name) => [
      name,
      (statSync(join(tlsFolder, name)).mode & 0o777).toString(8),
    ]);
    expect(Object.fromEntries(modes)).toEqual({
      "ca.key": "600",
      "ca.pem": "644",
      "issuer-a.key": "600",
      "issuer-a.pem": "644",
      "issuer-a:b.key": "600",
      "issuer-a:b.pem": "644",
    });
  });

  test("another path's issuer acts below its path", async () => {
    const running = await startTls({ policies: nested("a:b:", ":", "a:") });
    const issuer = await issuerOf(running, "issuer-a:b");
    const client = await dialTls(running, await make("web", { issuer, command: INFO }), issuer);
    await client.end();
    expect(client.messages[0]?.header.name).toEqual(parseName("a:b:web"));
  });

  test("a CA of somebody else is not overwritten, one of an earlier run is", async () => {
    const running = await startTls();
    const before = await issuerOf(running, "ca");
    await running.host.stop();
    const restart = async () => {
      const tls = { address: { host: "127.0.0.1", port: 0 }, folder: running.tlsFolder };
      const host = new SimulatedHost(scenarioOf({}), { socketDir: running.dir, clock: running.clock, tls });
      await host.start();
      await host.stop();
    };
    await restart();
    expect((await issuerOf(running, "ca")).pem).not.toBe(before.pem);
    const file = join(running.tlsFolder, "ca.pem");
    writeFileSync(file, (await make("albatross CA")).pem);
    await expect(restart()).rejects.toThrow(`${file} is another CA's`);
  });

  test("openssl takes the server's certificate, and is answered with a leaf that the exporter has made", {
    tags: ["process"],
  }, async () => {
    const running = await startTls({ vms: [vm("user:web")] });
    const at = (name: string) => join(running.tlsFolder, name);
    const files = { certificate: at("issuer-user.pem"), key: at("issuer-user.key") };
    const issuer = await readHolder(files, await readCertificates(at("ca.pem")));
    const leaf = await issue(issuer, { label: "web", command: INFO }, Date.now(), 60_000);
    writeFileSync(at("leaf.pem"), leaf.certificates);
    writeFileSync(at("leaf.key"), leaf.key, { mode: 0o600 });
    const args = [
      ..."s_client -quiet -brief -verify_return_error -connect".split(" "),
      running.host.tlsAddress ?? "",
      ...["-CAfile", at("ca.pem"), "-cert", at("leaf.pem")],
      ...["-key", at("leaf.key"), "-cert_chain", at("issuer-user.pem")],
    ];
    const [stdout, stderr] = await new Promise<[Buffer, Buffer]>((resolve) => {
      execFile("openssl", args, { encoding: "buffer" }, (_, out, err) => resolve([out, err]));
    });
    expect(stderr.toString()).toContain("Verification: OK");
    expect(infoIn(messageIn(stdout))).toMatchObject([{ name: "user:web" }]);
  });
});
