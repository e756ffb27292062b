/** Where a plot goes. */
import { access, constants, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { linkedFile } from "../files.ts";
import { plainMessage } from "../systemError.ts";

/** A plot that cannot be written; the message says where and why. */
export class PlotError extends Error {
  override readonly name = "PlotError";
}

/** The file that a plot goes to. Throws a PlotError where none can be written. */
export async function placeFor(path: string): Promise<string> {
  const file = await linkedFile(path);
  try {
    const found = await stat(file).catch(() => null);
    if (found !== null && !found.isFile()) {
      throw new Error(found.isDirectory() ? "it is a directory" : "it is no regular file");
    }
    // `--plot a.ndjson b.ndjson` is not to cost a recording
    if (found !== null && !file.endsWith(".svg") && !/^(<svg|$)/.test(await beginningOf(file)))
      throw new Error("it is there and is no SVG");
    if (!(await stat(dirname(file))).isDirectory()) throw new Error("its folder is a file");
    await access(dirname(file), constants.W_OK);
    return file;
  } catch (error) {
    throw new PlotError(
      `--plot ${path}: ${plainMessage(error)}; allowed: a file in a folder that can be written`,
    );
  }
}

async function beginningOf(file: string): Promise<string> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(8));
    return buffer.toString("latin1", 0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Writes a file that is there whole or, if something goes wrong, as it was before. Throws a PlotError. */
export async function writePlot(file: string, svg: string): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, svg, { flag: "wx", flush: true });
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new PlotError(`--plot ${file}: ${plainMessage(error)}`);
  }
}
