import { describe, expect, test } from "vitest";
import { StatsInterval } from "../../src/client/interval.ts";
import { type Listing, Silence, type SilenceVerdict } from "../../src/client/silence.ts";

const S = 1_000_000;
const UNREADABLE: Listing = { readable: false };

function listing(listedSinceUs: number | null, askedAtUs: number): Listing {
  return { readable: true, listedSinceUs, askedAtUs };
}

/** A silence at an interval of 2 s, last heard of at 100 s. */
function silentSince100s(): Silence {
  const silence = new Silence(new StatsInterval(2_000));
  silence.heard(100 * S);
  return silence;
}

describe("with unikernel info", () => {
  test.each<[string, number, Listing, SilenceVerdict]>([
    ["nothing listed: silence is right", 200, listing(null, 199 * S), { type: "wait", us: 6 * S }],
    ["listed, not yet three intervals", 104, listing(0, 90 * S), { type: "wait", us: 2 * S }],
    ["listed by an old answer only: the unikernel may be gone", 106, listing(0, 103 * S), { type: "ask" }],
    ["listed by an answer asked for after three intervals", 106, listing(0, 106 * S), { type: "reconnect" }],
    ["listed for less than three intervals", 200, listing(196 * S, 199 * S), { type: "wait", us: 2 * S }],
    ["listed for three intervals", 202, listing(196 * S, 202 * S), { type: "reconnect" }],
  ])("%s", (_, nowS, what, expected) => {
    expect(silentSince100s().judge(nowS * S, what)).toEqual(expected);
  });
});

describe("without unikernel info", () => {
  test("a slot that never delivered may be empty", () => {
    expect(silentSince100s().judge(1000 * S, UNREADABLE)).toEqual({ type: "wait", us: 6 * S });
  });

  test("a slot that has delivered is given three intervals", () => {
    const silence = silentSince100s();
    silence.delivered();
    expect(silence.judge(105 * S, UNREADABLE)).toEqual({ type: "wait", us: S });
    expect(silence.judge(106 * S, UNREADABLE)).toEqual({ type: "reconnect" });
  });
});

describe("patience", () => {
  test("doubles with each reconnect in vain while the interval is not known, to ten minutes", () => {
    const silence = new Silence(new StatsInterval("auto"));
    const waits: number[] = [];
    for (let i = 0; i < 7; i++) {
      waits.push(silence.waitUs / S);
      silence.ended({ forSilence: true });
    }
    expect(waits).toEqual([30, 60, 120, 240, 480, 600, 600]);
  });

  test("does not grow when the connection ended otherwise", () => {
    const silence = new Silence(new StatsInterval("auto"));
    silence.ended({ forSilence: false });
    expect(silence.waitUs).toBe(30 * S);
  });

  test("does not grow with a configured interval", () => {
    const silence = new Silence(new StatsInterval(2_000));
    silence.ended({ forSilence: true });
    expect(silence.waitUs).toBe(6 * S);
  });

  test("remembers a slow daemon on the next connection, where its interval is not known yet", () => {
    const interval = new StatsInterval("auto");
    const silence = new Silence(interval);
    for (let tick = 0; tick < 4; tick++) interval.message("web", tick * 60 * S);
    silence.ended({ forSilence: false });
    interval.reconnected();
    expect(interval.us).toBe(10 * S);
    expect(silence.waitUs).toBe(180 * S);
  });
});
