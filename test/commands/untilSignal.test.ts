import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { untilSignal } from "../../src/commands/shared.ts";

const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** The signals that `untilSignal` listens to. */
function listening(before: ReadonlyMap<NodeJS.Signals, readonly unknown[]>): NodeJS.Signals[] {
  return SIGNALS.filter((signal) => added(before, signal).length > 0);
}

/** Its listeners, to be called as Node would: nothing else in this process hears of it. */
function added(before: ReadonlyMap<NodeJS.Signals, readonly unknown[]>, signal: NodeJS.Signals) {
  return process.listeners(signal).filter((listener) => before.get(signal)?.includes(listener) === false);
}

describe("the wait for a signal", () => {
  let before: Map<NodeJS.Signals, readonly unknown[]>;
  beforeEach(() => {
    vi.useFakeTimers();
    before = new Map(SIGNALS.map((signal) => [signal, process.listeners(signal)]));
  });
  afterEach(() => {
    for (const signal of SIGNALS) for (const one of added(before, signal)) process.off(signal, one);
    vi.useRealTimers();
  });

  test("ends with the signal that came", async () => {
    const asked = untilSignal();
    for (const listener of added(before, "SIGTERM")) listener("SIGTERM");
    expect(await asked).toBe("SIGTERM");
  });

  test("leaves a hangup alone for who takes it for something else", () => {
    void untilSignal({ hangup: false });
    expect(listening(before)).toEqual(["SIGINT", "SIGTERM"]);
  });

  test("takes what npm passes on for the same request, and what comes later for another", () => {
    void untilSignal();
    for (const listener of added(before, "SIGINT")) listener("SIGINT");
    vi.advanceTimersByTime(499);
    expect(listening(before)).toEqual(SIGNALS);
    vi.advanceTimersByTime(1);
    expect(listening(before)).toEqual([]);
  });
});
