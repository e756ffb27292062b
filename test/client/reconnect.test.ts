import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { backoffMs, Displacement } from "../../src/client/attempts.ts";
import { type ProcessUser, SocketDirectory } from "../../src/client/endpoint.ts";
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

  test("counts for as long as the fleet remembers a silent VM, however long that is now", () => {
    let hours = 2;
    const budget = new SampleBudget(10 * 1024, () => hours * 60 * MINUTE);
    let admitted = 0;
    // names that never repeat, one a minute
    for (let minute = 0; minute < 4 * 60; minute++)
      if (budget.admit(`vm-${minute}`, 300, minute * MINUTE)) admitted++;
    expect(admitted).toBe(10);
    hours = 0.1;
    for (let minute = 240; minute < 300; minute++)
      if (budget.admit(`vm-${minute}`, 300, minute * MINUTE)) admitted++;
    expect(admitted).toBeGreaterThan(40);
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
  const stranger = { name: "metrics", uid: 4_000_001, gids: [4_000_002] };

  test.each([
    ["ENOENT", "/x/stat.sock does not exist (yet)"],
    ["ECONNREFUSED", "nobody listens on /x/stat.sock"],
    ["EMFILE", "/x/stat.sock: EMFILE"],
  ])("%s says what it means", (code, expected) => {
    expect(new SocketDirectory({ socketDir: "/x", os: "linux" }).describe("stat", code)).toContain(expected);
  });

  describe("for its owner, group and mode says what to do", () => {
    const dir = mkdtempSync(join(tmpdir(), "albatross-access-"));
    const socket = join(dir, "stat.sock");
    writeFileSync(socket, "");
    chmodSync(dir, 0o755);
    const { uid, gid } = statSync(dir);
    afterAll(() => rmSync(dir, { recursive: true }));

    /** What is said after "may not be opened: ", of a directory and a socket with these modes. */
    function advice(
      dirMode: number,
      socketMode: number,
      user: ProcessUser,
      os: "linux" | "freebsd" = "linux",
    ) {
      chmodSync(socket, socketMode);
      chmodSync(dir, dirMode);
      const text = new SocketDirectory({ socketDir: dir, os }, () => user).describe("stat", "EACCES");
      chmodSync(dir, 0o755);
      const [said, rest] = text.split(" may not be opened: ");
      expect(said).toBe(socket);
      return rest;
    }

    test("who is not in the group of a directory that lets its group in joins that group", () => {
      const text = advice(0o750, 0o660, stranger);
      expect(text).toContain(`${dir} (${userInfo().username}:`);
      expect(text).toMatch(
        /:(\S+), mode 0750\) keeps out metrics with the groups 4000002: usermod -aG \1 metrics, then restart the exporter$/,
      );
    });

    test("with FreeBSD's command there", () => {
      expect(advice(0o750, 0o660, stranger, "freebsd")).toMatch(/: pw groupmod \S+ -m metrics, then/);
    });

    test("who passes the directory is told of the socket", () => {
      expect(advice(0o755, 0o660, stranger)).toMatch(
        /^\S+stat\.sock \(.*, mode 0660\) keeps out .*: usermod/,
      );
    });

    test("who is in hundreds of groups is told of the first", () => {
      const gids = Array.from({ length: 500 }, (_, i) => 4_000_100 + i);
      const text = advice(0o750, 0o660, { ...stranger, gids });
      expect(text).toContain("the groups 4000100, 4000101,");
      expect(text).toContain("4000115, ...: usermod");
    });

    test("who is in the group already, or whom it would not help, is told to let the group in", () => {
      expect(advice(0o755, 0o600, { ...stranger, gids: [gid] })).toMatch(/: chmod g\+w \S+stat\.sock$/);
      expect(advice(0o700, 0o666, stranger)).toMatch(/: chmod g\+x \S+ and usermod -aG \S+ metrics, then/);
    });

    test("its owner is told to let the owner in", () => {
      expect(advice(0o755, 0o066, { ...stranger, uid })).toMatch(
        uid === 0 ? /^owners and modes/ : /chmod u\+w/,
      );
    });

    test("whom owner and modes let in is told of what else keeps people out", () => {
      expect(advice(0o755, 0o666, stranger)).toContain("let metrics in, so an ACL, SELinux, AppArmor");
      expect(advice(0o700, 0o600, { name: "root", uid: 0, gids: [0] })).toContain("let root in, so");
    });
  });
});
