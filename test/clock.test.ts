import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "../src/clock.ts";

const DAY_MS = 86_400_000;

describe("the machine's clock", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([0, 1, 30_000, 24 * DAY_MS])("calls back once after %d ms", (delayMs) => {
    const called = vi.fn();
    systemClock().after(delayMs, called);
    vi.advanceTimersByTime(Math.max(0, delayMs - 1));
    expect(called).toHaveBeenCalledTimes(delayMs === 0 ? 1 : 0);
    vi.advanceTimersByTime(1);
    vi.advanceTimersByTime(30 * DAY_MS);
    expect(called).toHaveBeenCalledTimes(1);
  });

  it.each([25, 72, 1_000])("waits %d days, which is more than a timer of Node can", (days) => {
    const called = vi.fn();
    const set = vi.spyOn(globalThis, "setTimeout");
    systemClock().after(days * DAY_MS, called);
    vi.advanceTimersByTime(days * DAY_MS - 1);
    expect(called).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(called).toHaveBeenCalledTimes(1);
    for (const [, ms] of set.mock.calls) expect(ms).toBeLessThan(2 ** 31);
  });

  it.each([0, 30])("calls nobody back who took it back after %d days", (days) => {
    const called = vi.fn();
    const cancel = systemClock().after(100 * DAY_MS, called);
    vi.advanceTimersByTime(days * DAY_MS);
    cancel();
    vi.advanceTimersByTime(200 * DAY_MS);
    expect(called).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });
});
