import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { loadScenario } from "../../src/simulator/scenarioFile.ts";
import { parseName } from "../../src/wire/names.ts";
import { infoIn } from "../simulator/recordings.ts";
import { Client, samples, socketDir, subscriber } from "../simulator/support.ts";
import { dialTls, issuerOf } from "../simulator/tlsClient.ts";
import { INFO, make } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { runHere } from "../support/program.ts";
import { question } from "../support/simulated.ts";

interface Running {
  readonly child: ChildProcess;
  readonly output: { stdout: string; stderr: string };
}

function simulate(...args: string[]): Running {
  const child = spawn(process.execPath, ["--import", "tsx", "src/main.ts", "simulate", ...args]);
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const output = { stdout: "", stderr: "" };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    output.stdout += text;
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    output.stderr += text;
  });
  return { child, output };
}

async function exitCode({ child }: Running): Promise<number | null> {
  await once(child, "close");
  return child.exitCode;
}

describe("simulate", () => {
  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "serves the scenario until %s, and removes its sockets then",
    { tags: ["process"] },
    async (signal) => {
      const dir = await socketDir();
      const scenario = join(dir, "scenario.yaml");
      writeFileSync(
        scenario,
        "interval: 10s\nvms: [{ name: user:web, load: 50 }]\nevents: [{ at: 300ms, clone: user:web }]\n",
      );
      const running = simulate(scenario, "--socket-dir", dir, "--interval", "500ms");
      await eventually("ready", () => running.output.stderr.includes("stat.sock and vmmd.sock are ready"));
      const client = await subscriber(join(dir, "stat.sock"), ":");
      await client.count(3);
      expect(samples(client.messages).map(({ name }) => name)).toEqual(["user:web", "user:web-clone-1"]);
      const ended = exitCode(running);
      running.child.kill(signal);
      expect(await ended).toBe(0);
      expect([existsSync(join(dir, "stat.sock")), existsSync(join(dir, "vmmd.sock"))]).toEqual([
        false,
        false,
      ]);
      const lines = running.output.stderr.trimEnd().split("\n");
      expect(lines[0]).toBe(`${dir}: stat.sock and vmmd.sock are ready (1 VM, a sample every 500ms)`);
      const told = lines.slice(1).map((line) => line.replace(/^ +\d+s /, ""));
      expect(told.toSorted()).toEqual(["a client subscribes to :", "user:web-clone-1 is created"]);
    },
  );

  test("has each request in its log by the time of the reply, after what was there before", {
    tags: ["process"],
  }, async () => {
    const dir = await socketDir();
    const [scenario, log] = [join(dir, "scenario.yaml"), join(dir, "requests.ndjson")];
    writeFileSync(scenario, "vms: [{ name: user:web }]\n");
    writeFileSync(log, "before\n");
    const running = simulate(scenario, "--socket-dir", dir, "--request-log", log);
    await eventually("ready", () => running.output.stderr.includes("are ready"));
    const destroy = { class: "unikernel", command: "destroy" } as const;
    const client = new Client(join(dir, "vmmd.sock")).send(question(parseName("user:web"), 9, destroy));
    await client.count(1);
    const [before, ...lines] = readFileSync(log, "utf8").trimEnd().split("\n");
    expect(before).toBe("before");
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { command: "destroy", name: "user:web", sequence: "9", text: "destroyed unikernel", answer: "reply" },
    ]);
  });

  test("is reached by TLS as well, with what it has written for clients", { tags: ["process"] }, async () => {
    const dir = await socketDir();
    const running = simulate("demo", "--socket-dir", dir, "--tls-listen", "127.0.0.1:0");
    const ready = /^(127\.0\.0\.1:\d+): the TLS endpoint is ready; what its clients need is in (.*)$/m;
    await eventually("ready", () => ready.test(running.output.stderr));
    const [, tlsAddress = "", tlsFolder = ""] = ready.exec(running.output.stderr) ?? [];
    expect(tlsFolder).toBe(join(dir, "tls"));
    const host = { tlsFolder, host: { tlsAddress } };
    const issuer = await issuerOf(host, "issuer-user");
    const client = await dialTls(host, await make("web", { issuer, command: INFO }), issuer);
    await client.end();
    expect(infoIn(client.messages[0] ?? null)).toMatchObject([{ name: "user:web" }]);
  });

  test("prints a built-in scenario that it would take itself", async () => {
    const { code, stdout } = await runHere(["simulate", "demo", "--print-scenario"]);
    expect(code).toBe(0);
    expect(loadScenario("demo.yaml", stdout).ok).toBe(true);
  });

  test.each<[string, number, string, string]>([
    [
      "a file that is not there",
      1,
      "no/such.yaml --socket-dir x",
      "no/such.yaml: no such file (built in: demo, load, faults)",
    ],
    [
      "a wrong scenario",
      1,
      "test/fixtures/scenarios/bad/twice.yaml --socket-dir x",
      "twice.yaml:2:1: interval: key given twice",
    ],
    [
      "a request log that cannot be written",
      1,
      "demo --socket-dir x --request-log no/such/log",
      "cannot write the request log no/such/log: no such file or directory",
    ],
    ["no socket directory", 2, "demo", "required option '--socket-dir <dir>' not specified"],
    [
      "a TLS address that is none",
      2,
      "demo --socket-dir x --tls-listen 1025",
      "allowed: an address to listen on such as 127.0.0.1:1025",
    ],
    [
      "a folder for certificates and no endpoint",
      2,
      "demo --socket-dir x --tls-dir y",
      "option '--tls-dir <dir>' needs '--tls-listen <address>'",
    ],
    [
      "a wrong interval",
      2,
      "demo --socket-dir x --interval 2",
      "allowed: a duration such as 500ms or 2s, from 100ms",
    ],
    ["a wrong seed", 2, "demo --socket-dir x --seed -3", "allowed: a whole number from 0 to 4294967295"],
  ])("refuses %s with exit code %i", async (_, code, args, stderr) => {
    const refused = await runHere(["simulate", ...args.split(" ")]);
    expect(refused.stderr).toContain(stderr);
    expect(refused).toMatchObject({ code, stdout: "" });
  });
});
