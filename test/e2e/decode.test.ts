import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "../support/serving.ts";
import { captureBytes, vectors, WIRE_FIXTURES } from "../wire/support/vectors.ts";
import { framesOf } from "./support/replayedHost.ts";

const PROGRAM = fileURLToPath(new URL("../../dist/main.js", import.meta.url));

function start(args: readonly string[]): ChildProcessWithoutNullStreams {
  const child = spawn(process.execPath, [PROGRAM, "decode", ...args]);
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

/** Runs `decode`, with `input` on stdin where there is some, to its end. */
async function decode(args: readonly string[], input?: Buffer) {
  const child = start(args);
  child.stdin.end(input);
  const exited = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const messages = stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line): unknown => JSON.parse(line));
  return { code: await exited, messages, stderr };
}

/** Names and types of all members, to any depth; what an array holds is what its first element has. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (typeof value !== "object" || value === null) return value === null ? "null" : typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shapeOf(member)]));
}

function vector(name: string): unknown {
  return vectors.find((one) => one.name === name)?.decoded;
}

describe("decode, as a program", () => {
  test.each([
    ["stats-root.bin", 16],
    ["stats-root-10s.bin", 16],
    ["stats-path-user.bin", 12],
  ])("prints all of %s in the shape of the vectors", async (capture, samples) => {
    const { code, messages, stderr } = await decode([
      fileURLToPath(new URL(`captures/${capture}`, WIRE_FIXTURES)),
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [acknowledgement, ...rest] = messages;
    expect(acknowledgement).toMatchObject({
      payload: { type: "success", result: "string", string: "subscribed" },
    });
    expect(rest).toHaveLength(samples);
    const shape = shapeOf(vector("stats-data-mem-1if"));
    // `:hello` has no device; then there is nothing in ifdata whose shape could be compared.
    const withDevice = rest.filter((message) => !/"ifdata":\[\]/.test(JSON.stringify(message)));
    expect(withDevice.length).toBeGreaterThanOrEqual(12);
    for (const message of withDevice) expect(withoutNames(shapeOf(message))).toEqual(withoutNames(shape));
  });

  test.each([
    ["no argument", []],
    ["-", ["-"]],
  ])("with %s reads stdin, and prints what came before damage, one line and exit code 1", async (_, args) => {
    const stream = captureBytes("stats-root.bin");
    const whole = framesOf(stream);
    const cut = Buffer.concat(whole.slice(0, 3)).length + 100;
    const { code, messages, stderr } = await decode(args, stream.subarray(0, cut));
    expect(messages).toHaveLength(3);
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`^[^\\n]*frame 4 at byte ${cut - 100}: [^\\n]+\\n$`));
  });

  test("ends quietly when its reader has had enough", async () => {
    const file = join(await temporaryFolder(), "long.bin");
    // Far more than a pipe holds.
    await writeFile(file, Buffer.concat(Array.from({ length: 500 }, () => captureBytes("stats-root.bin"))));
    const child = start([file]);
    const exited = new Promise<number | null>((resolve) => child.once("close", resolve));
    const stderr = text(child.stderr);
    child.stdout.once("data", () => child.stdout.destroy());
    expect(await exited).toBe(0);
    expect(await stderr).toBe("");
  });
});

/** Paths are as long as names have labels, and a root name's is empty. */
function withoutNames(shape: unknown): unknown {
  const { header, ...rest } = shape as { header: object };
  return { header: { ...header, path: "path", label: "label" }, ...rest };
}
