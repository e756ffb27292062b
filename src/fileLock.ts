/** A lock on a file for one process: nothing that a dead process leaves behind holds it. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { lstat, realpath, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { isErrno } from "./systemError.ts";

/** A unix socket's address is below 108 bytes on Linux, 104 on BSDs; a guard's has two more. */
const MAX_ADDRESS_BYTES = 100;
/** How often others may be quicker before this one gives up. */
const ATTEMPTS = 5;
/** How long an address may be taken and not listened to yet. */
const BEFORE_LISTENING_MS = 20;
/** By then another that takes away the same dead socket has done so. */
const LOOK_AGAIN_MS = 50;
const ANSWER_MS = 1_000;

/** A socket beside the file would have too long an address. */
export class LongAddress extends Error {
  override readonly name = "LongAddress";

  constructor(address: string) {
    const bytes = Buffer.byteLength(address);
    super(`the path of the lock ${address} has ${bytes} bytes; allowed: at most ${MAX_ADDRESS_BYTES}`);
  }
}

/**
 * Takes the lock on a file, which need not be there: a unix socket beside it that is listened to.
 * Resolves to what gives it back; to null while another process has it. Throws where there can be no
 * socket. One with too long an address is in the folder for temporary files, or refused (LongAddress).
 */
export async function lockFile(
  file: string,
  whenLong: "elsewhere" | "refuse" = "elsewhere",
): Promise<(() => Promise<void>) | null> {
  const address = await addressOf(file, whenLong);
  const token = randomBytes(8).toString("hex");
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const server = await listen(address, token);
    if (server !== null) return (await isStillOurs(address, token)) ? () => close(server) : null;
    if ((await tokenAt(address)) !== null) return null;
    await removeStale(address);
  }
  return null;
}

/** Where the lock of a file is: the same for all names of it. */
async function addressOf(file: string, whenLong: "elsewhere" | "refuse"): Promise<string> {
  const real = await realpath(file).catch(async (error) => {
    if (!isErrno(error, "ENOENT")) throw error;
    return join(await realpath(dirname(file)), basename(file));
  });
  const beside = `${real}.lock`;
  if (Buffer.byteLength(beside) <= MAX_ADDRESS_BYTES) return beside;
  if (whenLong === "refuse") throw new LongAddress(beside);
  const digest = createHash("sha256").update(real).digest("hex").slice(0, 32);
  return join(tmpdir(), `albatross-${digest}.lock`);
}

/** Null when something has that address already. */
async function listen(address: string, token: string): Promise<Server | null> {
  const server = createServer((socket) => socket.on("error", () => socket.destroy()).end(token));
  server.listen(address);
  try {
    await once(server, "listening");
  } catch (error) {
    if (isErrno(error, "EADDRINUSE")) return null;
    throw error;
  }
  server.unref();
  return server;
}

async function close(server: Server): Promise<void> {
  server.close();
  await once(server, "close");
}

/**
 * Whether the socket at the address is this process' a little later: two that found the same dead one
 * may both have got it. Who lost does not close its own, which would take the other's file away.
 */
async function isStillOurs(address: string, token: string): Promise<boolean> {
  for (let look = 0; look < ATTEMPTS; look++) {
    await setTimeout(LOOK_AGAIN_MS);
    if ((await tokenAt(address)) === token) return true;
  }
  return false;
}

/** What whoever listens at the address says; null where nobody does. */
async function tokenAt(address: string): Promise<string | null> {
  const socket = connect(address).setEncoding("utf8");
  socket.setTimeout(ANSWER_MS, () => socket.destroy());
  let said = "";
  try {
    for await (const part of socket) said += part;
  } catch (error) {
    if (isErrno(error, "ECONNREFUSED") || isErrno(error, "ENOENT")) return null;
  }
  return said;
}

/** Takes away what a process left behind, one process at a time: it might be that of a quicker one. */
async function removeStale(address: string): Promise<void> {
  const found = await lstat(address).catch(() => null);
  if (found === null) return;
  if (!found.isSocket()) throw new Error(`${address} is in the way: it is no lock`);
  const guardAddress = `${address}.g`;
  const guard = await listen(guardAddress, "");
  if (guard === null) {
    if ((await tokenAt(guardAddress)) === null) await rm(guardAddress, { force: true });
    return;
  }
  // whoever has the address may be about to listen
  await setTimeout(BEFORE_LISTENING_MS);
  if ((await tokenAt(address)) === null) await rm(address, { force: true });
  await close(guard);
}
