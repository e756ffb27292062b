import { describe, expect, test } from "vitest";
import { Ticker, type TickerOptions } from "../../src/scaler/ticker.ts";
import { FakeClock } from "../support/fakeClock.ts";

interface Tick {
  readonly atMs: number;
  readonly lagMs: number;
}

/** A ticker every 60 s that has been started, and what it did. */
function started(options: Partial<TickerOptions> = {}) {
  const clock = new FakeClock();
  const ticks: Tick[] = [];
  const ticker = new Ticker({
    clock,
    intervalMs: 60_000,
    tick: (lagUs) => ticks.push({ atMs: clock.nowUs() / 1000, lagMs: lagUs / 1000 }),
    ...options,
  });
  ticker.start();
  const times = () => ticks.map(({ atMs }) => atMs / 1000);
  return { clock, ticker, ticks, times };
}

/** A clock on which nothing fires while it is held up, as when the event loop is blocked. */
class BlockedClock extends FakeClock {
  blockFor(ms: number): void {
    const due: (() => void)[] = [];
    this.#late = due;
    this.advance(ms);
    this.#late = null;
    for (const callback of due) callback();
  }
  #late: (() => void)[] | null = null;
  override after(delayMs: number, callback: () => void) {
    return super.after(delayMs, () => {
      if (this.#late === null) callback();
      else this.#late.push(callback);
    });
  }
}

describe("ticks come", () => {
  test("never without samples", () => {
    const { clock, ticks } = started();
    clock.advance(3_600_000);
    expect(ticks).toEqual([]);
  });

  test("one interval after the first samples, and every interval from then on", () => {
    const { clock, ticker, times } = started();
    clock.advance(7_500);
    ticker.samplesArrived(clock.nowUs());
    clock.advance(1_000);
    ticker.samplesArrived(clock.nowUs());
    clock.advance(240_000);
    expect(times()).toEqual([67.5, 127.5, 187.5, 247.5]);
    expect(ticker.firstSampleUs).toBe(7_500_000);
  });

  test("not after the ticker was stopped", () => {
    const { clock, ticker, times } = started();
    ticker.samplesArrived(0);
    clock.advance(61_000);
    ticker.stop();
    ticker.samplesArrived(clock.nowUs());
    clock.advance(600_000);
    expect(times()).toEqual([60]);
    expect(clock.pendingTimers).toBe(0);
  });

  test("not before the ticker was started", () => {
    const clock = new FakeClock();
    const ticker = new Ticker({ clock, intervalMs: 1, tick: () => expect.unreachable() });
    ticker.samplesArrived(0);
    clock.advance(1_000);
    expect(clock.pendingTimers).toBe(0);
  });

  test("not early when a timer fires early", () => {
    const clock = new FakeClock();
    const early = {
      nowUs: () => clock.nowUs(),
      wallMs: () => clock.wallMs(),
      after: (ms: number, callback: () => void) => clock.after(ms * 0.9, callback),
    };
    const ticks: number[] = [];
    const ticker = new Ticker({ clock: early, intervalMs: 60_000, tick: () => ticks.push(clock.nowUs()) });
    ticker.start();
    ticker.samplesArrived(0);
    clock.advance(61_000);
    expect(ticks).toHaveLength(1);
    expect(ticks[0]).toBeGreaterThanOrEqual(60e6);
  });
});

describe("a late tick", () => {
  function blocked(ms: number) {
    const clock = new BlockedClock();
    const ticks: Tick[] = [];
    const ticker = new Ticker({
      clock,
      intervalMs: 60_000,
      tick: (lagUs) => ticks.push({ atMs: clock.nowUs() / 1000, lagMs: lagUs / 1000 }),
    });
    ticker.start();
    ticker.samplesArrived(0);
    clock.advance(59_000);
    clock.blockFor(1_000 + ms);
    clock.advance(200_000);
    return ticks;
  }

  test.each([
    ["a little late, the next one is on time", 5_000, [65, 120, 180]],
    ["half an interval late, the next one is on time", 30_000, [90, 120, 180]],
    ["later than that, the next one is left out: its window would be too short", 31_000, [91, 180, 240]],
    ["several intervals late, it is one tick, not several", 200_000, [260, 300, 360]],
  ])("%s", (_, lateMs, seconds) => {
    const ticks = blocked(lateMs);
    expect(ticks.slice(0, 3).map(({ atMs }) => atMs / 1000)).toEqual(seconds);
    expect(ticks.slice(0, 2).map(({ lagMs }) => lagMs)).toEqual([lateMs, 0]);
  });
});

describe("another interval", () => {
  test.each([
    ["longer: counted from the last tick", 90_000, [60, 150, 240]],
    ["shorter: counted from the last tick", 20_000, [60, 100, 120]],
    ["so short that it is over already: at its next multiple", 7_000, [60, 88, 95]],
    ["the same: nothing changes", 60_000, [60, 120, 180]],
  ])("%s", (_, intervalMs, seconds) => {
    const { clock, ticker, times } = started();
    ticker.samplesArrived(0);
    clock.advance(83_000);
    ticker.setInterval(intervalMs);
    clock.advance(160_000);
    expect(times().slice(0, 3)).toEqual(seconds);
  });

  test("before the first tick counts from the first samples", () => {
    const { clock, ticker, times } = started();
    clock.advance(5_000);
    ticker.samplesArrived(clock.nowUs());
    ticker.setInterval(10_000);
    clock.advance(20_000);
    expect(times()).toEqual([15, 25]);
  });

  test("before the first samples waits for them", () => {
    const { clock, ticker, times } = started();
    ticker.setInterval(10_000);
    clock.advance(100_000);
    ticker.samplesArrived(clock.nowUs());
    clock.advance(10_000);
    expect(times()).toEqual([110]);
  });
});

describe("after a restart", () => {
  test("ticks go on at their times, with samples or without", () => {
    const { clock, times } = started({ lastTickUs: -20e6 });
    clock.advance(110_000);
    expect(times()).toEqual([40, 100]);
  });

  test("a tick that fell into the restart is not made up for", () => {
    const { clock, times } = started({ lastTickUs: -70e6 });
    clock.advance(60_000);
    expect(times()).toEqual([50]);
  });

  test("the first one waits until all that is expected has been heard, and says how long", () => {
    let caughtUp = false;
    const { clock, ticker, ticks } = started({ lastTickUs: -20e6, caughtUp: () => caughtUp });
    clock.advance(45_000);
    ticker.samplesArrived(clock.nowUs());
    expect(ticks).toEqual([]);
    caughtUp = true;
    ticker.samplesArrived(clock.nowUs());
    clock.advance(60_000);
    expect(ticks).toEqual([
      { atMs: 45_000, lagMs: 5_000 },
      { atMs: 100_000, lagMs: 0 },
    ]);
  });

  test("the first one waits for one interval at most", () => {
    const { clock, ticker, times } = started({ lastTickUs: -20e6, caughtUp: () => false });
    ticker.samplesArrived(0);
    clock.advance(300_000);
    expect(times()).toEqual([100, 160, 220, 280]);
  });
});

describe("what is prepared", () => {
  function preparing(leadMs: () => number) {
    const prepared: number[] = [];
    const prepare = () => prepared.push(it.clock.nowUs() / 1e6);
    const it = started({ ahead: { leadMs, prepare } });
    it.ticker.samplesArrived(0);
    return { ...it, prepared };
  }

  test("begins as long before each tick as it wants by then", () => {
    let lead = 10_000;
    const { clock, prepared, times } = preparing(() => lead);
    clock.advance(65_000);
    lead = 30_000;
    clock.advance(120_000);
    expect([times(), prepared]).toEqual([
      [60, 120, 180],
      [50, 110, 150],
    ]);
  });

  test("is nothing while it wants no time, and after the end", () => {
    const idle = preparing(() => 0);
    idle.clock.advance(600_000);
    const { clock, ticker, prepared } = preparing(() => 10_000);
    clock.advance(40_000);
    ticker.stop();
    clock.advance(600_000);
    expect([idle.prepared, prepared, clock.pendingTimers]).toEqual([[], [], 0]);
  });

  test("goes by another interval as soon as there is one", () => {
    const { clock, ticker, prepared, times } = preparing(() => 5_000);
    clock.advance(61_000);
    ticker.setInterval(20_000);
    clock.advance(20_000);
    expect([times(), prepared]).toEqual([
      [60, 80],
      [55, 75],
    ]);
  });
});
