import { hashSync } from "bcryptjs";
import { describe, expect, test } from "vitest";
import { Passwords } from "../../src/web/passwords.ts";
import { FakeClock } from "../support/fakeClock.ts";

const USERS = new Map([
  ["alice", "hash of secret"],
  ["bob", "hash of other"],
]);

/** Passwords whose hashes take until they are told to be done, or no time. */
function passwords({ held = false } = {}) {
  const clock = new FakeClock();
  const compared: string[] = [];
  const waiting: (() => void)[] = [];
  let running = 0;
  let mostRunning = 0;
  const compare = async (password: string, hash: string) => {
    compared.push(`${password} ${hash}`);
    mostRunning = Math.max(mostRunning, ++running);
    if (held) await new Promise<void>((resolve) => waiting.push(resolve));
    running--;
    return hash === `hash of ${password}`;
  };
  const all = new Passwords({ clock, compare });
  /** Lets one hash end, and the next one begin. */
  const finish = async () => {
    waiting.shift()?.();
    await new Promise(setImmediate);
  };
  return { clock, compared, finish, mostRunning: () => mostRunning, check: all.check.bind(all) };
}

describe("a password", () => {
  test("that was right costs no hash for ten minutes after each use", async () => {
    const { check, clock, compared } = passwords();
    for (let minutes = 0; minutes < 60; minutes += 9) {
      expect(await check("alice", "secret", USERS)).toBe(true);
      clock.advance(9 * 60_000);
    }
    expect(compared).toHaveLength(1);
    clock.advance(60_000);
    expect(await check("alice", "secret", USERS)).toBe(true);
    expect(compared).toHaveLength(2);
  });

  test("is not remembered for another user, nor beside another hash", async () => {
    const { check, compared } = passwords();
    await check("alice", "secret", USERS);
    expect(await check("bob", "secret", USERS)).toBe(false);
    expect(await check("alice", "secret", new Map([["alice", "hash of new"]]))).toBe(false);
    expect(await check("alice", "secret", new Map([["bob", "hash of secret"]]))).toBe(false);
    expect(compared).toHaveLength(4);
  });

  test("that is wrong costs a hash each time, as does any of a user who is not there", async () => {
    const { check, compared } = passwords();
    for (const user of ["alice", "alice", "nobody", "nobody"])
      expect(await check(user, "wrong", USERS)).toBe(false);
    expect(compared.slice(0, 2)).toEqual(Array(2).fill("wrong hash of secret"));
    expect(compared[2]).toMatch(/^wrong hash of (secret|other)$/);
    expect(compared[3]).toBe(compared[2]);
    // right for the hash that stands in for one
    for (const password of ["secret", "secret", "other", "other"])
      expect(await check("nobody", password, USERS)).toBe(false);
    expect(compared).toHaveLength(8);
  });

  test("waits for one hash at a time, 20 of them at most, and what is remembered waits for none", async () => {
    const { check, finish, compared, mostRunning } = passwords({ held: true });
    const first = check("alice", "secret", USERS);
    await finish();
    await finish();
    expect(await first).toBe(true);
    const results = Array.from({ length: 25 }, (_, n) =>
      check("bob", n === 7 ? "other" : `guess ${n}`, USERS),
    );
    expect(await Promise.all(results.slice(21))).toEqual([null, null, null, null]);
    expect(await check("alice", "secret", USERS)).toBe(true);
    for (let n = 0; n < 22; n++) await finish();
    expect(await Promise.all(results.slice(0, 21))).toEqual(Array.from({ length: 21 }, (_, n) => n === 7));
    expect(compared).toHaveLength(22);
    expect(mostRunning()).toBe(1);
    const next = check("bob", "guess", USERS);
    await finish();
    await finish();
    expect(await next).toBe(false);
  });

  test("that comes several times at once costs one hash", async () => {
    const { check, finish, compared } = passwords({ held: true });
    const results = Array.from({ length: 6 }, () => check("alice", "secret", USERS));
    await finish();
    await finish();
    expect(await Promise.all(results)).toEqual(Array(6).fill(true));
    expect(compared).toHaveLength(1);
  });

  test("whose hash fails is told to whoever asked, and the next one is checked", async () => {
    const clock = new FakeClock();
    let failures = 1;
    const compare = async () => {
      if (failures-- > 0) throw new Error("no thread");
      return true;
    };
    const all = new Passwords({ clock, compare });
    await expect(all.check("alice", "secret", USERS)).rejects.toThrow("no thread");
    expect(await all.check("alice", "secret", USERS)).toBe(true);
  });
});

describe("bcrypt", () => {
  test.each(["2a", "2b", "2y"])("%s is known", async (kind) => {
    const all = new Passwords({ clock: new FakeClock() });
    const users = new Map([["alice", hashSync("secret", 4).replace(/^\$2b/, `$${kind}`)]]);
    expect(await all.check("alice", "wrong", users)).toBe(false);
    expect(await all.check("alice", "secret", users)).toBe(true);
  });

  test("leaves this thread to others meanwhile", async () => {
    const all = new Passwords({ clock: new FakeClock() });
    const users = new Map([["alice", `$2y$12$${"a".repeat(53)}`]]);
    let turns = 0;
    const counting = setInterval(() => turns++, 5);
    expect(await all.check("alice", "secret", users)).toBe(false);
    clearInterval(counting);
    expect(turns).toBeGreaterThan(10);
  });
});
