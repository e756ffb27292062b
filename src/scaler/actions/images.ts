/** Images of primaries, kept by their digest. */
import { createHash, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { chmod, type FileHandle, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { ActingClient, Image, Outcome } from "../../client/acting.ts";
import { makeFolder } from "../../files.ts";
import type { Logger } from "../../log.ts";
import { isErrno, plainMessage } from "../../systemError.ts";
import type { Name } from "../../wire/names.ts";
import { synced } from "../state/stateFile.ts";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
const BLOCK_BYTES = 64 * 1024;
const DIGEST = /^[0-9a-f]{64}$/;
/** What a process that was killed left behind. */
const UNFINISHED = /^[0-9a-f]{64}\..*\.part$/;

/** An image that was right when it was opened; whoever has it closes it. */
export interface OpenImage {
  readonly file: FileHandle;
  readonly image: Image;
  /** albatrossd was not asked for it */
  readonly isKept: boolean;
}

interface ImageWanted {
  readonly from: Name;
  readonly digest: string;
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/** The folder of images. Nothing here throws or rejects. */
export class ImageCache {
  readonly folder: string;
  readonly #log: Logger;
  /** tells the files that it has begun from what an earlier process has not finished */
  readonly #process = randomUUID();
  #fetches = 0;

  /** Keeps its files in `folder`, which need not be there. No other process may use it. */
  constructor(folder: string, log: Logger) {
    this.folder = folder;
    this.#log = log;
  }

  /** Asked of albatrossd where it is not kept; failure `changed` where another image comes. */
  async open(wanted: ImageWanted, client: Pick<ActingClient, "get">): Promise<ImageOutcome> {
    const { digest } = wanted;
    if (!DIGEST.test(digest)) return failure("image", `${JSON.stringify(digest)} is no digest of an image`);
    const kept = await this.#openKept(wanted);
    return kept === null ? this.#fetch(wanted, client) : { type: "success", value: kept };
  }

  /** Deletes the images of other digests, and what an earlier process has not finished. */
  async keepOnly(digests: ReadonlySet<string>): Promise<void> {
    try {
      for (const name of await readdir(this.folder)) {
        const isUnneeded = DIGEST.test(name) && !digests.has(name);
        const isLeft = UNFINISHED.test(name) && !name.includes(this.#process);
        if (isUnneeded || isLeft) await rm(join(this.folder, name), { force: true });
        if (isUnneeded) this.#log.info({ digest: name }, "image removed: no primary that acts runs it");
      }
    } catch (error) {
      if (isErrno(error, "ENOENT")) return;
      this.#log.warn({ folder: this.folder, err: error }, "images that nothing needs cannot be removed");
    }
  }

  /** A kept image that is what it should be; null for anything else that may be there. */
  async #openKept({ digest, maxBytes }: ImageWanted): Promise<OpenImage | null> {
    const path = join(this.folder, digest);
    let file: FileHandle | null = null;
    try {
      // neither through a link, nor waiting for who writes to a FIFO
      file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const stats = await file.stat();
      const found = stats.isFile() && stats.size <= maxBytes ? await imageIn(file) : null;
      if (found?.digest === digest) return { file, image: found, isKept: true };
      this.#log.warn({ file: path }, "a kept image is not what it was, or too large: it is fetched again");
    } catch (error) {
      if (!isErrno(error, "ENOENT"))
        this.#log.warn({ file: path, err: error }, "a kept image cannot be read: it is fetched again");
    }
    await file?.close().catch(() => undefined);
    return null;
  }

  /** Asks albatrossd, and keeps what comes once all of it is on the disk. */
  async #fetch({ from, digest, maxBytes, signal }: ImageWanted, client: Pick<ActingClient, "get">) {
    const path = join(this.folder, digest);
    const unfinished = `${path}.${this.#process}-${this.#fetches++}.part`;
    let file: FileHandle | null = null;
    let isDone = false;
    try {
      await makeFolder(this.folder, FOLDER_MODE);
      await chmod(this.folder, FOLDER_MODE);
      file = await open(unfinished, "wx+", FILE_MODE);
      const fetched = await client.get(from, file, maxBytes, signal);
      if (fetched.type !== "success") return fetched;
      if (fetched.value.digest !== digest)
        return failure("changed", `expected the image ${digest}, found ${fetched.value.digest}`);
      await file.sync();
      await rename(unfinished, path);
      await synced(open(this.folder, "r"));
      isDone = true;
      return { type: "success" as const, value: { file, image: fetched.value, isKept: false } };
    } catch (error) {
      return failure("image", `the image cannot be kept in ${this.folder}: ${plainMessage(error)}`);
    } finally {
      if (!isDone) {
        await file?.close().catch(() => undefined);
        await rm(unfinished, { force: true }).catch(() => undefined);
      }
    }
  }
}

export type ImageOutcome =
  | Outcome<OpenImage>
  | { readonly type: "failure"; readonly reason: "changed"; readonly text: string };

function failure<R extends string>(reason: R, text: string) {
  return { type: "failure", reason, text } as const;
}

/** What a file holds. One block is read after the other into the same place, so that memory stays flat. */
async function imageIn(file: FileHandle): Promise<Image> {
  const hash = createHash("sha256");
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  for (let bytes = 0; ; ) {
    const { bytesRead } = await file.read(block, 0, BLOCK_BYTES, bytes);
    if (bytesRead === 0) return { bytes, digest: hash.digest("hex") };
    hash.update(block.subarray(0, bytesRead));
    bytes += bytesRead;
  }
}
