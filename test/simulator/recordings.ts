/** What the recorded messages of a real host hold, and unikernels made from it. */
import { createHash } from "node:crypto";
import { expect } from "vitest";
import type { Config } from "../../src/simulator/model.ts";
import { FrameReader } from "../../src/wire/framing.ts";
import { decodeMessage, type Message, type UnikernelInfo } from "../../src/wire/messages.ts";
import { formatName, parseName, resolveName } from "../../src/wire/names.ts";
import { question } from "../support/simulated.ts";
import { Client, config } from "./support.ts";

/** The only message, the length prefix apart. */
export function messageIn(bytes: Buffer): Message | null {
  let message: Message | null = null;
  // The image of a reply was cut out: it is no whole frame.
  new FrameReader(1 << 20).push(bytes, (frame) => {
    message = decodeMessage(Buffer.from(frame));
  });
  return message;
}

export function infoIn(message: Message | null) {
  const payload = message?.payload;
  if (payload?.type !== "success" || !("unikernels" in payload)) return null;
  return payload.unikernels.map(({ name, info }) => ({ name: resolvedTo(message, name), info }));
}

function resolvedTo(message: Message | null, name: ReturnType<typeof parseName>) {
  const query = message?.header.name ?? name;
  return formatName(query.label === null ? resolveName(query, name) : name);
}

export async function created(vmmdPath: string, vms: Record<string, Partial<Config>>): Promise<void> {
  for (const [name, given] of Object.entries(vms)) {
    const command = { class: "unikernel", command: "create", config: config(given) } as const;
    const client = new Client(vmmdPath).send(question(parseName(name), 0, command));
    await client.end();
    expect(client.messages).toMatchObject([{ payload: { type: "success", string: "created unikernel" } }]);
  }
}

/** What a unikernel was created with that is listed so. */
export function configOf({
  blockDevices,
  bridges,
  digest: _,
  startedMs: __,
  ...info
}: UnikernelInfo): Config {
  return config({
    ...info,
    blockDevices: blockDevices.map((device) => ({
      name: device.unikernelDevice,
      device: device.hostDevice,
      sectorSize: device.sectorSize,
    })),
    bridges: bridges.map(({ unikernelDevice: name, hostDevice, mac }) => ({
      name,
      bridge: hostDevice,
      // what albatrossd makes of names is not given to it
      mac: mac.startsWith("00:80:41") && mac !== SAME_MAC ? null : mac,
    })),
  });
}
/** Of :src, given to its clone. */
const SAME_MAC = "00:80:41:68:68:f5";

export function withOurDigests(bytes: Buffer): Message {
  const message = messageIn(bytes);
  if (message?.payload.type !== "success" || !("unikernels" in message.payload)) throw new Error("no info");
  const unikernels = message.payload.unikernels.map(({ name, info }) => {
    const digest = new Uint8Array(createHash("sha256").update(configOf(info).image).digest());
    return { name, info: { ...info, digest } };
  });
  return { header: message.header, payload: { ...message.payload, unikernels } };
}

/** albatrossd lists in an order of its own. */
export function sorted(message: Message | null) {
  return infoIn(message)?.sort((a, b) => (a.name < b.name ? -1 : 1));
}
