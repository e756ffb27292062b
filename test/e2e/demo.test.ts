import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, onTestFinished, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { temporaryFolder, until } from "../support/serving.ts";

/** What is promised to whoever tries it on a fresh clone. */
const PROMISED_MS = 10_000;

interface Demo {
  readonly child: ChildProcess;
  /** What it has printed. */
  output: string;
  /** Where its exporter serves. */
  readonly url: string;
  /** Where its sockets are. */
  readonly dir: string;
}

function startDemo(...args: string[]): Promise<Demo> {
  return started(spawn(process.execPath, ["dist/main.js", "demo", ...args]));
}

async function started(child: ChildProcess): Promise<Demo> {
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    // Not SIGKILL: that would leave the exporter behind.
    child.kill("SIGTERM");
    await once(child, "close");
  });
  const demo = { child, output: "", url: "", dir: "" };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    demo.output += text;
  });
  child.stderr?.pipe(process.stderr);
  await eventually("the URL", () => /http:\S+\/metrics/.test(demo.output));
  const url = /(http:\S+)\/metrics/.exec(demo.output)?.[1] ?? "";
  return Object.assign(demo, { url, dir: / runs in (\S+),/.exec(demo.output)?.[1] ?? "" });
}

/** Nothing serves any more, and the directory is gone. */
async function expectNothingLeft({ url, dir }: Demo): Promise<void> {
  await eventually("the directory to go", () => !existsSync(dir));
  await until(
    "the exporter to end",
    () => fetch(`${url}/-/healthy`).catch(() => null),
    (answer) => answer === null,
  );
}

async function metrics({ url }: Demo): Promise<string> {
  return (await fetch(`${url}/metrics`)).text();
}

/** The value of one series, by its name and some of its labels. */
function seriesValue(exposition: string, metric: string, ...labels: string[]): number {
  const line = exposition
    .split("\n")
    .find((one) => one.startsWith(`${metric}{`) && labels.every((label) => one.includes(label)));
  return line === undefined ? Number.NaN : Number(line.split(" ").at(-1));
}

describe("the demo", () => {
  test("serves CPU % per VM, group averages, clone counts and the page within 10 s, and creates a clone within 60 s", async () => {
    const startedMs = Date.now();
    const demo = await startDemo("--port", "0");
    let [exposition, page] = ["", ""];
    const hasUsage = () =>
      !Number.isNaN(seriesValue(exposition, "albatross_vm_cpu_usage_percent", 'vm="db"'));
    const isLive = () =>
      page.includes("1 group under policies") && page.includes('id="groups/demo/user:web"');
    while (!hasUsage() || !isLive()) {
      // a busy machine may make three times as many of them
      expect(Date.now() - startedMs).toBeLessThan(3 * PROMISED_MS);
      await new Promise((resolve) => setTimeout(resolve, 250));
      exposition = await metrics(demo);
      page = await (await fetch(`${demo.url}/`)).text();
    }
    expect(
      seriesValue(exposition, "albatross_vm_cpu_usage_percent", 'path="user"', 'vm="web"'),
    ).toBeGreaterThan(40);
    expect(seriesValue(exposition, "albatross_vm_cpu_usage_percent", 'path=""', 'vm="hello"')).toBeLessThan(
      10,
    );
    const db = seriesValue(exposition, "albatross_group_cpu_usage_percent", 'path="user"', 'group="db"');
    expect(db).toBeGreaterThan(30);
    expect(db).toBeLessThan(90);
    expect(seriesValue(exposition, "albatross_group_clones", 'path="user"', 'group="web"')).toBe(0);
    expect(seriesValue(exposition, "albatross_vm_cpus", 'vm="db"')).toBe(2);
    await eventually("a line about the groups", () => /user:web +\d+ %/.test(demo.output));
    await eventually("its group to grow", () =>
      demo.output.includes("+ user:web create web-clone-1: verified"),
    );
    expect(demo.output).toContain("> user:web scale_up web-clone-1 (overloaded): Create web-clone-1: ");

    const closed = once(demo.child, "close");
    demo.child.kill("SIGINT");
    expect(await closed).toEqual([0, null]);
    await expectNothingLeft(demo);
  });

  test("reaches the host by TLS where that is said, as far as its certificate goes", async () => {
    const demo = await startDemo("--port", "0", "--tls");
    const cpu = "albatross_vm_cpu_usage_percent";
    const exposition = await until(
      "samples",
      () => metrics(demo),
      (text) => seriesValue(text, cpu, 'vm="db"') > 0,
    );
    expect(exposition).toMatch(/^albatross_info_up\{host="demo"\} 1$/m);
    expect(seriesValue(exposition, "albatross_vm_cpus", 'vm="db"')).toBe(2);
    expect(seriesValue(exposition, cpu, 'vm="hello"')).toBeNaN();
    demo.child.kill("SIGINT");
    await once(demo.child, "close");
    await expectNothingLeft(demo);
  });

  test.each([
    ["npm alone", "SIGINT"],
    ["npm alone", "SIGTERM"],
    ["the whole process group", "SIGINT"], // Ctrl-C
    ["the whole process group", "SIGTERM"],
  ] as const)("started with npm leaves nothing behind when %s gets %s", async (whom, signal) => {
    const npm = spawn("npm", ["run", "demo", "--", "--port", "0"], { detached: true });
    const demo = await started(npm);
    const closed = once(npm, "close");
    const pid = npm.pid ?? Number.NaN;
    process.kill(whom === "npm alone" ? pid : -pid, signal);
    await closed;
    await expectNothingLeft(demo);
  });

  test("ends without a complaint when it is asked to before it has begun", async () => {
    const folder = await temporaryFolder();
    // A process group, as in a terminal: Ctrl-C goes to the exporter too.
    const child = spawn(process.execPath, ["dist/main.js", "demo", "--port", "0"], {
      env: { ...process.env, TMPDIR: folder },
      detached: true,
    });
    const closed = once(child, "close");
    const complaint = text(child.stderr);
    await eventually("the exporter's configuration", () =>
      readdirSync(folder, { recursive: true }).some((name) => String(name).endsWith("config.yaml")),
    );
    process.kill(-(child.pid ?? Number.NaN), "SIGINT");
    expect(await closed).toEqual([0, null]);
    expect(await complaint).toBe("");
    expect(readdirSync(folder)).toEqual([]);
  });

  test.each([
    ["as soon as it is started", "config.yaml"],
    ["while it serves", "scaler-state.json"],
  ])("ends without a complaint when its exporter is asked to %s", async (_, file) => {
    const folder = await temporaryFolder();
    const child = spawn(process.execPath, ["dist/main.js", "demo", "--port", "0"], {
      env: { ...process.env, TMPDIR: folder },
    });
    const closed = once(child, "close");
    const complaint = text(child.stderr);
    child.stdout.resume();
    await eventually(`${file}`, () =>
      readdirSync(folder, { recursive: true }).some((name) => String(name).endsWith(file)),
    );
    const exporter = () => Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8"));
    await eventually("the exporter", () => exporter() > 0);
    process.kill(exporter(), "SIGINT");
    expect(await closed).toEqual([0, null]);
    expect(await complaint).toBe("");
    expect(readdirSync(folder)).toEqual([]);
  });

  test("leaves nothing behind when its terminal goes", async () => {
    const demo = await startDemo("--port", "0");
    const closed = once(demo.child, "close");
    demo.child.kill("SIGHUP");
    expect(await closed).toEqual([0, null]);
    await expectNothingLeft(demo);
  });

  test("leaves nothing behind when nobody reads what it tells", async () => {
    const demo = await startDemo("--port", "0");
    const exited = once(demo.child, "exit");
    demo.child.stdout?.destroy();
    expect(await exited).toEqual([0, null]);
    await expectNothingLeft(demo);
  });

  test("tells what the scaler decides and why, and does what it says: normal, pending_up, scale_up, cooldown", async () => {
    const demo = await startDemo("--port", "0");
    // while the clone is on its way an evaluation may come in between
    const told = () =>
      [...demo.output.matchAll(/^ +\d+s {2}> (.*)$/gm)]
        .map(([, line = ""]) => line)
        .filter((line) => !line.includes("hold (acting)"));
    await eventually("a cooldown", () => told().some((line) => line.includes("(cooldown)")));
    const percent = "\\d+(?:\\.\\d)? %";
    const expected = [
      `hold \\(normal\\): The average of ${percent} is not above 90 %, and there is no clone to give up\\.`,
      `hold \\(pending_up\\): Busy \\(an average of ${percent}, above 90 %\\): evaluation 1 of the 3 in a row that call for a clone\\.`,
      `scale_up web-clone-1 \\(overloaded\\): Create web-clone-1: the average of ${percent} is above 90 % for 3 evaluations in a row\\.`,
      "hold \\(cooldown\\): Cooling down after the last scale decision: no scale-up for another \\d+ s, no scale-down for another \\d+ s\\.",
    ];
    expect(told()).toEqual(expected.map((line) => expect.stringMatching(new RegExp(`^user:web ${line}$`))));

    const answer = await fetch(`${demo.url}/api/v1/decisions?group=user:web`);
    const { data } = (await answer.json()) as { data: { decision: string; reason: string; clone: string }[] };
    const decided = data.filter(({ reason }) => reason !== "acting").reverse();
    expect(decided.map(({ decision, reason, clone }) => [decision, reason, clone])).toEqual([
      ["hold", "normal", null],
      ["hold", "pending_up", null],
      ["scale_up", "overloaded", "web-clone-1"],
      ["hold", "cooldown", null],
    ]);
    const up = ['group="web"', 'decision="scale_up"', 'reason="overloaded"', 'mode="execute"'];
    expect(seriesValue(await metrics(demo), "albatross_scaler_decisions_total", ...up)).toBe(1);
    expect(readFileSync(join(demo.dir, "decisions.ndjson"), "utf8")).toContain('"clone":"web-clone-1"');
  });

  test("says so when its port is taken, and takes another", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => {
      server.close();
    });
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const demo = await startDemo("--port", String(port));
    expect(demo.output).toContain(`Port ${port} is taken: using ${new URL(demo.url).port}.`);
    expect((await fetch(`${demo.url}/-/ready`)).status).toBe(200);
  });
});
