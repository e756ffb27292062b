import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Outcome, Sending } from "../../src/client/acting.ts";
import { decodeMessage, type Message } from "../../src/wire/messages.ts";
import { formatName, type Name, parseName } from "../../src/wire/names.ts";
import { element, stripElement } from "../wire/support/der.ts";
import { exchangeBytes, exchanges } from "../wire/support/vectors.ts";
import { CREATED, FakeAlbatrossd, imageOf, kindOf, PLAIN, replyOf } from "./support/acting.ts";

const words = (text: string) => text.trim().split(/\s+/);

/** Questions and commands that we write, and what comes of the recorded reply. */
const INFO = words(`info-name info-name-missing info-args info-noaddname info-bridge info-bridge-short
  info-bridge-back info-bridge-back-nomac info-after-restart create-dies-info force-junk-info
  force-manifest-info force-cpu-info info-numcpus info-nocpu info-block rt-info rt-info-clone rt-info-samemac
  client-info-name`);
const POLICY = words("policy-info-root policy-info-path policy-info-missing client-policy");
const GET = { "get-missing": "failure not_found" };
const DESTROY = words("destroy destroy-missing destroy-notfound client-destroy client-destroy-missing");
const CREATE = { "create-minimal": "success", "create-junk": "failure image" };

/** Requests that we write, whose reply (an image) was not kept. */
const GET_ONLY_ASKED = words("get-0 get-0-compressed rt-get client-get");

/** Creates whose request was not kept: what comes of the reply. */
const CREATE_ONLY_ANSWERED: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    words(`create-args create-noaddname create-bridge create-bridge-short create-bridge-back
    create-bridge-back-nomac create-compressed create-numcpus create-memory0 create-nocpu pol-ok1 pol-ok2 pol-sub
    block-create rt-create rt-create-samemac name-63 client-create client-create-net client-create-noname
    client-create-z create-dies`).map((name) => [name, "success"]),
  ),
  "create-existing": "failure exists",
  "client-create-exists": "failure exists",
  "create-manifest": "failure manifest",
  "create-nobridge": "failure quota",
  "create-badcpu": "failure quota",
  "pol-cpu": "failure quota",
  "pol-cpu2": "failure quota",
  "pol-bridge": "failure quota",
  "pol-memory": "failure quota",
  "pol-count": "failure quota",
  "block-missing": "failure block_device",
  "block-missing-default": "failure block_device",
};

/** Why the others are not written by an action; their bytes are read in test/wire/acting.test.ts. */
const NOT_OURS: Readonly<Record<string, readonly string[]>> = {
  "a question of VmmdClient, about all of a host": words("info-root info-path client-info"),
  "an old info command, which kills a 2.7": words("old-info5"),
  "a level that makes albatrossd compress for seconds": words("get-9 get-9-compressed"),
  "an image too short to be one is refused here": words(`create-empty create-badelf create-truncated-15
    create-truncated-16 create-truncated-40 create-truncated-63`),
  "images are sent as they are": words("create-compressed-junk"),
  "an image of nothing: bhyve is never cloned": words("create-bhyve"),
  "the name of a path is refused here: it breaks albatrossd's console link": words("create-name-root"),
  "restart and force-create can lose what runs": words(`restart restart-missing force-create force-create-new
    pol-force-same pol-force-over block-force-inuse force-manifest force-cpu noconsole-restart noconsole-force
    client-restart client-force`),
  "policies are for people to change": words(`policy-add policy-add-low policy-remove policy-remove-missing`),
  "block devices are not cloned":
    words(`block-info-root block-add block-add-over block-add-root block-info-after
    block-info-name client-block`),
  "damaged on purpose": words("unknown-cmd version6 version4 badname trailing name-64"),
  "names are in lower case": words("uppername"),
  "one command per connection": words("two-commands"),
};

test("every exchange that was recorded is used, or it is said why not", () => {
  const used = [...INFO, ...POLICY, ...DESTROY, ...GET_ONLY_ASKED];
  const tables = [GET, CREATE, CREATE_ONLY_ANSWERED].flatMap((table) => Object.keys(table));
  const all = [...used, ...tables, ...Object.values(NOT_OURS).flat()];
  // those over TLS are in tlsActing.test.ts
  const recorded = exchanges.map(({ name }) => name).filter((name) => !name.startsWith("tls-"));
  expect(all.toSorted()).toEqual(recorded.toSorted());
});

let host: FakeAlbatrossd;

beforeEach(async () => {
  host = new FakeAlbatrossd();
  await host.start();
  await host.known();
});

afterEach(() => host.stop());

const SENDING: Sending = { beforeFirstByte: async () => undefined };

/** The recorded request; an image that was cut out of it is zeros. */
function recorded(exchange: string): { frame: Buffer; message: Message; name: Name } {
  const { c2s_image_bytes = 0, c2s_after = "" } = exchanges.find(({ name }) => name === exchange) ?? {};
  const start = exchangeBytes(exchange, "c2s").subarray(4);
  const frame = Buffer.concat([start, Buffer.alloc(c2s_image_bytes), Buffer.from(c2s_after, "hex")]);
  const message = decodeMessage(frame);
  return { frame, message, name: message.header.name };
}

/** It, with the sequence number that is ours, and `:web` where the recorder wrote `web`: as albatross-client does. */
function asWeWrite(
  { frame, name }: { frame: Buffer; name: Name },
  change = (payload: Buffer) => payload,
): Buffer {
  const payload = change(stripElement(frame)[1] ?? Buffer.alloc(0));
  const [version, sequence] = [Buffer.from([2, 1, 5]), Buffer.from([4, 8, 0, 0, 0, 0, 0, 0, 0, 1])];
  const header = element(0x30, version, sequence, element(0x0c, Buffer.from(formatName(name))));
  const whole = element(0x30, header, payload);
  const prefix = Buffer.alloc(4);
  prefix.writeInt32BE(whole.length);
  return Buffer.concat([prefix, whole]);
}

/** The recorder's creates leave out the number of CPUs where it is 1; albatross-client, and we, do not. */
function withCpus(payload: Buffer): Buffer {
  const config = stripElement(stripElement(stripElement(stripElement(payload)[0])[0])[0]);
  let inner = Buffer.concat([...config, element(0xa3, Buffer.from([2, 1, 1]))]);
  for (const tag of [0x30, 0xb4, 0xa3, 0xa0]) inner = Buffer.concat([element(tag, inner)]);
  return inner;
}

/** What albatrossd got, in the one connection that there was. */
function got(): Buffer {
  expect(host.visits).toHaveLength(1);
  return Buffer.concat(host.visits[0]?.chunks ?? []);
}

async function create(name: Name, config: object, content: Uint8Array): Promise<Outcome<string>> {
  const file = await host.file(content);
  return host.client.create(name, { ...PLAIN, ...config }, file, imageOf(content), SENDING);
}

function configOf({ payload }: Message) {
  if (payload.type !== "command" || payload.command.command !== "create") throw new Error("no create");
  const { image, compressed, ...config } = payload.command.config;
  expect(compressed).toBe(false);
  return { config, image };
}

describe("the recorded request is written byte for byte, and its reply read:", () => {
  test.each(INFO)("%s", async (exchange) => {
    const request = recorded(exchange);
    const reply = exchangeBytes(exchange, "s2c");
    host.answer(reply);
    const outcome = await host.client.info(request.name);
    expect(got()).toEqual(asWeWrite(request));
    const { payload } = decodeMessage(reply.subarray(4));
    if (payload.type !== "success" || payload.result !== "unikernel_info") throw new Error("no info");
    expect(outcome).toEqual({ type: "success", value: payload.unikernels[0]?.info ?? null });
  });

  test.each(POLICY)("%s", async (exchange) => {
    const request = recorded(exchange);
    const reply = exchangeBytes(exchange, "s2c");
    host.answer(reply);
    const outcome = await host.client.policy(request.name.path);
    expect(got()).toEqual(asWeWrite(request));
    const { payload } = decodeMessage(reply.subarray(4));
    if (payload.type !== "success" || payload.result !== "policies") throw new Error("no policies");
    // each time the first: that of the path itself
    expect(outcome).toEqual({ type: "success", value: payload.policies[0]?.policy ?? null });
  });

  test.each(Object.entries(GET))("%s: %s", async (exchange, kind) => {
    const request = recorded(exchange);
    host.answer(exchangeBytes(exchange, "s2c"));
    const outcome = await host.client.get(request.name, await host.file(), 1_000_000);
    expect(got()).toEqual(asWeWrite(request));
    expect(kindOf(outcome)).toBe(kind);
  });

  test.each(GET_ONLY_ASKED)("%s", async (exchange) => {
    const request = recorded(exchange);
    const image = Buffer.alloc(196_608, 1);
    host.answer(replyOf({ type: "success", result: "unikernel_image", compressed: false, image }));
    const outcome = await host.client.get(request.name, await host.file(), 1_000_000);
    expect(got()).toEqual(asWeWrite(request));
    expect(outcome).toEqual({ type: "success", value: imageOf(image) });
  });

  test.each(DESTROY)("%s", async (exchange) => {
    const request = recorded(exchange);
    host.answer(exchangeBytes(exchange, "s2c"));
    const outcome = await host.client.destroy(request.name, SENDING);
    expect(got()).toEqual(asWeWrite(request));
    expect(outcome).toMatchObject({ type: "success", value: expect.stringMatching(/^destroy/) });
  });

  test.each(Object.entries(CREATE))("%s: %s", async (exchange, kind) => {
    const request = recorded(exchange);
    host.answer(exchangeBytes(exchange, "s2c"));
    const { config, image } = configOf(request.message);
    expect(kindOf(await create(request.name, config, image))).toBe(kind);
    expect(got().equals(asWeWrite(request, withCpus))).toBe(true);
  });
});

test.each(Object.entries(CREATE_ONLY_ANSWERED))("the reply of %s is read: %s", async (exchange, kind) => {
  const reply = exchangeBytes(exchange, "s2c");
  host.answer(reply);
  expect(kindOf(await create(decodeMessage(reply.subarray(4)).header.name, {}, Buffer.alloc(100)))).toBe(
    kind,
  );
});

test.each([
  // the recorder left out the colon of `:src-clone-1`
  ["rt-create", ":src-clone-1", 200_848 + ":".length, 200_704],
  ["client-create-noname", ":pn", 196_689, 196_608],
])("a create is as long as that of %s, which was not kept", async (exchange, name, bytes, imageBytes) => {
  let config: object = { addName: false };
  if (exchange === "rt-create") {
    host.answer(exchangeBytes("rt-info", "s2c"));
    const found = await host.client.info(recorded("rt-info").name);
    if (found.type !== "success" || found.value === null) throw new Error("no info");
    const { memory, cpuids, argv, startup, failBehaviour, numcpus, bridges } = found.value;
    const taps = bridges.map((one) => ({ name: one.unikernelDevice, bridge: one.hostDevice, mac: null }));
    config = { memory, cpuids, argv, startup, failBehaviour, numcpus, bridges: taps };
    host.visits.length = 0;
  }
  host.answer(CREATED);
  await create(parseName(name), config, Buffer.alloc(imageBytes));
  expect(got()).toHaveLength(bytes);
});
