/** A lock on a file for one process, which ends with it in whatever way that ends: nothing that is left over holds. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { lstat, realpath, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { isErrno } from "./systemError.ts";

/** With what is added to it at times, what the address of a unix socket may be: below 108 bytes on Linux, 104 on BSDs. */
const MAX_ADDRESS_BYTES = 90;
/** How often others may be quicker before this one gives up. */
const ATTEMPTS = 5;
/** How long an address may be taken and not listened to yet. */
const BEFORE_LISTENING_MS = 20;

/**
 * Takes the lock on a file, which need not be there: a unix socket beside it that is listened to. Resolves to what gives it
 * back; to null while another process has it. Throws the system's error where there can be no socket.
 */
export async function lockFile(file: string): Promise<(() => Promise<void>) | null> {
  const address = await addressOf(file);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const server = await listen(address);
    if (server !== null) {
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
async function addressOf(file: string): Promise<string> {
  const real = await realpath(file).catch(async (error) => {
    if (!isErrno(error, "ENOENT")) throw error;
    return join(await realpath(dirname(file)), basename(file));
  });
  const beside = `${real}.lock`;
  if (Buffer.byteLength(beside) <= MAX_ADDRESS_BYTES) return beside;
  const digest = createHash("sha256").update(real).digest("hex").slice(0, 32);
  return join(tmpdir(), `albatross-${digest}.lock`);
}

/** Null when something has that address already. */
async function listen(address: string): Promise<Server | null> {
  const server = createServer((socket) => socket.destroy());
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
  const guardAddress = `${address}.guard`;
  const guard = await listen(guardAddress);
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
