import { describe, expect, test } from "vitest";
import { StatsInterval } from "../../src/client/interval.ts";
import { type KnownInfo, VmmdError } from "../../src/client/vmmd.ts";
import { type Verdict, Watchdog } from "../../src/client/watchdog.ts";

const S = 1_000_000;
const UNREADABLE = new VmmdError("unreachable", "away");

function listing(listedSinceUs: number | null, askedAtUs: number): KnownInfo {
  return { listedSinceUs, askedAtUs, answeredAtUs: askedAtUs, namesakeRuns: false };
}

/** The watchdog of a subscription at an interval of 2 s, last heard of at 100 s. */
function silentSince100s(): Watchdog {
  const watchdog = new Watchdog(new StatsInterval(2_000));
  watchdog.heard(100 * S);
  return watchdog;
}

describe("with unikernel info", () => {
  test.each<[string, number, KnownInfo, Verdict]>([
    ["nothing listed: silence is right", 200, listing(null, 199 * S), { type: "wait", us: 6 * S }],
    ["listed, not yet three intervals", 104, listing(0, 90 * S), { type: "wait", us: 2 * S }],
    ["listed by an old answer only: the unikernel may be gone", 106, listing(0, 103 * S), { type: "ask" }],
    ["listed by an answer asked for after three intervals", 106, listing(0, 106 * S), { type: "reconnect" }],
    ["listed for less than three intervals", 200, listing(196 * S, 199 * S), { type: "wait", us: 2 * S }],
    ["listed for three intervals", 202, listing(196 * S, 202 * S), { type: "reconnect" }],
  ])("%s", (_, nowS, what, expected) => {
    expect(silentSince100s().check(nowS * S, what)).toEqual(expected);
  });
});

describe("without unikernel info", () => {
  test("a subscription that never delivered may be empty", () => {
    expect(silentSince100s().check(1000 * S, UNREADABLE)).toEqual({ type: "wait", us: 6 * S });
  });

  test("a subscription that has delivered is given three intervals", () => {
    const watchdog = silentSince100s();
    watchdog.delivered();
    expect(watchdog.check(105 * S, UNREADABLE)).toEqual({ type: "wait", us: S });
    expect(watchdog.check(106 * S, UNREADABLE)).toEqual({ type: "reconnect" });
  });
});

describe("the silence that is tolerated", () => {
  test("doubles with each reconnect in vain while the interval is not known, to ten minutes", () => {
    const watchdog = new Watchdog(new StatsInterval("auto"));
    const waits: number[] = [];
    for (let i = 0; i < 7; i++) {
      waits.push(watchdog.waitUs / S);
      watchdog.ended({ forSilence: true });
    }
    expect(waits).toEqual([30, 60, 120, 240, 480, 600, 600]);
  });

  test("does not grow when the connection ended otherwise", () => {
    const watchdog = new Watchdog(new StatsInterval("auto"));
    watchdog.ended({ forSilence: false });
    expect(watchdog.waitUs).toBe(30 * S);
  });

  test("doubles in vain with a configured interval too, until a sample comes", () => {
    const watchdog = new Watchdog(new StatsInterval(2_000));
    const waits: number[] = [];
    for (let i = 0; i < 9; i++) {
      waits.push(watchdog.waitUs / S);
      watchdog.ended({ forSilence: true });
    }
    expect(waits).toEqual([6, 12, 24, 48, 96, 192, 384, 600, 600]);
    watchdog.delivered();
    expect(watchdog.waitUs).toBe(6 * S);
    watchdog.ended({ forSilence: true });
    expect(watchdog.waitUs).toBe(6 * S);
  });

  test("is never cut by those ten minutes where three intervals are longer", () => {
    const watchdog = new Watchdog(new StatsInterval(600_000));
    watchdog.ended({ forSilence: true });
    expect(watchdog.waitUs).toBe(1800 * S);
  });

  test("is three intervals again as soon as they are learnt after reconnects in vain", () => {
    const interval = new StatsInterval("auto");
    const watchdog = new Watchdog(interval);
    for (let i = 0; i < 5; i++) watchdog.ended({ forSilence: true });
    for (let tick = 0; tick < 4; tick++) {
      interval.message("web", tick * S);
      watchdog.delivered();
    }
    expect(watchdog.waitUs).toBe(3 * S);
  });

  test("remembers a slow daemon on the next connection, where its interval is not known yet", () => {
    const interval = new StatsInterval("auto");
    const watchdog = new Watchdog(interval);
    for (let tick = 0; tick < 4; tick++) interval.message("web", tick * 60 * S);
    watchdog.ended({ forSilence: false });
    interval.reconnected();
    expect(interval.us).toBe(10 * S);
    expect(watchdog.waitUs).toBe(180 * S);
  });
});
