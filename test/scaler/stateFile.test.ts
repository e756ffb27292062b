import { spawn } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { createLogger } from "../../src/log.ts";
import { STATE_FILE, UnreadableState } from "../../src/scaler/state/savedState.ts";
import { lockStateFolder, WholeFile } from "../../src/scaler/state/stateFile.ts";
import { FakeClock } from "../support/fakeClock.ts";

/** What the system answers to the next attempts; null is what it does anyway. */
const fault = vi.hoisted((): { read: string | null; rename: string | null } => ({
  read: null,
  rename: null,
}));

afterEach(() => {
  fault.read = null;
  fault.rename = null;
});

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: as the system says it`), { code });
}

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>();
  const read = (...args: Parameters<typeof fs.readFileSync>) => {
    if (fault.read !== null && String(args[0]).endsWith("state.json")) throw systemError(fault.read);
    return fs.readFileSync(...args);
  };
  return { ...fs, readFileSync: read };
});

vi.mock("node:fs/promises", async (original) => {
  const fs = await original<typeof import("node:fs/promises")>();
  const rename = (from: string, to: string) =>
    fault.rename === null ? fs.rename(from, to) : Promise.reject(systemError(fault.rename));
  return { ...fs, rename };
});

const EMPTY = '{"version":2,"time_ms":0,"groups":[],"members":[]}\n';
const GROUP =
  '{"host":"h","path":"","group":"web","high_ticks":0,"low_ticks":0,"last_action_ms":null,"outstanding":null,"tombstones":[],"ours":[],"known_clones":null,"side":null,"row":0,"flap_factor":1,"last_hold":null}';
const MEMBER =
  '{"host":"h","name":":web","heard_ms":0,"first_seen_ms":0,"cpus":1,"cpuids":"0,2","started_ms":null,"listed":true,"missed_infos":0,"unlisted_polls":0,"base":{"at_ms":0,"cpu_us":1},"missed_ticks":0}';

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "state-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A state file, what it counted and what it said. */
function opened(path: string, clock = new FakeClock()) {
  const counts = { written: 0, failed: 0, damaged: 0 };
  const said: Record<string, unknown>[] = [];
  const file = new WholeFile({
    ...STATE_FILE,
    path,
    clock,
    log: createLogger(
      { level: "info", format: "json" },
      { write: (line) => void said.push(JSON.parse(line)) },
    ),
    onOutcome: (outcome) => void counts[outcome]++,
  });
  return { file, counts, said, messages: () => said.map(({ msg }) => msg) };
}

describe("reading", () => {
  test.each([
    ["a file that is not there", "state.json"],
    ["a folder that is not there", "none/state.json"],
  ])("%s is a fresh start", async (_, name) => {
    const { file, counts, said } = opened(join(await folder(), name));
    expect(file.load()).toBeNull();
    expect([counts.damaged, said]).toEqual([0, []]);
  });

  test("gives what was written", async () => {
    const path = join(await folder(), "state.json");
    const { file, counts } = opened(path);
    file.save(() => [EMPTY.slice(0, 10), EMPTY.slice(10)]);
    await file.flush();
    expect(counts).toEqual({ written: 1, failed: 0, damaged: 0 });
    expect(opened(path).file.load()).toEqual({ version: 2, timeMs: 0, hosts: [], groups: [], members: [] });
  });

  const ok = `{"version":2,"time_ms":0,"groups":[${GROUP}],"members":[${MEMBER}]}`;

  test.each([
    ["every field as it is written", ok],
    ["no key of a later program", ok.replace('"missed_ticks":0', '"missed_ticks":0,"more":{"__proto__":1}')],
  ])("takes %s", async (_, text) => {
    const path = join(await folder(), "state.json");
    writeFileSync(path, text);
    expect(opened(path).file.load()).toMatchObject({
      timeMs: 0,
      hosts: [],
      groups: [
        { host: "h", group: "web", highTicks: 0, side: null, row: 0, lastScaleUpMs: null, lastHold: null },
      ],
      members: [
        { name: { path: [], label: "web" }, listed: true, base: { atMs: 0, cpuUs: 1 }, missedTicks: 0 },
      ],
    });
  });

  test.each([
    ["nothing", "", "not JSON"],
    ["half a file", ok.slice(0, 200), "not JSON"],
    ["zeros, as after a power failure", "\0".repeat(100), "not JSON"],
    ["another JSON", "[]", "version undefined where this program reads 2"],
    ["null", "null", "version undefined"],
    [
      "a version that is none",
      ok.replace('"version":2', '"version":1.5'),
      "version 1.5 where this program reads 2",
    ],
    [
      "brackets without end",
      ok.replace('"missed_ticks":0', `"more":${"[".repeat(1e5)}${"]".repeat(1e5)}`),
      "nested too deeply",
    ],
    ["no version", ok.replace('"version":2,', ""), "version undefined"],
    ["no groups", ok.replace(/"groups":\[.*\],"m/, '"m'), "groups"],
    ["a counter that is text", ok.replace('"high_ticks":0', '"high_ticks":"0"'), "groups.0.high_ticks"],
    ["a negative counter", ok.replace('"low_ticks":0', '"low_ticks":-1'), "groups.0.low_ticks"],
    ["a fraction of a counter", ok.replace('"low_ticks":0', '"low_ticks":0.5'), "groups.0.low_ticks"],
    ["a time that is none", ok.replace('"time_ms":0', '"time_ms":1e300'), "time_ms"],
    [
      "an impossible clone",
      ok.replace('"known_clones":null', '"known_clones":[0]'),
      "groups.0.known_clones.0",
    ],
    [
      "a reason of another decision",
      ok.replace(
        '"outstanding":null',
        '"outstanding":{"decision":"scale_up","reason":"underloaded","clone":"web-clone-1","clone_id":1,"since_ms":0}',
      ),
      "groups.0.outstanding.reason",
    ],
    ["a key that is missing", ok.replace(',"missed_ticks":0', ""), "members.0.missed_ticks"],
    ["a name that is none", ok.replace('":web"', '"web"'), "members.0.name"],
    ["a path where a VM's name belongs", ok.replace('":web"', '"user:"'), "members.0.name"],
    ["cores that are none", ok.replace('"0,2"', '"0,two"'), "members.0.cpuids"],
    ["no CPU at all", ok.replace('"cpus":1', '"cpus":0'), "members.0.cpus"],
  ])("sets %s aside, says why, counts it and starts afresh", async (_, text, reason) => {
    const path = join(await folder(), "state.json");
    writeFileSync(path, text);
    const { file, counts, said } = opened(path);
    expect(file.load()).toBeNull();
    expect(counts.damaged).toBe(1);
    expect(said).toMatchObject([
      {
        level: "error",
        msg: "scaler state damaged: starting afresh",
        reason: expect.stringContaining(reason),
      },
    ]);
    const [aside, ...others] = readdirSync(join(path, ".."));
    expect([aside, others]).toEqual(["state.json.damaged-20260101T000000.000Z", []]);
    expect(readFileSync(join(path, "..", aside ?? ""), "utf8")).toBe(text);
    expect(opened(path).file.load()).toBeNull();
  });

  test("keeps three damaged files, the newest", async () => {
    const path = join(await folder(), "state.json");
    const clock = new FakeClock();
    const { file } = opened(path, clock);
    for (let i = 0; i < 6; i++) {
      clock.advance(1_000);
      writeFileSync(path, "?");
      file.load();
    }
    await expect
      .poll(() => readdirSync(join(path, "..")).sort())
      .toEqual(["04", "05", "06"].map((second) => `state.json.damaged-20260101T0000${second}.000Z`));
  });

  test.each([
    { name: "a folder of its name", make: (path: string) => mkdirSync(path), reason: "is no file" },
    {
      name: "a device",
      make: (path: string) => symlinkSync("/dev/zero", path),
      reason: "is no file",
    },
    { name: "a link to itself", make: (path: string) => symlinkSync(path, path), reason: "ELOOP" },
    {
      name: "a later version",
      make: (path: string) => writeFileSync(path, ok.replace('"version":2', '"version":3')),
      reason: "version 3 of a later program; this one reads 2",
    },
    ...["EACCES", "EMFILE", "EIO"].map((code) => ({
      name: `a file that the system does not give: ${code}`,
      make: (path: string) => {
        writeFileSync(path, ok);
        fault.read = code;
      },
      reason: code,
    })),
  ])("leaves alone what cannot be read: $name", async ({ make, reason }) => {
    const path = join(await folder(), "state.json");
    make(path);
    const { file, counts, said } = opened(path);
    expect(() => file.load()).toThrow(UnreadableState);
    expect(() => file.load()).toThrow(reason);
    expect([counts.damaged, said]).toEqual([0, []]);
    expect(readdirSync(join(path, ".."))).toEqual(["state.json"]);
  });
});

describe("writing", () => {
  test("makes the folder, and leaves nothing beside the file", async () => {
    const path = join(await folder(), "a", "b", "state.json");
    const { file } = opened(path);
    file.save(() => [EMPTY]);
    await file.flush();
    expect(readdirSync(join(path, ".."))).toEqual(["state.json"]);
  });

  test("does nothing in the turn of whoever asks for it", async () => {
    const { file } = opened(join(await folder(), "state.json"));
    let made = false;
    file.save(() => {
      made = true;
      return [EMPTY];
    });
    expect(made).toBe(false);
    await file.flush();
    expect(made).toBe(true);
  });

  test("writes one at a time, and of those that wait only the last", async () => {
    const path = join(await folder(), "state.json");
    const { file, counts } = opened(path);
    const events: string[] = [];
    const write = (name: string) =>
      file.save(function* () {
        events.push(`${name} begins`);
        yield " ";
        // asked for while this one is being written
        if (name === "first") for (const next of ["second", "third", "fourth"]) write(next);
        yield EMPTY;
        events.push(`${name} ends`);
      });
    write("first");
    await file.flush();
    expect(events).toEqual(["first begins", "first ends", "fourth begins", "fourth ends"]);
    expect(counts.written).toBe(2);
  });

  test("overwrites what a killed process left half written", async () => {
    const path = join(await folder(), "state.json");
    writeFileSync(`${path}.tmp`, `${"x".repeat(10_000)}`);
    const { file } = opened(path);
    file.save(() => [EMPTY]);
    await file.flush();
    expect(readFileSync(path, "utf8")).toBe(EMPTY);
  });

  test("that fails keeps the file before, is counted each time and said once, until it works again", async () => {
    const path = join(await folder(), "state.json");
    const { file, counts, messages } = opened(path);
    const save = async () => {
      file.save(() => [EMPTY]);
      await file.flush();
    };
    await save();
    // in the way of the temporary file
    mkdirSync(`${path}.tmp`);
    await save();
    await save();
    expect(counts).toEqual({ written: 1, failed: 2, damaged: 0 });
    expect(messages()).toEqual(["scaler state cannot be written"]);
    expect(readFileSync(path, "utf8")).toBe(EMPTY);
    await rm(`${path}.tmp`, { recursive: true });
    await save();
    await save();
    expect(messages()).toEqual(["scaler state cannot be written", "scaler state can be written again"]);
    expect(counts).toEqual({ written: 3, failed: 2, damaged: 0 });
  });

  test("replaces what a symbolic link stands for, and leaves the link", async () => {
    const path = join(await folder(), "state.json");
    const target = join(await folder(), "elsewhere.json");
    symlinkSync(target, path);
    for (const text of [EMPTY, `${EMPTY} `]) {
      const { file, counts } = opened(path);
      file.save(() => [text]);
      await file.flush();
      expect(counts).toEqual({ written: 1, failed: 0, damaged: 0 });
      expect([readlinkSync(path), readFileSync(target, "utf8")]).toEqual([target, text]);
    }
    expect(readdirSync(join(path, ".."))).toEqual(["state.json"]);
    writeFileSync(target, "?");
    expect(opened(path).file.load()).toBeNull();
    expect(readdirSync(join(target, ".."))).toEqual(["elsewhere.json.damaged-20260101T000000.000Z"]);
  });

  test("writes a file that is mounted by itself in its place", async () => {
    const path = join(await folder(), "state.json");
    writeFileSync(path, "x".repeat(1000));
    const inode = statSync(path).ino;
    fault.rename = "EBUSY";
    const { file, counts } = opened(path);
    file.save(() => [EMPTY]);
    await file.flush();
    expect(counts).toEqual({ written: 1, failed: 0, damaged: 0 });
    expect([readFileSync(path, "utf8"), statSync(path).ino]).toEqual([EMPTY, inode]);
    expect(readdirSync(join(path, ".."))).toEqual(["state.json"]);
  });

  test("takes the copy beside a file that was cut off while it was written in its place", async () => {
    const path = join(await folder(), "state.json");
    writeFileSync(path, EMPTY.slice(0, 20));
    writeFileSync(`${path}.tmp`, EMPTY);
    const { file, counts } = opened(path);
    expect(file.load()).toMatchObject({ timeMs: 0, groups: [] });
    expect(counts.damaged).toBe(0);
  });

  test.skipIf(process.getuid?.() === 0)("into a folder that may not be written fails, no more", async () => {
    const path = join(await folder(), "state.json");
    chmodSync(join(path, ".."), 0o500);
    const { file, counts } = opened(path);
    file.save(() => [EMPTY]);
    await file.flush();
    expect(counts.failed).toBe(1);
  });
});

describe("the state's folder", () => {
  const log = createLogger({ level: "error", format: "json" }, { write: () => undefined });

  test("is one program's, whatever the files are called and by whatever link they are reached", async () => {
    const path = join(await folder(), "deep", "state.json");
    const unlock = await lockStateFolder(path, log);
    const link = join(await folder(), "state.json");
    symlinkSync(path, link);
    for (const other of [path, join(path, "..", "other.json"), link]) {
      await expect(lockStateFolder(other, log)).rejects.toThrow(
        `another albatross-exporter keeps its state in ${join(path, "..")}: give each a state_file in a folder of its own`,
      );
    }
    await unlock();
    await (await lockStateFolder(path, log))();
  });

  test("with too long a path is refused with its number of bytes", async () => {
    const path = join(await folder(), "a".repeat(100), "state.json");
    const bytes = Buffer.byteLength(join(path, "..", "albatross-exporter.lock"));
    await expect(lockStateFolder(path, log)).rejects.toThrow(
      `has ${bytes} bytes; allowed: at most 100: choose a state_file in a folder with a shorter path`,
    );
  });

  test.each([
    [
      "cannot be written is told with its absolute path",
      "file",
      "file",
      "cannot be written: a restart will begin afresh",
    ],
    [
      "cannot be locked is told",
      "state",
      "state/albatross-exporter.lock",
      "cannot be locked: keep other programs off it",
    ],
  ])("that %s, and nobody is kept off", async (_, name, inTheWay, message) => {
    const parent = await folder();
    const path = join(parent, name, "state.json");
    mkdirSync(join(parent, inTheWay, ".."), { recursive: true });
    writeFileSync(join(parent, inTheWay), "in the way");
    const said: Record<string, unknown>[] = [];
    const told = createLogger(
      { level: "info", format: "json" },
      { write: (line) => void said.push(JSON.parse(line)) },
    );
    await (await lockStateFolder(path, told))();
    expect(said).toMatchObject([
      { level: "error", msg: `scaler state's folder ${message}`, folder: join(parent, name) },
    ]);
  });
});

describe("a process that is killed while it writes", { tags: ["process"] }, () => {
  const WRITER = fileURLToPath(new URL("stateWriter.ts", import.meta.url));

  /** Starts a writer and kills it as soon as it has begun the given piece of its so-and-so-many'th state. */
  function killAt(path: string, state: number, piece: number): Promise<void> {
    const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), WRITER, path], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let states = 0;
    let pieces = 0;
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      for (const char of text) {
        if (char === "\n") {
          states++;
          pieces = 0;
        } else pieces++;
        if (states >= state && pieces >= piece) child.kill("SIGKILL");
      }
    });
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => {
        if (signal === "SIGKILL") resolve();
        else reject(new Error(`the writer ended by itself with ${code}`));
      });
    });
  }

  test.each([
    [1, 1],
    [1, 5],
    [2, 3],
    [3, 8],
    [4, 0],
    [5, 9],
  ])("leaves a whole file: state %i, piece %i", async (state, piece) => {
    const path = join(await folder(), "state.json");
    await killAt(path, state, piece);
    const { file, counts } = opened(path);
    const saved = file.load();
    expect(counts.damaged).toBe(0);
    expect(saved?.groups).toHaveLength(3_000);
    const rounds = new Set(saved?.groups.map(({ highTicks }) => highTicks));
    expect(rounds.size).toBe(1);
    expect([...rounds][0]).toBeGreaterThanOrEqual(state);
  });
});
