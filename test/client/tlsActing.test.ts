import { createHash } from "node:crypto";
import { type FileHandle, open, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ActingClient, type Outcome, type Sending } from "../../src/client/acting.ts";
import { TlsEndpoint } from "../../src/client/tls.ts";
import { VmmdClient } from "../../src/client/vmmd.ts";
import { failureReply } from "../../src/simulator/messages.ts";
import { encodeFrame, FrameReader } from "../../src/wire/framing.ts";
import { decodeMessage, encodeMessage, type Payload } from "../../src/wire/messages.ts";
import { formatName, parseName } from "../../src/wire/names.ts";
import { type Made, make, policyOf } from "../support/certificates.ts";
import { eventually, settle } from "../support/eventually.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { exchangeBytes, exchanges } from "../wire/support/vectors.ts";
import { imageOf, kindOf, PLAIN } from "./support/acting.ts";
import { chainAsTold, TlsHost, type Visit } from "./support/tlsHost.ts";

const words = (text: string) =>
  text
    .trim()
    .split(/\s+/)
    .map((name) => `tls-${name}`);

/** What comes of each recorded reply, and of what it answers. */
const INFO = { "tls-info-name": ":web", "tls-user-info2": "user:web" };
const LISTS = {
  "tls-info-root": ":",
  "tls-minimal": ":",
  "tls-p256-leaf": ":",
  "tls-inter-noext": ":",
  "tls-user-info4": "user:",
  "tls-user-info5": "user:",
};
const POLICIES = {
  "tls-policy-root": ":",
  "tls-policy-nocn": ":",
  "tls-user-policy": "user:",
  "tls-inter-small": "small:",
};
const CREATE = {
  "tls-user-create-stream": "failure exists",
  "tls-user-create-exists": "failure exists",
  "tls-user-cpu": "failure quota",
  "tls-root-create": "success",
  "tls-inter-noext-create": "success",
  "tls-small-create1": "success",
  "tls-small-create2": "failure quota",
  "tls-inter-policyfail": "failure certificate",
};
const DESTROY = words(
  "root-destroy user-destroy user-destroy-missing inter-noext-create-destroy small-destroy",
);
const GET = { "tls-get-missing": "failure not_found" };

/** Why the others are not among these. */
const ELSEWHERE: Readonly<Record<string, readonly string[]>> = {
  "their bytes were not kept: test/client/tlsTarget.test.ts subscribes, a get is below": words(
    "user-stats stats-root user-get0",
  ),
  "subscriptions that end: below, and in test/client/tlsRefusals.test.ts": words(
    "stats-daemon-restart stats-displaced",
  ),
  "alerts: in test/client/tlsRefusals.test.ts": words("expired notyet wrongca"),
  "certificates that are refused here: in test/client/tlsRefusals.test.ts": words(
    "version6 version4 unknown-tag noext critical badname pathcn inter-cmd",
  ),
  "commands that are never written here": words("forbidden forbidden2"),
  "streams without an end mark, which create nothing: below": words(
    "user-create-nolen0 user-create-noend user-create-cut",
  ),
  "a level that makes albatrossd compress for seconds": words("user-get9"),
  "images are streamed, not put into certificates": words("user-create-inline"),
  "restart can lose what runs; block devices are not cloned": words("user-restart user-block"),
};

test("every exchange over TLS that was recorded is used, or it is said why not", () => {
  const used = [INFO, LISTS, POLICIES, CREATE, GET].flatMap((table) => Object.keys(table));
  const all = [...used, ...DESTROY, ...Object.values(ELSEWHERE).flat()];
  const recorded = exchanges.map(({ name }) => name).filter((name) => name.startsWith("tls-"));
  expect(all.toSorted()).toEqual(recorded.toSorted());
});

let host: TlsHost;
let clock: FakeClock;
let files: FileHandle[];

beforeEach(async () => {
  [clock, files] = [new FakeClock(Date.now()), []];
  host = await new TlsHost().start();
});

afterEach(async () => {
  await Promise.all(files.map((file) => file.close()));
  await host.stop();
});

/** As whoever may act on names in that path: the CA's for the root. */
async function endpointFor(path: string): Promise<TlsEndpoint> {
  const label = path.replace(/:$/, "");
  const issuer: Made = label === "" ? host.ca : await make(label, { issuer: host.ca, command: policyOf(10) });
  const settings = { subscribe: [], enforcesPolicy: true, allowRoot: true };
  const tls = host.config({ issuer: host.folder.holder("issuer", issuer) });
  const endpoint = new TlsEndpoint(tls, settings, clock);
  await endpoint.refresh();
  return endpoint;
}

async function clientFor(path: string): Promise<ActingClient> {
  const client = new ActingClient({ endpoint: await endpointFor(path), maxFrameBytes: 1024 * 1024, clock });
  host.serve = answering(exchangeBytes("tls-info-name", "s2c"));
  const known = await client.info(parseName(`${path}zz`));
  if (known.type !== "success") throw new Error(known.text);
  host.visits.length = 0;
  return client;
}

/** As the endpoint does: a create is answered when its end mark has come, anything else at once. */
function answering(reply: Uint8Array) {
  return ({ socket, command, chunks }: Visit) => {
    if (command.command !== "create") return void socket.end(reply);
    socket.on("data", () => {
      if (Buffer.concat(chunks).subarray(-4).equals(Buffer.alloc(4))) socket.end(reply);
    });
  };
}

async function fileOf(content: Uint8Array | string = ""): Promise<FileHandle> {
  const path = host.folder.write(`file-${files.length}`, "");
  await writeFile(path, content);
  const file = await open(path, "r+");
  files.push(file);
  return file;
}

const QUIET: Sending = { beforeFirstByte: async () => undefined };
const IMAGE = Buffer.alloc(200_000, 7);

async function create(
  client: ActingClient,
  name: string,
  sending = QUIET,
  image = IMAGE,
): Promise<Outcome<string>> {
  return client.create(parseName(name), PLAIN, await fileOf(IMAGE), imageOf(image), sending);
}

/** The name that a reply is about. */
function headerName(exchange: string): string {
  return formatName(decodeMessage(exchangeBytes(exchange, "s2c").subarray(4)).header.name);
}

const pathOf = (name: string) => name.replace(/[^:]*$/, "").replace(/^:$/, "");

function payloadOf(exchange: string): Payload {
  return decodeMessage(exchangeBytes(exchange, "s2c").subarray(4)).payload;
}

describe("the recorded reply is read:", () => {
  test.each(Object.entries(INFO))("%s", async (exchange, name) => {
    const client = await clientFor(pathOf(name));
    host.serve = answering(exchangeBytes(exchange, "s2c"));
    const payload = payloadOf(exchange);
    if (payload.type !== "success" || payload.result !== "unikernel_info") throw new Error("no info");
    expect(await client.info(parseName(name))).toEqual({
      type: "success",
      value: payload.unikernels[0]?.info ?? null,
    });
    expect(host.visits[0]).toMatchObject({ command: { class: "unikernel", command: "info" } });
  });

  test.each(Object.entries(LISTS))("%s", async (exchange, name) => {
    const endpoint = await endpointFor(pathOf(name));
    host.serve = answering(exchangeBytes(exchange, "s2c"));
    const payload = payloadOf(exchange);
    if (payload.type !== "success" || payload.result !== "unikernel_info") throw new Error("no info");
    const vmmd = new VmmdClient({ endpoint, maxFrameBytes: 1e6, clock });
    expect(await vmmd.unikernels(parseName(name))).toMatchObject(
      payload.unikernels.map((one) => ({ name: one.name })),
    );
    expect(payload.unikernels.length).toBeGreaterThan(0);
  });

  test.each(Object.entries(POLICIES))("%s", async (exchange, path) => {
    const endpoint = await endpointFor(path === ":" ? "" : path);
    host.serve = answering(exchangeBytes(exchange, "s2c"));
    const payload = payloadOf(exchange);
    if (payload.type !== "success" || payload.result !== "policies") throw new Error("no policies");
    const vmmd = new VmmdClient({ endpoint, maxFrameBytes: 1e6, clock });
    expect(await vmmd.policies(parseName(path))).toEqual(payload.policies);
    expect(payload.policies.length).toBeGreaterThan(0);
  });

  test.each(Object.entries(CREATE))("%s: %s", async (exchange, kind) => {
    const name = exchange === "tls-inter-policyfail" ? "small:a" : headerName(exchange);
    const client = await clientFor(pathOf(name));
    host.serve = answering(exchangeBytes(exchange, "s2c"));
    expect(kindOf(await create(client, name))).toBe(kind);
  });

  test.each(DESTROY)("%s", async (exchange) => {
    const name = headerName(exchange);
    const client = await clientFor(pathOf(name));
    host.serve = answering(exchangeBytes(exchange, "s2c"));
    const outcome = await client.destroy(parseName(name), QUIET);
    expect(outcome).toMatchObject({ type: "success", value: expect.stringMatching(/^destroy/) });
    expect(host.visits.map(({ command }) => command.command)).toEqual(["destroy"]);
  });

  test.each(Object.entries(GET))("%s: %s", async (exchange, kind) => {
    const name = headerName(exchange);
    const client = await clientFor(pathOf(name));
    host.serve = answering(exchangeBytes(exchange, "s2c"));
    expect(kindOf(await client.get(parseName(name), await fileOf(), 1e6))).toBe(kind);
    expect(host.visits[0]?.command).toEqual({ class: "unikernel", command: "get", compressionLevel: 0 });
  });

  test.each(["tls-stats-daemon-restart", "tls-stats-displaced"])("%s ends a subscription", (exchange) => {
    const said: Payload[] = [];
    new FrameReader(1e6).push(exchangeBytes(exchange, "s2c"), (frame) =>
      said.push(decodeMessage(frame).payload),
    );
    expect(said.at(-1)).toEqual({ type: "failure", message: "exception while reading from fd" });
  });
});

describe("a create", () => {
  test("has its configuration in the leaf, and its image in chunks with an end mark", async () => {
    const client = await clientFor("user:");
    host.serve = answering(exchangeBytes("tls-root-create", "s2c"));
    expect(kindOf(await create(client, "user:web"))).toBe("success");
    const [visit] = host.visits;
    expect(visit?.names).toEqual(chainAsTold("web", "user", "test CA"));
    expect(visit?.command).toEqual({
      class: "unikernel",
      command: "create",
      config: { ...PLAIN, compressed: false, image: Buffer.alloc(0) },
    });
    const sent = Buffer.concat(visit?.chunks ?? []);
    const chunks: Buffer[] = [];
    for (let at = 0; at < sent.length - 4; ) {
      const bytes = sent.readInt32BE(at);
      expect(bytes).toBeGreaterThan(0);
      chunks.push(sent.subarray(at + 4, at + 4 + bytes));
      at += 4 + bytes;
    }
    expect(sent.subarray(-4)).toEqual(Buffer.alloc(4));
    const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
    expect(digest(Buffer.concat(chunks))).toBe(digest(IMAGE));
  });

  test("of an image that has changed has no end mark", async () => {
    const client = await clientFor("user:");
    let isMarked = false;
    host.serve = ({ socket, chunks }) =>
      void socket.on("close", () => {
        isMarked = Buffer.concat(chunks).subarray(-4).equals(Buffer.alloc(4));
      });
    expect(kindOf(await create(client, "user:web", QUIET, Buffer.alloc(200_000, 8)))).toBe("failure image");
    await eventually("the end", () => host.visits[0]?.socket.destroyed === true);
    expect(isMarked).toBe(false);
  });

  test("that is cut before its end mark has done nothing", async () => {
    const client = await clientFor("user:");
    host.serve = ({ socket }) => void socket.once("data", () => socket.destroy());
    const image = Buffer.alloc(8 * 1024 * 1024, 7);
    const file = await fileOf(image);
    const outcome = await client.create(parseName("user:web"), PLAIN, file, imageOf(image), QUIET);
    expect(kindOf(outcome)).toBe("failure unsent");
  });

  test("that is cut behind it may have been done", async () => {
    const client = await clientFor("user:");
    host.serve = answering(Buffer.alloc(0));
    expect(await create(client, "user:web")).toEqual({
      type: "unknown",
      why: "no_reply",
      text: `127.0.0.1:${host.port} closes the connection without a reason: only the endpoint's log says why; likely: albatrossd or the endpoint ended in the middle, or this Albatross is older than 2.7`,
    });
  });
});

test.each(["create", "destroy"] as const)(
  "whose albatrossd ends in the middle, a %s may have been done",
  async (what) => {
    const client = await clientFor("user:");
    const header = { version: 5, sequence: 0, name: parseName("user:web") } as const;
    const said = failureReply(header, "exception while reading from fd");
    host.serve = answering(encodeFrame(encodeMessage(said)));
    const act = what === "create" ? create(client, "user:web") : client.destroy(parseName("user:web"), QUIET);
    expect(await act).toEqual({
      type: "unknown",
      why: "no_reply",
      text: "albatrossd closes the connection without a reply: did it end in the middle?",
    });
  },
);

describe("before anything can have an effect", () => {
  test.each<[string, (client: ActingClient, sending: Sending) => Promise<Outcome<string>>]>([
    ["create", (client, sending) => create(client, "user:web", sending)],
    ["destroy", (client, sending) => client.destroy(parseName("user:web"), sending)],
  ])("the sender is asked, who may refuse: %s", async (_, act) => {
    const client = await clientFor("user:");
    host.serve = answering(exchangeBytes("tls-user-destroy", "s2c"));
    let seen = -1;
    const refusing = {
      beforeFirstByte: async () => {
        await settle();
        seen = host.visits.length;
        throw new Error("the disk is full");
      },
    };
    const before = host.connections;
    expect(await act(client, refusing)).toEqual({
      type: "failure",
      reason: "refused",
      text: "the disk is full",
    });
    await settle();
    expect([host.connections - before, seen, host.visits.length]).toEqual([1, 0, 0]);
  });

  test("the server has to prove that it is the host's: its sender is not even asked", async () => {
    const client = await clientFor("user:");
    await host.relisten([await make("server", { issuer: await make("another CA"), isCa: false })]);
    let isAsked = false;
    const outcome = await client.destroy(parseName("user:web"), {
      beforeFirstByte: async () => {
        isAsked = true;
      },
    });
    expect(outcome).toMatchObject({ type: "failure", reason: "certificate" });
    expect([isAsked, host.visits.length]).toEqual([false, 0]);
  });
});

test("a certificate that acts is used once", async () => {
  const client = await clientFor("user:");
  host.serve = answering(exchangeBytes("tls-user-destroy", "s2c"));
  for (let times = 0; times < 2; times++) await client.destroy(parseName("user:web"), QUIET);
  expect(new Set(host.visits.map(({ serial }) => serial)).size).toBe(2);
});

test("another path's groups cannot be acted on, and with certificates made beforehand none", async () => {
  const endpoint = await endpointFor("user:");
  expect(endpoint.whyNotActing(["user"])).toBeNull();
  for (const path of [[], ["other"], ["user", "sub"]]) {
    expect(endpoint.whyNotActing(path)).toEqual({
      reason: "path",
      text: `the certificates do not reach that name: ${host.folder.path}/issuer.pem is for user: and for names of exactly that path, such as user:web`,
    });
  }
  expect((await endpointFor("")).whyNotActing([])).toBeNull();
  const client = await clientFor("user:");
  expect(await client.destroy(parseName("other:web"), QUIET)).toMatchObject({
    type: "failure",
    reason: "certificate",
  });
  expect(host.visits).toEqual([]);
});
