import { type FileHandle, mkdir, readlink, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { isErrno } from "./systemError.ts";

/** Links that are followed before they are taken for a circle, as in Linux. */
const MAX_LINKS = 40;

/**
 * The file that a path stands for once symbolic links are followed, whether it is there or not. What
 * is no file, such as the pipe behind /dev/stdout, may have no other name.
 */
export async function linkedFile(path: string): Promise<string> {
  let file = resolve(path);
  const found = await stat(file).catch(() => null);
  if (found?.isFile() === false) return file;
  for (let links = 0; links < MAX_LINKS; links++) {
    try {
      file = resolve(dirname(file), await readlink(file));
    } catch {
      return file;
    }
  }
  return file;
}

/** Makes a folder and those above it that are missing. Node's own way never ends where none can be made, as in /proc. */
export async function makeFolder(path: string, mode?: number): Promise<void> {
  const folder = resolve(path);
  const make = async () => {
    try {
      await mkdir(folder, { mode });
    } catch (error) {
      const found = await stat(folder).catch((why: Error) => why);
      if (!(found instanceof Error) && found.isDirectory()) return;
      // links that go in circles are there, too
      throw isErrno(found, "ELOOP") ? found : error;
    }
  };
  try {
    await make();
  } catch (error) {
    if (!isErrno(error, "ENOENT") || dirname(folder) === folder) throw error;
    await makeFolder(dirname(folder), mode);
    await make();
  }
}

const NEWLINE = 0x0a;
const BLOCK_BYTES = 64 * 1024;
/** More than what tells whose line it is, and its time. */
const HEAD_BYTES = 64;

/** The line that reaches up to the byte at `end`: where it begins, and its first bytes. */
export async function lineBefore(
  handle: FileHandle,
  end: number,
): Promise<{ readonly start: number; readonly head: string }> {
  const block = Buffer.alloc(BLOCK_BYTES);
  let start = end;
  while (start > 0) {
    const from = Math.max(0, start - BLOCK_BYTES);
    await handle.read(block, 0, start - from, from);
    const newline = block.subarray(0, start - from).lastIndexOf(NEWLINE);
    start = from + newline + 1;
    if (newline !== -1) break;
  }
  const { bytesRead } = await handle.read(block, 0, Math.min(HEAD_BYTES, end - start), start);
  return { start, head: block.toString("utf8", 0, bytesRead) };
}

/** Null for what is no JSON: the caller says what it is instead. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
