import { expect, test } from "vitest";
import { Broadcast, type Subscriber } from "../../src/trace/broadcast.ts";

function recording(into: string[]): Subscriber<string> {
  return {
    next: (message, topic) => void into.push(`${topic ?? "everyone"}: ${message}`),
    end: () => void into.push("end"),
  };
}

test("what is published reaches those who subscribe at that time", () => {
  const broadcast = new Broadcast<string>();
  const [early, late]: [string[], string[]] = [[], []];
  const leave = broadcast.subscribe(recording(early));
  broadcast.publish("one", "h");
  broadcast.subscribe(recording(late));
  broadcast.publish("two");
  leave();
  broadcast.publish("three");
  expect(early).toEqual(["h: one", "everyone: two"]);
  expect(late).toEqual(["everyone: two", "everyone: three"]);
});

test("whether anyone listens can be asked before a message is made", () => {
  const broadcast = new Broadcast<string>();
  expect(broadcast.hasSubscribers).toBe(false);
  const leave = broadcast.subscribe(recording([]));
  expect(broadcast.hasSubscribers).toBe(true);
  leave();
  expect(broadcast.hasSubscribers).toBe(false);
});

test("a new subscriber is greeted, alone and before anything else", () => {
  let known = "zero";
  const broadcast = new Broadcast<string>(() => [{ message: known, topic: "h" }, { message: "and" }]);
  const [early, late]: [string[], string[]] = [[], []];
  broadcast.subscribe(recording(early));
  known = "one";
  broadcast.publish("one", "h");
  broadcast.subscribe(recording(late));
  broadcast.publish("two");
  expect(early).toEqual(["h: zero", "everyone: and", "h: one", "everyone: two"]);
  expect(late).toEqual(["h: one", "everyone: and", "everyone: two"]);
});

test("closing ends all subscribers, and those that come later at once", () => {
  const broadcast = new Broadcast<string>();
  const [early, late]: [string[], string[]] = [[], []];
  broadcast.subscribe(recording(early));
  broadcast.close();
  broadcast.subscribe(recording(late));
  broadcast.publish("unheard");
  expect(early).toEqual(["end"]);
  expect(late).toEqual(["end"]);
});
