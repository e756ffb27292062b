import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { formatProblem } from "../../src/config/checkedYaml.ts";
import { lockFile } from "../../src/fileLock.ts";
import { SimulatedHost } from "../../src/simulator/host.ts";
import { loadScenario } from "../../src/simulator/scenarioFile.ts";
import { openTraceFile, RecordError } from "../../src/trace/file.ts";
import { TraceLines } from "../../src/trace/lines.ts";
import { openStream, recordTrace } from "../../src/trace/record.ts";
import { formatName } from "../../src/wire/names.ts";
import { eventually, PATIENCE_MS } from "../support/eventually.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { runHere, runProgram } from "../support/program.ts";
import { makeSample } from "../support/stats.ts";
import { readTrace } from "../support/trace.ts";
import { type RunningWeb, startWeb, targetSnapshot } from "../support/web.ts";

const REAL = new URL("../fixtures/wire/traces/real-web.ndjson", import.meta.url);
const SAMPLE = '{"time":"2026-01-01T00:00:00.000Z","host":"local","header":{"name":"user:web"}}';
const INFO = '{"time":"2026-01-01T00:00:00.000Z","host":"local","event":"info","vms":[]}';
const TICK = '{"time":"2026-01-01T00:00:00.000Z","event":"tick"}';

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "record-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** Records `lines` with a clock that stands still; what a user would see. */
async function record(
  lines: AsyncIterable<string>,
  file = join(dir, "trace.ndjson"),
  clock = new FakeClock(),
) {
  const said: string[] = [];
  const shown: string[] = [];
  const output = await openTraceFile(file, { clock, report: (line) => said.push(line) });
  const exitCode = await recordTrace({
    lines,
    output,
    clock,
    durationMs: 60_000,
    progress: { write: (text) => shown.push(text) },
    report: (line) => said.push(line),
  });
  await output.close();
  return { exitCode, said, shown, file };
}

async function* from(...blocks: readonly (string | Error)[]): AsyncGenerator<string> {
  for (const block of blocks) {
    if (block instanceof Error) throw block;
    yield block;
  }
}

describe("a trace", () => {
  it("is written as it comes, and summed up", async () => {
    const { exitCode, said, file } = await record(
      from(`${SAMPLE}\n${INFO}\n`, `${SAMPLE}\n${TICK}\n${TICK}\n`),
    );
    expect(readFileSync(file, "utf8")).toBe(`${SAMPLE}\n${INFO}\n${SAMPLE}\n${TICK}\n${TICK}\n`);
    expect(said).toEqual([`recorded 2 samples, 1 info, 2 ticks (0.0 MB) in 0s to ${file}`]);
    expect(exitCode).toBe(0);
  });

  it("has one info for a list of several lines", async () => {
    const first = INFO.replace(/}$/, ',"more":true}');
    const { said } = await record(from(`${first}\n${first}\n${INFO}\n${INFO}\n`));
    expect(said[0]).toContain("recorded 0 samples, 2 infos");
  });

  it("is appended to a file that is there", async () => {
    await record(from(`${SAMPLE}\n`));
    const { file } = await record(from(`${TICK}\n`));
    expect(readFileSync(file, "utf8")).toBe(`${SAMPLE}\n${TICK}\n`);
  });

  it("is compressed into a file whose name ends in .gz, also when appended", async () => {
    const file = join(dir, "trace.ndjson.gz");
    await record(from(`${SAMPLE}\n`), file);
    await record(from(`${TICK}\n`), file);
    expect(gunzipSync(readFileSync(file)).toString()).toBe(`${SAMPLE}\n${TICK}\n`);
  });

  it("that ends early is kept as far as it goes, and said to have ended early", async () => {
    const { exitCode, said, file } = await record(
      from(`${SAMPLE}\n`, new RecordError("the exporter ended the stream")),
    );
    expect(readFileSync(file, "utf8")).toBe(`${SAMPLE}\n`);
    expect(said).toEqual([
      "albatross-exporter: ended early, after 0s: the exporter ended the stream",
      `recorded 1 sample (0.0 MB) in 0s to ${file}`,
    ]);
    expect(exitCode).toBe(1);
  });

  it("shows on a terminal how far it is, and clears that at its end", async () => {
    const clock = new FakeClock();
    async function* slowly() {
      yield `${SAMPLE}\n`;
      clock.advance(2_400);
      yield `${SAMPLE}\n`;
    }
    const { shown } = await record(slowly(), undefined, clock);
    expect(shown).toEqual([
      "\r\u001b[K1s of 1m: 1 sample (0.0 MB)",
      "\r\u001b[K2s of 1m: 1 sample (0.0 MB)",
      "\r\u001b[K",
    ]);
    expect(clock.pendingTimers).toBe(0);
  });

  it.each([
    ["a directory", ".", "it is a directory"],
    ["a file in no directory", "none/trace.ndjson", "no such file or directory"],
  ])("cannot go to %s", async (_, name, why) => {
    const file = join(dir, name);
    await expect(openTraceFile(file, { clock: new FakeClock(), report: () => {} })).rejects.toThrow(
      new RecordError(`cannot write ${file}: ${why}`),
    );
  });
});

describe("a running exporter's stream", () => {
  let web: RunningWeb;
  let stop: AbortController;
  beforeEach(async () => {
    web = await startWeb({
      targets: () => [targetSnapshot({ name: "local" }), targetSnapshot({ name: "other" })],
    });
    stop = new AbortController();
  });
  afterEach(() => web.stop());

  const open = (host: string | null = null) => openStream({ url: web.url, host, signal: stop.signal });
  const publish = async (line: string, host?: string) => {
    await eventually("somebody listens", () => web.stream.hasSubscribers);
    web.stream.publish(line, host);
  };

  it("is recorded byte for byte until the recording is stopped", async () => {
    const samples = readTrace(REAL);
    const recording = record(await open());
    await eventually("somebody listens", () => web.stream.hasSubscribers);
    const startMs = samples[0]?.wallMs ?? 0;
    const trace = new TraceLines(web.stream, new FakeClock(startMs));
    for (const { wallMs, host, name, stats } of samples)
      trace.sample(makeSample({ host, name, stats, arrivalUs: (wallMs - startMs) * 1000 }));
    await eventually(
      "all is written",
      () => statSize(join(dir, "trace.ndjson")) === readFileSync(REAL).length,
    );
    stop.abort();
    const { exitCode, file } = await recording;
    expect(readFileSync(file, "utf8")).toBe(readFileSync(REAL, "utf8"));
    expect(exitCode).toBe(0);
    await eventually("the connection is closed", () => !web.stream.hasSubscribers);
  });

  it("of one host holds that host's lines and those for all", async () => {
    const lines = await open("local");
    await publish(SAMPLE, "local");
    await publish(SAMPLE.replace("local", "other"), "other");
    await publish(TICK);
    const recording = record(lines);
    await eventually(
      "both are written",
      () => statSize(join(dir, "trace.ndjson")) > SAMPLE.length + TICK.length,
    );
    stop.abort();
    expect(readFileSync((await recording).file, "utf8")).toBe(`${SAMPLE}\n${TICK}\n`);
  });

  it("of a host that is no target is refused", async () => {
    await expect(open("locl")).rejects.toThrow(`${web.url} has no target called locl (it has: local, other)`);
  });

  it("that ends before the recording is to end is an error", async () => {
    const recording = record(await open());
    await publish(SAMPLE, "local");
    web.stream.close();
    const { exitCode, said } = await recording;
    expect(said[0]).toBe(`albatross-exporter: ended early, after 0s: ${web.url} ended the stream`);
    expect(exitCode).toBe(1);
  });

  it("of an exporter that has enough clients is refused with its reason", async () => {
    const others = await Promise.all(Array.from({ length: 8 }, () => open()));
    expect(others).toHaveLength(8);
    await expect(open()).rejects.toThrow(
      `${web.url} answered 503 to /api/v1/stream: 8 clients read the stream already`,
    );
    stop.abort();
  });
});

function statSize(file: string): number {
  return existsSync(file) ? statSync(file).size : 0;
}

describe("a server that is no exporter, or fails", () => {
  let server: Server | null = null;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });
  const serve = async (handler: RequestListener) => {
    server = createServer((request, response) => {
      response.setHeader("Content-Type", "application/x-ndjson");
      return handler(request, response);
    });
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    return `http://127.0.0.1:${port}`;
  };
  const stream = (url: string) => openStream({ url, host: null, signal: new AbortController().signal });

  it("that answers something else is quoted", async () => {
    const url = await serve((_, response) => response.writeHead(404).end("no such page\nat all"));
    await expect(stream(url)).rejects.toThrow(`${url} answered 404 to /api/v1/stream: no such page`);
  });

  const json = (body: unknown): RequestListener => {
    return (_, response) => response.setHeader("Content-Type", "application/json").end(JSON.stringify(body));
  };
  const isNone = "URL is no albatross-exporter";
  it.each<[string, string | null, RequestListener, string]>([
    [
      "answers a page",
      null,
      (_, response) => response.setHeader("Content-Type", "text/html").end("<p>"),
      `${isNone}: it answers /api/v1/stream with text/html`,
    ],
    [
      "answers a page to a host",
      "local",
      (_, response) => response.setHeader("Content-Type", "text/html").end("<p>"),
      `${isNone}: it answers /api/v1/targets with text/html`,
    ],
    ["has other targets", "local", json({ data: { activeTargets: [] } }), `${isNone}: it lists no targets`],
    ["has no data", "local", json(null), `${isNone}: it lists no targets`],
    ["has targets of another kind", "local", json({ data: [null, 1] }), `${isNone}: it lists no targets`],
    [
      "answers half a list",
      "local",
      (_, response) => response.setHeader("Content-Type", "application/json").end(`{"data":[`),
      `${isNone}: it lists no targets`,
    ],
    [
      "redirects",
      null,
      (_, response) => response.writeHead(302, { Location: "https://login.example/" }).end(),
      "URL redirects /api/v1/stream to https://login.example/: is that where it is?",
    ],
    [
      "colours the terminal",
      null,
      (_, response) => response.writeHead(500).end("\u001b[31mred"),
      "URL answered 500 to /api/v1/stream: \ufffd[31mred",
    ],
    [
      "breaks off",
      null,
      (_, response) => {
        response.writeHead(500, { "Content-Length": "100" }).write("half");
        setImmediate(() => response.destroy());
      },
      "the connection to URL broke: connection lost",
    ],
  ])("that %s is told as such", async (_, host, handler, says) => {
    const url = await serve(handler);
    const { signal } = new AbortController();
    const opened = openStream({ url, host, signal });
    await expect(opened).rejects.toThrow(new RecordError(says.replace("URL", url)));
  });

  it("that has not answered when the recording is stopped is not waited for", async () => {
    const stop = new AbortController();
    const url = await serve(() => stop.abort());
    const opened = openStream({ url, host: null, signal: stop.signal });
    await expect(opened).rejects.toThrow(new RecordError("stopped before the recording began"));
  });

  it("that sends other lines under the same type ends the recording before the first of them", async () => {
    const url = await serve((_, response) => response.end(`{"level":"info"}\n`));
    const { exitCode, said, file } = await record(await stream(url));
    expect(said[0]).toContain(`${url} sends what is no line of a trace: {"level":"info"}`);
    expect([exitCode, readFileSync(file, "utf8")]).toEqual([1, ""]);
  });

  it("is asked as the user that was given", async () => {
    const url = await serve(({ headers }, response) => response.writeHead(401).end(headers.authorization));
    const signal = new AbortController().signal;
    const access = { auth: "me:s:ecret" };
    await expect(openStream({ url, access, host: null, signal })).rejects.toThrow(
      new RecordError(`${url} answered 401 to /api/v1/stream: Basic bWU6czplY3JldA==`),
    );
  });

  it("below a path of a proxy is asked there", async () => {
    const url = await serve((request, response) => response.writeHead(410).end(request.url));
    await expect(stream(`${url}/albatross`)).rejects.toThrow("/albatross/api/v1/stream");
  });

  it("that cuts the connection ends the recording after the last whole line", async () => {
    let isGone = false;
    let cut = () => {};
    const url = await serve((_, response) => {
      response.write(`${SAMPLE}\n${SAMPLE.slice(0, 20)}`);
      response.on("close", () => {
        isGone = true;
      });
      cut = () => response.destroy();
    });
    const lines = await stream(url);
    cut();
    await eventually("the connection is closed", () => isGone);
    const { exitCode, said, file } = await record(lines);
    expect(readFileSync(file, "utf8")).toBe(`${SAMPLE}\n`);
    expect(said[0]).toBe(
      `albatross-exporter: ended early, after 0s: the connection to ${url} broke: connection lost`,
    );
    expect(exitCode).toBe(1);
  });

  it("that cuts a line and a character of it in two loses neither", async () => {
    const line = SAMPLE.replace("web", "wéb");
    const bytes = Buffer.from(`${line}\n`);
    const cut = bytes.indexOf(0xc3) + 1;
    const url = await serve((_, response) => {
      response.write(bytes.subarray(0, cut));
      setTimeout(() => response.end(bytes.subarray(cut)), 20);
    });
    const { file } = await record(await stream(url));
    expect(readFileSync(file, "utf8")).toBe(`${line}\n`);
  });

  it("that drops the recording for being slow is believed, its note kept out of the trace", async () => {
    const url = await serve((_, response) =>
      response.end(`${SAMPLE}\n{"event":"dropped","reason":"slow client","backlog_bytes":9}\n`),
    );
    const { exitCode, said, file } = await record(await stream(url));
    expect(readFileSync(file, "utf8")).toBe(`${SAMPLE}\n`);
    expect(said[0]).toContain("dropped this recording: it did not take the lines fast enough");
    expect(exitCode).toBe(1);
  });
});

describe("the command", () => {
  it("records for as long as it is told and ends well", { tags: ["process"] }, async () => {
    const web = await startWeb();
    const file = join(dir, "trace.ndjson");
    const running = runProgram(["record", "--url", web.url, "--duration", "1s", "-o", file]);
    await eventually("it listens", () => web.stream.hasSubscribers);
    web.stream.publish(SAMPLE, "local");
    const { code, stderr, stdout } = await running;
    await web.stop();
    expect(stderr).toMatch(/^recorded 1 sample \(0\.0 MB\) in 1s to .*trace\.ndjson\n$/);
    expect(stdout).toBe("");
    expect(readFileSync(file, "utf8")).toBe(`${SAMPLE}\n`);
    expect(code).toBe(0);
  });

  it("ended by Ctrl-C keeps what there is until then and ends well", { tags: ["process"] }, async () => {
    const web = await startWeb();
    const file = join(dir, "trace.ndjson.gz");
    const args = ["--import", import.meta.resolve("tsx"), MAIN, "record", "--url", web.url, "-o", file];
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", "ignore", "pipe"],
      timeout: PATIENCE_MS,
    });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    await eventually("it listens", () => web.stream.hasSubscribers);
    web.stream.publish(SAMPLE, "local");
    await eventually("the file is open", () => existsSync(file));
    child.kill("SIGINT");
    const [code] = await once(child, "close");
    await web.stop();
    expect(stderr).toMatch(/^recorded \d samples? /);
    expect(["", `${SAMPLE}\n`]).toContain(gunzipSync(readFileSync(file)).toString());
    expect(code).toBe(0);
  });

  it("subscribes to a target itself when told to take its slot", { tags: ["process"] }, async () => {
    const result = loadScenario("test", "interval: 200ms\nvms: [{ name: user:web, load: 50 }]\n");
    if (!result.ok) throw new Error(result.problems.map(formatProblem).join("\n"));
    const host = new SimulatedHost(result.scenario, { socketDir: dir, clock: systemClock() });
    await host.start();
    const configFile = join(dir, "config.yaml");
    writeFileSync(configFile, `targets: [{ name: sim, socket_dir: ${dir} }]\n`);
    const file = join(dir, "trace.ndjson");
    const args = [
      "--target",
      "sim",
      "--take-slot",
      "--config.file",
      configFile,
      "--duration",
      "1s",
      "-o",
      file,
    ];
    const { code, stderr } = await runProgram(["record", ...args]);
    await host.stop();
    expect(stderr).toMatch(/^recorded \d samples, 1 info \(/m);
    expect(code).toBe(0);
    const samples = readTrace(file);
    expect(samples.length).toBeGreaterThanOrEqual(2);
    expect(samples.every(({ host: name, name: vm }) => name === "sim" && formatName(vm) === "user:web")).toBe(
      true,
    );
    const info = readFileSync(file, "utf8")
      .split("\n")
      .find((line) => line.includes('"event":"info"'));
    expect(JSON.parse(info ?? "")).toMatchObject({
      host: "sim",
      event: "info",
      vms: [{ name: "user:web", cpus: 1 }],
    });
  });

  it("says which targets there are when told to take another", async () => {
    const { code, stderr } = await runHere(["record", "--target", "none", "--take-slot"]);
    expect(stderr).toMatch(/has no target called none \(it has: /);
    expect(code).toBe(1);
  });

  it("leaves a file alone that another recorder writes to", async () => {
    const file = join(dir, "trace.ndjson");
    const unlock = await lockFile(file);
    const { code, stderr } = await runHere(["record", "-o", file]);
    await unlock?.();
    expect(stderr).toBe(`albatross-exporter: another recorder writes to ${file}\n`);
    expect([code, existsSync(file)]).toEqual([1, false]);
  });

  it("says when there is no exporter", { tags: ["process"] }, async () => {
    const { code, stderr } = await runProgram(["record", "--url", "http://127.0.0.1:1"]);
    expect(stderr).toBe(
      "albatross-exporter: cannot reach http://127.0.0.1:1: connection refused (is the exporter running there?)\n",
    );
    expect(code).toBe(1);
  });

  it.each([
    [
      ["--target", "local"],
      /^albatross-exporter: --target takes the slot from whoever has it.*add --take-slot/,
    ],
    [["--take-slot"], /^albatross-exporter: --take-slot needs --target/],
    [
      ["--target", "local", "--take-slot", "--host", "x"],
      /'--target <name>' cannot be used with option '--host <name>'/,
    ],
    [["--duration", "0s"], /allowed: a duration such as 10m or 1h30m/],
    [["--duration", "10 minutes"], /allowed: a duration/],
    [["--url", "127.0.0.1:10042"], /allowed: an http or https URL/],
  ])("refuses %j", async (args, message) => {
    const { code, stderr } = await runHere(["record", ...args]);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });
});
