import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { TraceSource } from "../../src/trace/reader.ts";
import { folder, run, runJson, sampleLine, steadyTrace, text, timeAt } from "../backtest/run.ts";

const REAL = fileURLToPath(new URL("../fixtures/wire/traces/real-web.ndjson", import.meta.url));
const files = folder();

const CONFIG = `
scaler:
  poll_interval: 60s
  defaults: { warmup_period: 0s }
  policies: [{ match: "*" }]
`;
const config = () => files.write("config.yaml", CONFIG);

/** The averages that were measured, tick by tick: `:web 50`. */
function averages(told: Awaited<ReturnType<typeof runJson>>): string[] {
  return told.decisions.map(({ path, group, average_percent: percent }) => {
    return `${path}:${group} ${percent === null ? "-" : Math.round(percent)}`;
  });
}

const replay = (lines: readonly string[] | string | Buffer, flags: Parameters<typeof run>[0] = {}) => {
  const stdin = typeof lines === "string" || Buffer.isBuffer(lines) ? lines : text(lines);
  return runJson({ file: config(), traces: ["-"], all: true, ...flags }, stdin);
};

describe("a line of a trace", () => {
  test("needs no more than time, host, name and CPU times", async () => {
    const told = await replay(steadyTrace(60, { "user:web": 50 }));
    expect(averages(told)).toEqual(["user:web 50"]);
    expect(told.decisions[0]).toMatchObject({ time: timeAt(60), host: "local", path: "user", group: "web" });
  });

  test("may name a VM at the root without a colon", async () => {
    const told = await replay([...steadyTrace(50, { hello: 50 }), sampleLine(60, ":hello", 30)]);
    expect(averages(told)).toEqual([":hello 50"]);
  });

  test("as record writes it may have spaces between its fields", async () => {
    const lines = readFileSync(REAL, "utf8").trimEnd().split("\n");
    const spaced = lines.map((line) =>
      line.replaceAll(/":(?=["{[\d]|null)/g, '": ').replaceAll(/,(?=["{])/g, ", "),
    );
    expect(await replay(spaced)).toEqual(await replay(lines));
  });

  test("may hold 64-bit values as text, other fields, and other white space", async () => {
    const line = (at: number, sec: number) =>
      `  {"payload": {"rusage": {"stime": {"usec": 0, "sec": "0"}, "utime": {"sec": "${sec}", "usec": 0}, "new": [{}]}},` +
      `"header": {"name": "user:web"}, "time": "${timeAt(at)}", "host": "höst"}\r`;
    const told = await replay([line(0, 0), line(30, 15), line(60, 30)]);
    expect(averages(told)).toEqual(["user:web 50"]);
    expect(told.decisions[0]?.host).toBe("höst");
  });

  test.each([
    ["no JSON", "garbage"],
    ["half a line", sampleLine(30, "user:web", 1).slice(0, -10)],
    ["JSON of something else", "[1, 2]"],
    ["without a time", `{"host":"local","header":{"name":"user:web"}}`],
    ["with a time that is none", sampleLine(30, "user:web", 1).replace(timeAt(30), "yesterday")],
    ["without a host", sampleLine(30, "user:web", 1).replace("host", "hots")],
    ["with a name that is none", sampleLine(30, "user:we b", 1)],
    ["with the name of a path", sampleLine(30, "user:", 1)],
    [
      "without CPU times",
      `{"time":"${timeAt(30)}","host":"local","header":{"name":"user:web"},"payload":{"rusage":{}}}`,
    ],
    ["with half a CPU second", sampleLine(30, "user:web", 1).replace(`"sec":1`, `"sec":1.5`)],
    [
      "of console output",
      `{"time":"${timeAt(30)}","host":"local","header":{"name":"user:web"},"payload":{"type":"data","data":"console"}}`,
    ],
    ["of an event nobody knows", `{"time":"${timeAt(30)}","host":"local","event":"sunrise"}`],
    ["in another encoding", Buffer.from([0xff, 0xfe, 0x00]).toString("latin1")],
  ])("that is no sample is skipped and counted: %s", async (_, line) => {
    const lines = steadyTrace(60, { "user:web": 50 });
    const told = await replay([lines[0] ?? "", line, "", ...lines.slice(1)]);
    expect(averages(told)).toEqual(["user:web 50"]);
    expect(told.summary).toMatchObject({ skipped_lines: 1, samples: lines.length });
  });

  test("that never ends is skipped without being kept", async () => {
    const lines = steadyTrace(60, { "user:web": 50 });
    const told = await replay([`{"x":"${"x".repeat(9_000_000)}"}`, ...lines]);
    expect(averages(told)).toEqual(["user:web 50"]);
    expect(told.summary.skipped_lines).toBe(1);
  });

  test("may be the last without a newline", async () => {
    const told = await replay(text(steadyTrace(60, { "user:web": 50 })).trimEnd());
    expect(told.summary.samples).toBe(7);
  });

  test("may stand after a byte order mark", async () => {
    const told = await replay(`\ufeff${text(steadyTrace(60, { "user:web": 50 }))}`);
    expect(told.summary).toMatchObject({ samples: 7, skipped_lines: 0 });
  });

  test("is read the same wherever the file happens to be cut into chunks", async () => {
    const lines = text(steadyTrace(120, { "user:web": 50, "user:wéb": 1, "user:db": 20 }));
    const whole = await replay(lines);
    for (const size of [1, 7, 1000]) {
      const bytes = Buffer.from(lines);
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      );
      const source = new TraceSource("-", Readable.from(chunks));
      let samples = 0;
      while (await source.fill()) {
        samples += source.take().length;
      }
      expect([samples, source.skipped]).toEqual([whole.summary.samples, whole.summary.skipped_lines]);
    }
  });

  test("of info says how many CPUs a VM has", async () => {
    const info = {
      time: timeAt(0),
      host: "local",
      event: "info",
      vms: [{ name: "user:web", cpus: 2, started: timeAt(0) }],
    };
    const told = await replay([JSON.stringify(info), ...steadyTrace(60, { "user:web": 100 })]);
    expect(averages(told)).toEqual(["user:web 50"]);
    expect(told.summary.skipped_lines).toBe(0);
  });

  test("of info may say that more of the list follow, and other lines may come between", async () => {
    const info = (at: number, name: string, more?: true) =>
      JSON.stringify({ time: timeAt(at), host: "local", event: "info", vms: [{ name, cpus: 2 }], more });
    const samples = steadyTrace(60, { "user:web": 100, "user:db": 60 });
    const inOne = await replay([
      JSON.stringify({
        time: timeAt(0),
        host: "local",
        event: "info",
        vms: ["user:web", "user:db"].map((name) => ({ name, cpus: 2 })),
      }),
      ...samples,
    ]);
    const lines = [info(0, "user:web", true), samples[0] ?? "", info(0, "user:db"), ...samples.slice(1)];
    expect(await replay(lines)).toEqual(inOne);
    expect(averages(inOne)).toEqual(["user:db 30", "user:web 50"]);
  });
});

describe("times", () => {
  test("going back within a file are an error that says where", async () => {
    const lines = [sampleLine(10, "user:web", 1), "", "garbage", sampleLine(9.5, "user:web", 1)];
    const file = files.write("back.ndjson", text(lines));
    const { code, stdout, stderr } = await run({ file: config(), traces: [file] });
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toBe(
      `albatross-exporter: ${file}:4: time goes back from 2026-01-01T00:00:10.000Z to 2026-01-01T00:00:09.500Z\n`,
    );
  });

  test("that are equal are not going back", async () => {
    const told = await replay(steadyTrace(60, { "user:web": 50, "user:db": 10 }));
    expect(averages(told)).toEqual(["user:db 10", "user:web 50"]);
  });

  test("may be anything, also the first second of 1970", async () => {
    const lines = steadyTrace(120, { "user:web": 50 }).map((line) => line.replace("2026-", "1970-"));
    const told = await replay(lines);
    expect(averages(told)).toEqual(["user:web 50", "user:web 50"]);
    expect(told.summary.from).toBe("1970-01-01T00:00:00.000Z");
  });
});

describe("several traces", () => {
  test("are merged by time", async () => {
    const lines = steadyTrace(180, { "user:web": 50, "user:web-clone-1": 70, "user:db": 10 });
    const parts = [0, 1, 2].map((part) =>
      files.write(`part-${part}.ndjson`, text(lines.filter((_, i) => i % 3 === part))),
    );
    const flags = { file: config(), all: true };
    const whole = await runJson({ ...flags, traces: [files.write("whole.ndjson", text(lines))] });
    const merged = await runJson({ ...flags, traces: parts.reverse() });
    expect(merged).toEqual(whole);
  });

  test("of several hosts are one run: ticks are the same for all", async () => {
    const a = files.write("a.ndjson", text(steadyTrace(120, { "user:web": 50 }, "a")));
    const b = files.write("b.ndjson", text(steadyTrace(120, { "user:web": 70 }, "b")));
    const told = await runJson({ file: config(), all: true, traces: [a, b] });
    expect(told.decisions.map(({ time, host, average_percent: p }) => `${time} ${host} ${p}`)).toEqual([
      `${timeAt(60)} a 50`,
      `${timeAt(60)} b 70`,
      `${timeAt(120)} a 50`,
      `${timeAt(120)} b 70`,
    ]);
  });

  test("may be packed, and come from standard input", async () => {
    const lines = steadyTrace(120, { "user:web": 50, "user:db": 70 });
    const packed = files.write("half.ndjson.gz", gzipSync(text(lines.filter((_, i) => i % 2 === 0))));
    const told = await replay(
      lines.filter((_, i) => i % 2 === 1),
      { traces: [packed, "-"] },
    );
    expect(told).toEqual(await replay(lines));
  });

  test("are told to be packed by what is in them", async () => {
    const lines = steadyTrace(120, { "user:web": 50 });
    const packed = gzipSync(text(lines));
    const told = await replay(lines);
    expect(await replay(packed)).toEqual(told);
    expect(await replay("", { traces: [files.write("unnamed", packed)] })).toEqual(told);
    expect(await replay("", { traces: [files.write("plain.gz", text(lines))] })).toEqual(told);
    const twice = Buffer.concat([
      gzipSync(lines.slice(0, 5).join("\n")),
      gzipSync(`\n${text(lines.slice(5))}`),
    ]);
    expect(await replay(twice)).toEqual(told);
  });
});

describe("a trace that cannot be read", () => {
  const packed = gzipSync(text(steadyTrace(5000, { "user:web": 50, "user:db": 10 })));
  test.each([
    { name: "is not there", file: () => files.path("nothing.ndjson"), says: "no such file" },
    { name: "is a directory", file: () => files.path(""), says: "is a directory, not a file" },
    {
      name: "is packed and was cut short",
      file: () => files.write("cut.gz", packed.subarray(0, packed.length / 2)),
      says: "ends in the middle of the packed data: is it still being written, or was the copy cut short?",
    },
    {
      name: "is packed and was damaged",
      file: () => files.write("damaged.gz", Buffer.from(packed).fill(0xff, 100, 110)),
      says: "is damaged (invalid distance too far back)",
    },
  ])("because it $name", async ({ file, says }) => {
    const name = file();
    const { code, stdout, stderr } = await run({ file: config(), traces: [name] });
    expect([code, stdout, stderr]).toEqual([1, "", `albatross-exporter: ${name}: ${says}\n`]);
  });

  test("because it is standard input for the second time", async () => {
    const { code, stderr } = await run({ file: config(), traces: ["-", "-"] });
    expect([code, stderr]).toEqual([1, "albatross-exporter: standard input (-) can be read only once\n"]);
  });
});

describe("input of another kind is an error that says what was found", () => {
  const trace = text(steadyTrace(60, { "user:web": 50 }));
  const random = Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * 7919 + 128) % 251));
  const swapped = (bytes: Buffer) => Buffer.from(bytes).swap16();
  const utf16 = Buffer.from(trace, "utf16le");
  test.each<[string, string | Buffer, string]>([
    ["nothing", "", "no samples in standard input: it is empty"],
    ["empty lines", "\n\n", "no samples in standard input: it is empty"],
    ["text", "garbage\n", "no samples in standard input: 1 line of something else, first: garbage"],
    [
      "a page",
      "<!doctype html>\n<p>\n",
      "no samples in standard input: 2 lines of something else, first: <!doctype html>",
    ],
    ["random bytes", random, "no samples in standard input: 13 lines of binary data"],
    [
      "events alone",
      `{"time":"${timeAt(0)}","event":"tick"}\n?\n`,
      "no samples in standard input: 1 events of a trace, 1 line of something else, first: ?",
    ],
    [
      "UTF-16 with a mark",
      Buffer.concat([Buffer.from([0xff, 0xfe]), utf16]),
      "standard input is text in UTF-16: a trace is UTF-8 (try iconv)",
    ],
    ["UTF-16", utf16, "standard input is text in UTF-16: a trace is UTF-8 (try iconv)"],
    [
      "UTF-16, big end first",
      swapped(utf16),
      "standard input is text in UTF-16: a trace is UTF-8 (try iconv)",
    ],
    [
      "another packer's",
      Buffer.from("28b52ffd0000", "hex"),
      "standard input is packed by zstd: unpack it, or pack it by gzip",
    ],
    [
      "half a header of gzip",
      Buffer.from("1f8b08", "hex"),
      "standard input: ends in the middle of the packed data",
    ],
  ])("%s", async (_, stdin, says) => {
    const { code, stdout, stderr } = await run({ file: config(), traces: ["-"] }, stdin);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(`albatross-exporter: ${says}`);
  });

  test("beside a trace it is told, and the trace is replayed", async () => {
    const page = files.write("page.ndjson", "<p>\n");
    const { code, stdout, stderr } = await run({ file: config(), traces: [page, "-"] }, trace);
    expect(stderr).toBe(`albatross-exporter: no samples in ${page}: 1 line of something else, first: <p>\n`);
    expect(JSON.parse(stdout).summary).toMatchObject({ samples: 7, skipped_lines: 1 });
    expect(code).toBe(0);
  });
});
