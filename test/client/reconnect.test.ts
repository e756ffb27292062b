import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { backoffMs, Displacement } from "../../src/client/attempts.ts";
import { SocketDirectory } from "../../src/client/endpoint.ts";
import { SampleBudget } from "../../src/client/receiver.ts";

const MINUTE = 60 * 1_000_000;

describe("the wait before the next attempt", () => {
  test("doubles from 1 s to at most 60 s", () => {
    const waits = (random: number) =>
      Array.from({ length: 8 }, (_, failures) => backoffMs(failures, random) / 1000);
    expect(waits(0)).toEqual([1, 2, 4, 8, 16, 30, 30, 30]);
    expect(waits(1)).toEqual([2, 4, 8, 16, 32, 60, 60, 60]);
  });

  test("never leaves 1 s to 60 s, whatever the jitter", () => {
    const random = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.nat({ max: 100_000 }), random, (failures, jitter) => {
        const ms = backoffMs(failures, jitter);
        expect(ms).toBeGreaterThanOrEqual(1_000);
        expect(ms).toBeLessThanOrEqual(60_000);
      }),
    );
  });
});

describe("closes by the daemon mean a rival", () => {
  test.each([
    ["two are none", [0, 1], false],
    ["three within five minutes", [0, 2, 4.99], true],
    ["the third after five minutes", [0, 2, 5], false],
    ["the last three count", [0, 6, 7, 8], true],
  ])("%s", (_, closesAtMinutes, expected) => {
    const displacement = new Displacement();
    const verdicts = closesAtMinutes.map((minute) => displacement.closed(minute * MINUTE));
    expect(verdicts.at(-1)).toBe(expected);
    expect(verdicts.slice(0, -1)).not.toContain(true);
  });

  test("are noticed once, until a subscription holds", () => {
    const displacement = new Displacement();
    const verdicts = [0, 1, 2, 3].map((minute) => displacement.closed(minute * MINUTE));
    expect(verdicts).toEqual([false, false, true, false]);
    expect(displacement.displaced).toBe(true);
    displacement.held();
    expect(displacement.displaced).toBe(false);
    expect(displacement.closed(4 * MINUTE)).toBe(true);
  });

  test("not when the daemon itself had gone in between", () => {
    const displacement = new Displacement();
    displacement.closed(0);
    displacement.closed(1);
    displacement.daemonGone();
    expect(displacement.closed(2)).toBe(false);
  });
});

describe("what a peer can make the fleet remember", () => {
  test("is bounded in VMs", () => {
    const budget = new SampleBudget(10 * 1024);
    const admitted = Array.from({ length: 1000 }, (_, i) => budget.admit(`vm-${i}`, 300, 0));
    expect(admitted.filter(Boolean)).toHaveLength(10);
  });

  test("is bounded in bytes", () => {
    const budget = new SampleBudget(10 * 1024);
    expect(budget.admit("big", 9 * 1024, 0)).toBe(true);
    expect(budget.admit("other", 2 * 1024, 0)).toBe(false);
    expect(budget.admit("big", 1024, 0)).toBe(true);
    expect(budget.admit("other", 2 * 1024, 0)).toBe(true);
  });

  test("does not cost VMs that are known already", () => {
    const budget = new SampleBudget(2 * 1024);
    budget.admit("web", 400, 0);
    budget.admit("db", 400, 0);
    budget.admit("hostile", 400, 0);
    expect(budget.admit("web", 500, MINUTE)).toBe(true);
  });

  test("has room again half an hour after VMs fell silent, not for those that speak", () => {
    const budget = new SampleBudget(2 * 1024);
    budget.admit("web", 400, 0);
    budget.admit("gone", 400, 0);
    for (let minute = 1; minute <= 31; minute++) budget.admit("web", 400, minute * MINUTE);
    expect(budget.admit("new", 400, 31 * MINUTE)).toBe(true);
    expect(budget.admit("more", 400, 31 * MINUTE)).toBe(false);
    expect(budget.admit("web", 400, 31 * MINUTE)).toBe(true);
  });
});

describe("a socket that cannot be opened", () => {
  test.each([
    ["EACCES", "linux", "not in group albatross: usermod -aG albatross metrics"],
    ["EPERM", "linux", "usermod -aG albatross metrics"],
    ["EACCES", "freebsd", "pw groupmod albatross -m metrics"],
    ["ENOENT", "linux", "/x/stat.sock does not exist (yet)"],
    ["ECONNREFUSED", "linux", "nobody listens on /x/stat.sock"],
    ["EMFILE", "linux", "/x/stat.sock: EMFILE"],
  ] as const)("%s on %s says what to do", (code, os, expected) => {
    const directory = new SocketDirectory({ socketDir: "/x", os }, () => "metrics");
    expect(directory.describe("stat", code)).toContain(expected);
  });

  test("names the user it runs as", () => {
    const text = new SocketDirectory({ socketDir: "/x", os: "linux" }).describe("stat", "EACCES");
    expect(text).toMatch(/usermod -aG albatross [\w-]+,/);
  });
});
