import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Fleet } from "../../src/fleet/fleet.ts";
import { TraceLines, type TraceListener, type TraceMessage } from "../../src/trace/lines.ts";
import { parseName } from "../../src/wire/names.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { makeInfo, makeSample, makeStats } from "../support/stats.ts";
import { readTrace } from "../support/trace.ts";

const REAL = new URL("../fixtures/wire/traces/real-web.ndjson", import.meta.url);
const START = Date.parse("2026-01-01T00:00:00Z");

function linesOf(message: TraceMessage): string[] {
  return typeof message === "string" ? [message] : [...message()];
}

class Listener implements TraceListener {
  hasSubscribers = true;
  readonly lines: string[] = [];
  readonly hosts: (string | undefined)[] = [];
  publish(message: TraceMessage, host?: string): void {
    this.lines.push(...linesOf(message));
    this.hosts.push(host);
  }
}

function setUp() {
  const clock = new FakeClock(START);
  const listener = new Listener();
  return { clock, listener, trace: new TraceLines(listener, clock) };
}

describe("the lines of a trace", () => {
  it("of recorded samples are the recorded lines, byte for byte", () => {
    const recorded = readFileSync(REAL, "utf8").trimEnd().split("\n");
    const samples = readTrace(REAL);
    const clock = new FakeClock(samples[0]?.wallMs);
    const listener = new Listener();
    const trace = new TraceLines(listener, clock);
    for (const { wallMs, host, name, stats } of samples) {
      const arrivalUs = (wallMs - (samples[0]?.wallMs ?? 0)) * 1000;
      trace.sample(makeSample({ host, name, stats, arrivalUs }));
    }
    expect(listener.lines).toEqual(recorded);
    expect(new Set(listener.hosts)).toEqual(new Set(["local"]));
  });

  it("tell what unikernel info listed, nothing of its arguments", () => {
    const { clock, listener, trace } = setUp();
    clock.advance(1_500);
    trace.info("local", [
      {
        name: parseName("user:web"),
        info: makeInfo({ numcpus: 2, startedMs: START, argv: ["--password=secret"] }),
      },
      { name: parseName(":hello"), info: makeInfo() },
    ]);
    expect(listener.lines).toEqual([
      '{"time":"2026-01-01T00:00:01.500Z","host":"local","event":"info","vms":[{"name":"user:web","cpus":2,"started":"2026-01-01T00:00:00.000Z","cpuids":[0]},{"name":":hello","cpus":1,"started":null,"cpuids":[0]}]}',
    ]);
  });

  it("tell when a host's statistics are lost and come again, not that they begin to come", () => {
    const { clock, listener, trace } = setUp();
    trace.live("local", true);
    trace.live("other", true);
    clock.advance(1_500);
    trace.live("local", false);
    clock.advance(2_000);
    trace.live("local", true);
    expect(listener.lines).toEqual([
      '{"time":"2026-01-01T00:00:01.500Z","host":"local","event":"connection","up":false}',
      '{"time":"2026-01-01T00:00:03.500Z","host":"local","event":"connection","up":true}',
    ]);
    expect(listener.hosts).toEqual(["local", "local"]);
  });

  it("begin with what unikernel info said last, as if it said it now", () => {
    const { clock, listener, trace } = setUp();
    const fleet = new Fleet({ clock, deathTimeoutMs: 60_000 });
    const entries = [{ name: parseName("user:web"), info: makeInfo({ numcpus: 2, startedMs: START }) }];
    fleet.setLive("deaf", true);
    fleet.recordInfo("local", [...entries, { name: parseName(":old"), info: makeInfo() }], clock.nowUs());
    fleet.recordInfo("local", entries, clock.nowUs());
    clock.advance(9_000);
    trace.info("local", entries);
    const greeting = [...trace.known(fleet.listedVms())];
    expect(greeting.map(({ topic }) => topic)).toEqual(["local"]);
    expect(greeting.flatMap(({ message }) => linesOf(message))).toEqual(listener.lines);
  });

  it("list a thousand VMs a line, and say on all but the last that more follow", () => {
    const { listener, trace } = setUp();
    const info = makeInfo();
    const entries = Array.from({ length: 2_001 }, (_, n) => ({ name: parseName(`load:vm-${n}`), info }));
    trace.info("local", entries);
    const lines = listener.lines.map((line) => JSON.parse(line));
    expect(lines.map(({ vms, more }) => [vms.length, more])).toEqual([
      [1_000, true],
      [1_000, true],
      [1, undefined],
    ]);
    expect(lines.flatMap(({ vms }) => vms.map(({ name }: { name: string }) => name))).toEqual(
      entries.map((_, n) => `load:vm-${n}`),
    );
    trace.info("local", entries.slice(0, 1_000));
    expect(JSON.parse(listener.lines[3] ?? "")).not.toHaveProperty("more");
  });

  it("never go back in time, though a long list was made after a sample had arrived", () => {
    const { clock, listener, trace } = setUp();
    const arrivalUs = clock.nowUs();
    clock.advance(20);
    trace.info("local", []);
    trace.sample(makeSample({ arrivalUs }));
    const [info, sample] = listener.lines.map((line) => JSON.parse(line).time);
    expect(sample).toBe(info);
  });

  it("are as far apart, in milliseconds, as on the clock of the scaler", () => {
    const clock = new FakeClock(START);
    clock.advance(1.7);
    const listener = new Listener();
    const trace = new TraceLines(listener, clock);
    const ticksUs = [2_999, 3_000, 4_000, 4_001, 5_999];
    for (const us of ticksUs) trace.sample(makeSample({ arrivalUs: us }));
    const times = listener.lines.map((line) => Date.parse(JSON.parse(line).time));
    const offsetMs = (times[0] ?? 0) - 2;
    expect(times.map((ms) => ms - offsetMs)).toEqual(ticksUs.map((us) => Math.floor(us / 1000)));
  });

  it("tell when the scaler ticked, to those who listen for any host", () => {
    const { listener, trace } = setUp();
    trace.tick(10_000_999);
    expect(listener.lines).toEqual(['{"time":"2026-01-01T00:00:10.000Z","event":"tick"}']);
    expect(listener.hosts).toEqual([undefined]);
  });

  it("put what comes after a tick later than it, however soon it came", () => {
    const { clock, listener, trace } = setUp();
    clock.advance(1_000);
    trace.sample(makeSample({ arrivalUs: clock.nowUs() + 100 }));
    trace.tick(clock.nowUs() + 200);
    trace.sample(makeSample({ arrivalUs: clock.nowUs() + 300 }));
    expect(listener.lines.map((line) => JSON.parse(line).time.slice(17))).toEqual([
      "01.000Z",
      "01.000Z",
      "01.001Z",
    ]);
  });

  it("run on monotonic time: wall time set back does not show", () => {
    const { clock, listener, trace } = setUp();
    clock.advance(2_000);
    clock.setWall(START - 3_600_000);
    trace.tick(clock.nowUs());
    expect(JSON.parse(listener.lines[0] ?? "")).toEqual({ time: "2026-01-01T00:00:02.000Z", event: "tick" });
  });

  it("are not made while nobody listens", () => {
    const { listener, trace } = setUp();
    listener.hasSubscribers = false;
    const untouchable = new Proxy(makeStats(), {
      get: () => {
        throw new Error("looked at");
      },
    });
    trace.sample(makeSample({ stats: untouchable }));
    trace.info("local", [{ name: parseName(":web"), info: makeInfo() }]);
    trace.live("local", false);
    trace.tick(0);
    expect(listener.lines).toEqual([]);
  });
});
