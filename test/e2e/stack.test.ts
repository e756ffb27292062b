import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import { requireProgram } from "../support/requireProgram.ts";
import { temporaryFolder, until } from "../support/serving.ts";

interface Running {
  readonly child: ChildProcess;
  /** what it has printed, and said on stderr */
  output: string;
  readonly closed: Promise<unknown[]>;
}

/** `npm run stack` without npm, its files in `folder`. */
function runStack(folder: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(process.execPath, ["--import", "tsx", "scripts/stack.ts", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TMPDIR: folder, ...env },
  });
  const running: Running = { child, output: "", closed: once(child, "close") };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      running.output += text;
    });
  }
  onTestFinished(async () => {
    // Not SIGKILL: that would leave behind what it has started.
    if (child.exitCode === null) child.kill("SIGTERM");
    await running.closed;
  });
  return running;
}

const both = [requireProgram("prometheus"), requireProgram("prometheus-alertmanager")];

describe("npm run stack", () => {
  test.skipIf(both.includes(false))("runs until Ctrl-C, and leaves nothing behind", async () => {
    const folder = await temporaryFolder();
    const ports = ["--exporter-port=0", "--prometheus-port=0", "--alertmanager-port=0"];
    const stack = runStack(folder, ["--speed", "60", ...ports]);
    await until(
      "the URLs",
      async () => stack.output,
      (output) => output.includes("Ctrl-C ends it."),
    );
    const [alerts = "", known = "", page = ""] = [...stack.output.matchAll(/^ {2}(\S.*?) {4}/gm)].map(
      ([, where]) => where ?? "",
    );
    const [prometheus = "", alertmanager = "", exporter = ""] = [alerts, known, page].map(
      (where) => /http:\/\/127\.0\.0\.1:\d+/.exec(where)?.[0] ?? "",
    );
    const shown = await fetch(alerts);
    expect(shown.status).toBe(200);
    expect(await shown.text()).toContain("Prometheus");
    const [command, ...words] = known.startsWith("amtool ") ? known.split(" ") : ["curl", "--fail", known];
    expect(spawnSync(command ?? "", words)).toMatchObject({ status: 0 });
    await until(
      "Prometheus to have scraped the exporter",
      async () => (await fetch(`${prometheus}/api/v1/query?query=albatross_up`)).text(),
      (answer) => /"host":"demo".*"1"\]/.test(answer),
    );
    const rules = await (await fetch(`${prometheus}/api/v1/rules`)).text();
    expect(rules).toContain("AlbatrossGroupOverloaded");
    const alertmanagers = await (await fetch(`${prometheus}/api/v1/alertmanagers`)).text();
    expect(alertmanagers).toContain(`${alertmanager}/api/v2/alerts`);

    stack.child.kill("SIGINT");
    // npm sends it a second time
    stack.child.kill("SIGINT");
    expect(await stack.closed).toEqual([0, null]);
    for (const url of [prometheus, alertmanager, exporter]) {
      await expect(fetch(url)).rejects.toThrow(TypeError);
    }
    expect(readdirSync(folder).filter((name) => name.startsWith("albatross"))).toEqual([]);
  });

  test("says what is not installed and how to get it", async () => {
    const folder = await temporaryFolder();
    const stack = runStack(folder, [], { PATH: folder });
    expect(await stack.closed).toEqual([1, null]);
    expect(stack.output).toContain("needs prometheus and prometheus-alertmanager, which are not installed");
    expect(stack.output).toContain("apt-get install prometheus prometheus-alertmanager");
  });

  test.each([
    [["--speed", "0"], "allowed: 0.01 to 1000"],
    [["--exporter-port", "99999"], "allowed: a port from 0 to 65535"],
  ])("refuses %j", async (args, message) => {
    const stack = runStack(await temporaryFolder(), args);
    expect(await stack.closed).toEqual([1, null]);
    expect(stack.output).toContain(message);
  });
});
