import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { OneAtATime, systemClock } from "../src/clock.ts";
import { eventually, settle } from "./support/eventually.ts";

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

describe("work that is done once at a time", () => {
  /** Work that ends when told to; `begun` counts how often it has begun. */
  function slowWork() {
    let begun = 0;
    let finish = () => {};
    const work = new OneAtATime(() => {
      begun++;
      return new Promise<void>((resolve) => {
        finish = resolve;
      });
    });
    return { work, begun: () => begun, finish: () => finish() };
  }

  it("is not begun in the turn of whoever asks for it", async () => {
    const { work, begun } = slowWork();
    work.request();
    expect(begun()).toBe(0);
    await eventually("it to begin", () => begun() === 1);
  });

  it("is done once more for all requests while it is being done", async () => {
    const { work, begun, finish } = slowWork();
    work.request();
    await eventually("it to begin", () => begun() === 1);
    let isIdle = false;
    work.request();
    work.request();
    work.request();
    const idle = work.idle().then(() => {
      isIdle = true;
    });
    await settle();
    expect(begun()).toBe(1);
    finish();
    await eventually("it to begin again", () => begun() === 2);
    expect(isIdle).toBe(false);
    finish();
    await idle;
    await settle();
    expect(begun()).toBe(2);
    work.request();
    await eventually("it to begin anew", () => begun() === 3);
  });
});
