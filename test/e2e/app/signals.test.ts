import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { eventually } from "../../support/eventually.ts";
import { bigScrape, MAIN, Serving, temporaryFolder, until } from "../../support/serving.ts";

type Signal = NodeJS.Signals;

/** What each does; faults and what cannot be caught apart. Several names of one number are one signal. */
const STOPPING: readonly Signal[] = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGXCPU", "SIGPWR"];
const PAUSING: readonly Signal[] = ["SIGTSTP", "SIGTTIN", "SIGTTOU"];
const FAULTS: readonly Signal[] = ["SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS"];
const OTHERS = [...STOPPING, ...PAUSING, ...FAULTS, "SIGHUP", "SIGKILL", "SIGSTOP"] as const;
const harmless = [
  ...new Map(Object.entries(constants.signals).map(([name, number]) => [number, name as Signal])).values(),
].filter((name) => !OTHERS.some((other) => constants.signals[other] === constants.signals[name]));

/** Says so when the first line of the program has installed its handlers, SIGHUP's as the last. */
const SAY_GUARDED = `import { writeSync } from "node:fs";
process.on("newListener", (name) => {
  if (name === "SIGHUP") process.nextTick(() => writeSync(2, "guarded\\n"));
});`;
const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(SAY_GUARDED)}` };
const CONFIG = `web: { listen_addresses: ["127.0.0.1:0"] }\n`;

async function launchGuarded(): Promise<Serving> {
  const serving = await Serving.launch(await temporaryFolder(), CONFIG, [], { env });
  await serving.said("guarded");
  return serving;
}

test("no signal but those that ask for the end ends it, at the start or while it runs; a hangup is a reload", async () => {
  expect(harmless).toEqual(expect.arrayContaining(["SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGWINCH"]));
  const serving = await launchGuarded();
  for (const signal of [...harmless, "SIGHUP", "SIGHUP"] as const) serving.signal(signal);
  await serving.logged("configuration reloaded");
  for (const signal of harmless) serving.signal(signal);
  for (const signal of PAUSING) {
    serving.signal(signal);
    serving.signal("SIGCONT");
  }
  expect(await serving.get("/-/healthy")).toContain("healthy");
  serving.signal("SIGTERM");
  expect([await serving.exited, serving.endedBy]).toEqual([0, null]);
  expect(serving.events.filter(({ msg }) => msg === "configuration reloaded")).toHaveLength(1);
  expect(serving.otherLines).toEqual(["guarded"]);
});

describe("while it stops", () => {
  test("no signal but a second request to end changes anything", async () => {
    const { serving } = await bigScrape(await temporaryFolder());
    serving.signal("SIGTERM");
    await serving.logged("stopping");
    for (const signal of [...harmless, "SIGHUP", "SIGXCPU"] as const) serving.signal(signal);
    expect([await serving.exited, serving.endedBy]).toEqual([0, null]);
    expect(serving.events.at(-1)).toMatchObject({ msg: "stopped" });
    expect(serving.otherLines).toEqual([]);
  });

  test.each(["SIGTERM", "SIGINT"] as const)("a second request, %s, ends it at once", async (second) => {
    const folder = await temporaryFolder();
    const state = `${folder}/state.json`;
    const scaler = `scaler: { poll_interval: 1s, state_file: ${state}, policies: [{ match: "load:vm-1" }] }\n`;
    const { serving } = await bigScrape(folder, scaler);
    await until(
      "a state",
      async () => existsSync(state),
      (exists) => exists,
    );
    rmSync(state);
    serving.signal("SIGTERM");
    await serving.logged("stopping");
    // npm passes on what a terminal has sent to all: within half a second it is the same request. A third is not waited for.
    await sleep(600);
    serving.signal(second);
    // after an orderly end, which waits for responses on the way, it would be [0, null]
    expect([await serving.exited, serving.endedBy]).toEqual([null, second]);
    expect(JSON.parse(readFileSync(state, "utf8"))).toMatchObject({ version: expect.any(Number) });
  });
});

describe("asks for the end", () => {
  test.each(STOPPING)("%s before anything is loaded: it starts, stops, and ends with 0", async (signal) => {
    const serving = await launchGuarded();
    serving.signal(signal);
    expect([await serving.exited, serving.endedBy]).toEqual([0, null]);
    expect(serving.events.at(-1)).toMatchObject({ msg: "stopped" });
  });

  test.each(STOPPING)("%s while it serves: it ends with 0", async (signal) => {
    const serving = await Serving.start(await temporaryFolder(), CONFIG);
    serving.signal(signal);
    expect([await serving.exited, serving.endedBy]).toEqual([0, null]);
    expect(serving.events).toContainEqual(expect.objectContaining({ msg: "stopping", reason: signal }));
  });
});

test("when nobody reads why it did not start, it can be ended all the same", async () => {
  const wrong = Array.from({ length: 3000 }, (_, index) => `key_${index}: 1\n`).join("");
  const serving = await Serving.launch(await temporaryFolder(), wrong);
  serving.readLog(false);
  await eventually("what is wrong", () => serving.unreadBytes > 10_000);
  serving.signal("SIGTERM");
  expect([await serving.exited, serving.endedBy]).toEqual([null, "SIGTERM"]);
});

const inEnvironment = (flags: string[]) => ({ args: [], env: { NODE_OPTIONS: flags.join(" ") } });

test.each([
  ["as an argument", (flags: string[]) => ({ args: flags, env: {} })],
  // Node 20 takes it as an argument alone
  ...(process.allowedNodeEnvironmentFlags.has("--cpu-prof")
    ? [["by NODE_OPTIONS", inEnvironment] as const]
    : []),
] as const)("Node's profiler, asked for %s, has its signal", async (_, ask) => {
  const folder = await temporaryFolder();
  const { args, env: asked } = ask(["--cpu-prof", `--cpu-prof-dir=${folder}`]);
  const child = spawn(process.execPath, [...args, MAIN, "--help"], {
    env: { ...process.env, ...asked },
    stdio: "ignore",
  });
  expect(await once(child, "exit")).toEqual([0, null]);
  const [profile = ""] = readdirSync(folder).filter((name) => name.endsWith(".cpuprofile"));
  expect(JSON.parse(readFileSync(`${folder}/${profile}`, "utf8")).samples.length).toBeGreaterThan(10);
});

/** The other commands: how they are started in `folder`, and what they say as soon as they say anything. */
const COMMANDS = {
  decode: { args: () => ["decode"], says: "guarded" },
  backtest: { args: () => ["backtest", "-"], says: "no policy in the configuration" },
  simulate: { args: (folder: string) => ["simulate", "--socket-dir", folder], says: "are ready" },
  record: {
    args: (folder: string) => ["record", "--target", "a", "--take-slot", "-o", `${folder}/trace.ndjson`],
    says: "guarded",
  },
  demo: { args: () => ["demo", "--port", "0"], says: "Ctrl-C ends it" },
} as const;
const TO_THEIR_END: readonly string[] = ["decode", "backtest"];

describe.each(Object.keys(COMMANDS) as (keyof typeof COMMANDS)[])("%s", (command) => {
  /** Ends with the test; what it has to read never comes. */
  async function launch() {
    const folder = await temporaryFolder();
    writeFileSync(`${folder}/config.yaml`, `targets: [{ name: a, socket_dir: ${folder} }]\n`);
    const { args, says } = COMMANDS[command];
    const child = spawn(process.execPath, [MAIN, ...args(folder)], {
      cwd: folder,
      env: { ...process.env, ...env, TMPDIR: folder },
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    const ended = once(child, "close");
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
    }
    const hasSaid = (text: string) =>
      until(
        text,
        async () => said,
        (all) => all.includes(text) || child.exitCode !== null,
      );
    await hasSaid("guarded");
    return { child, ended, runs: () => hasSaid(says), said: () => said };
  }

  test("is not ended by signals that ask for nothing, at the start or while it runs", async () => {
    const { child, ended, runs, said } = await launch();
    for (const signal of harmless) child.kill(signal);
    await runs();
    for (const signal of harmless) child.kill(signal);
    child.kill("SIGTERM");
    expect(await ended).toEqual(TO_THEIR_END.includes(command) ? [null, "SIGTERM"] : [0, null]);
    expect(said()).not.toContain("Debugger");
  });

  if (!TO_THEIR_END.includes(command))
    test("is not killed by the same request, heard again until it is gone", async () => {
      const { child, ended, runs } = await launch();
      await runs();
      const again = setInterval(() => child.kill("SIGINT"), 1);
      setTimeout(() => clearInterval(again), 300);
      expect(await ended).toEqual([0, null]);
      clearInterval(again);
    });

  test.each(["SIGINT", "SIGHUP"] as const)("is ended by %s at the start", async (signal) => {
    const { child, ended } = await launch();
    child.kill(signal);
    expect(await ended).toEqual(TO_THEIR_END.includes(command) ? [null, signal] : [0, null]);
  });
});
