/** A lock on a file for one process, which ends with it in whatever way that ends: nothing that is left over holds. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { lstat, realpath, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { isErrno } from "./systemError.ts";

/** With what is added to it at times, what the address of a unix socket may be: below 108 bytes on Linux, 104 on BSDs. */
const MAX_ADDRESS_BYTES = 100;
/** How often others may be quicker before this one gives up. */
const ATTEMPTS = 5;
/** How long an address may be taken and not listened to yet. */
const BEFORE_LISTENING_MS = 20;
/** Who took the socket of a dead process away at the same time as another has done so for long by then. */
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
 * Takes the lock on a file, which need not be there: a unix socket beside it that is listened to. Resolves to what gives it
 * back; to null while another process has it. Throws the system's error where there can be no socket. Where its address would
 * be too long for one it is below the folder for temporary files, or refused with a LongAddress.
 */
export async function lockFile(
  file: string,
  whenLong: "elsewhere" | "refuse" = "elsewhere",
): Promise<(() => Promise<void>) | null> {
  const address = await addressOf(file, whenLong);
  const token = randomBytes(8).toString("hex");
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const server = await listen(address, token);
    if (server !== null) {
      if (!(await isStillOurs(address, token))) return null;
      return async () => {
        server.close();
        await once(server, "close");
      };
    }
    if (await isListenedTo(address)) return null;
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

/**
 * Whether the socket at the address is this process' a little later: two that found the same dead socket may both have got
 * it. The one that lost does not close its own, which would take the other's file away: it ends with the process.
 */
async function isStillOurs(address: string, token: string): Promise<boolean> {
  for (let look = 0; look < ATTEMPTS; look++) {
    await setTimeout(LOOK_AGAIN_MS);
    if ((await tokenAt(address)) === token) return true;
  }
  return false;
}

/** What whoever listens at the address says of itself; nothing where it does not, or nobody does for the moment. */
async function tokenAt(address: string): Promise<string> {
  const socket = connect(address).setEncoding("utf8");
  socket.setTimeout(ANSWER_MS, () => socket.destroy());
  let said = "";
  try {
    for await (const part of socket) said += part;
  } catch {
    // nobody, or somebody who is not asked twice
  }
  return said;
}

async function isListenedTo(address: string): Promise<boolean> {
  const socket = connect(address);
  try {
    await once(socket, "connect");
    return true;
  } catch (error) {
    return !isErrno(error, "ECONNREFUSED") && !isErrno(error, "ENOENT");
  } finally {
    socket.destroy();
  }
}

/**
 * Takes away what a process left behind. One process at a time does so, behind a lock on the lock: else it might be that
 * of a process which was quicker.
 */
async function removeStale(address: string): Promise<void> {
  const found = await lstat(address).catch(() => null);
  if (found === null) return;
  if (!found.isSocket()) throw new Error(`${address} is in the way: it is no lock`);
  const guardAddress = `${address}.g`;
  const guard = await listen(guardAddress, "");
  if (guard === null) {
    if (!(await isListenedTo(guardAddress))) await rm(guardAddress, { force: true });
    return;
  }
  // whoever has the address may be about to listen
  await setTimeout(BEFORE_LISTENING_MS);
  if (!(await isListenedTo(address))) await rm(address, { force: true });
  guard.close();
  await once(guard, "close");
}
