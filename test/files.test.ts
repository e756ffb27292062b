import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { makeFolder } from "../src/files.ts";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "albatross-files-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test("a folder is made with those above it, and left as it is when it is there", async () => {
  const path = join(folder(), "a", "b", "c");
  await Promise.all([makeFolder(path, 0o700), makeFolder(path, 0o700)]);
  await makeFolder(path, 0o755);
  expect(statSync(path).mode & 0o777).toBe(0o700);
});

test("below a file no folder is made", async () => {
  const file = join(folder(), "file");
  writeFileSync(file, "");
  await expect(makeFolder(join(file, "a", "b"))).rejects.toMatchObject({ code: "ENOTDIR" });
  await expect(makeFolder(file)).rejects.toMatchObject({ code: "EEXIST" });
});

test.skipIf(process.platform !== "linux")(
  "where no folder can be made that is told, and not tried for ever",
  async () => {
    await expect(makeFolder("/proc/albatross/state")).rejects.toMatchObject({ code: "ENOENT" });
  },
);
