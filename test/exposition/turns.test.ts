import { describe, expect, test } from "vitest";
import { yieldToEventLoop } from "../../src/clock.ts";

/** Counts iterations of the event loop for as long as `work` takes. */
async function countingIterations<T>(work: (iteration: () => number) => Promise<T>): Promise<T> {
  let iteration = 0;
  let running = true;
  const count = () => {
    iteration++;
    if (running) setImmediate(count);
  };
  setImmediate(count);
  try {
    return await work(() => iteration);
  } finally {
    running = false;
  }
}

describe("turns", () => {
  test("come one per iteration of the event loop, in the order they were asked for", async () => {
    const granted = await countingIterations(async (iteration) => {
      return Promise.all(
        ["a", "b", "c", "d"].map(async (who) => {
          await yieldToEventLoop();
          return { who, at: iteration() };
        }),
      );
    });
    const times = granted.map(({ at }) => at);
    expect(new Set(times).size).toBe(times.length);
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });

  test("alternate between two that keep asking", async () => {
    const order: string[] = [];
    const worker = async (who: string) => {
      for (let i = 0; i < 3; i++) {
        await yieldToEventLoop();
        order.push(who);
      }
    };
    await Promise.all([worker("a"), worker("b")]);
    expect(order.join("")).toBe("ababab");
  });
});
