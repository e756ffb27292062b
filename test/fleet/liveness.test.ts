import { describe, expect, test } from "vitest";
import { TestFleet } from "./testFleet.ts";

const listed = { ":web": {} };

describe("a VM that falls silent", () => {
  test("is fresh below stale_after, missing from there to death_timeout, then gone", () => {
    const fleet = new TestFleet().sample(":web", 0).at(10).sample(":web", 1);
    const states = [44.999, 45, 909.999, 910].map((s) => fleet.at(s).state(":web"));
    expect(states).toEqual(["fresh", "missing", "missing", "gone"]);
  });

  test("is not served once it is missing, but its group counts it", () => {
    const fleet = new TestFleet().sample(":web", 0).at(35);
    expect(fleet.served()).toEqual([]);
    expect(fleet.group("web").members.map(({ state }) => state)).toEqual(["missing"]);
  });

  test("is warming, and served, while it has no gauge yet", () => {
    const fleet = new TestFleet().sample(":web", 0);
    expect(fleet.state(":web")).toBe("warming");
    expect(fleet.served()).toEqual([":web"]);
  });

  test("is silent after death_timeout as long as info still lists it", () => {
    const fleet = new TestFleet().sample(":web", 0);
    for (let s = 30; s <= 1800; s += 30) fleet.at(s).info(listed);
    expect(fleet.state(":web")).toBe("silent");
    expect(fleet.served()).toEqual([]);
    expect(fleet.group("web")).toMatchObject({ orphaned: false, usagePercent: null });
  });

  test("is gone at once when info no longer lists it and death_timeout is over", () => {
    const fleet = new TestFleet().sample(":web", 0);
    for (let s = 30; s <= 930; s += 30) fleet.at(s).info(listed);
    expect(fleet.at(960).info({}).state(":web")).toBe("gone");
  });

  test("is gone when info has listed it but has not answered for death_timeout either", () => {
    const fleet = new TestFleet().sample(":web", 0).at(600).info(listed);
    const states = [900, 1499, 1500].map((s) => fleet.at(s).state(":web"));
    expect(states).toEqual(["silent", "silent", "gone"]);
  });

  test("is silent for a quarter of an hour after the last info, though death_timeout is shorter", () => {
    const fleet = new TestFleet({ deathTimeoutS: 20 }).sample(":web", 0).at(10).info(listed);
    const states = [19, 20, 909, 910].map((s) => fleet.at(s).state(":web"));
    expect(states).toEqual(["warming", "silent", "silent", "gone"]);
  });

  test("takes up where it was when it is heard again before it is gone", () => {
    const fleet = new TestFleet().sample(":web", 0).at(800).sample(":web", 80);
    expect(fleet.vm(":web")).toMatchObject({ usagePercent: 10, firstSeenUs: 0 });
  });

  test("is served for as long as the interval that is known by now says, not the one at its last sample", () => {
    const fleet = new TestFleet().sample(":before", 0);
    fleet.intervalUs = 1e6;
    fleet.at(3).sample(":after", 0);
    const servedAt = (seconds: number) =>
      fleet
        .at(seconds)
        .fleet.snapshot({ staleAfterUs: (_, intervalUs) => 3.5 * intervalUs })
        .served.map(({ vm }) => vm);
    expect([servedAt(3.4), servedAt(3.6)]).toEqual([["after", "before"], ["after"]]);
  });
});

describe("a VM that info leaves out", () => {
  test("is gone after two infos in a row, both asked for after its last sample", () => {
    const fleet = new TestFleet().info(listed).sample(":web", 0).at(30).info({});
    expect(fleet.vm(":web")).toMatchObject({ listed: false, missedInfos: 1 });
    expect(fleet.at(60).info({}).state(":web")).toBe("gone");
  });

  test("is not gone when one of them was asked for before its last sample arrived", () => {
    const fleet = new TestFleet().info(listed).at(20).sample(":web", 0).at(21).info({}, 19).at(51).info({});
    expect(fleet.vm(":web").missedInfos).toBe(1);
    expect(fleet.at(81).info({}).state(":web")).toBe("gone");
  });

  test("is not gone when a sample or a listing comes between them", () => {
    const fleet = new TestFleet().info(listed).sample(":web", 0).at(30).info({}).at(40).sample(":web", 1);
    expect(fleet.at(60).info({}).vm(":web").missedInfos).toBe(1);
    fleet.at(90).info(listed).at(120).info({});
    expect(fleet.vm(":web").missedInfos).toBe(1);
  });

  test("is not gone while it goes on being heard", () => {
    const fleet = new TestFleet().info({});
    for (let s = 10; s <= 300; s += 10) fleet.at(s).sample(":web", s).info({});
    expect(fleet.vm(":web")).toMatchObject({ usagePercent: 100, missedInfos: 0 });
  });

  test("of another host is not concerned", () => {
    const fleet = new TestFleet().sample(":web", 0, {}, "other").at(30).info({}).at(60).info({});
    expect(fleet.snapshot().vms.map(({ host }) => host)).toEqual(["other"]);
  });
});

describe("a gone VM that is heard again", () => {
  const restartedThenSilent = () =>
    new TestFleet({ deathTimeoutS: 100 }).sample(":web", 9).at(10).sample(":web", 1).at(20).sample(":web", 2);

  test("is a new VM, first seen anew, with the restart count it had", () => {
    const fleet = restartedThenSilent().at(130).sample(":web", 50);
    expect(fleet.vm(":web")).toMatchObject({
      firstSeenUs: 130e6,
      restarts: 1,
      usagePercent: null,
      rateStart: { cpuUs: 50e6, arrivalUs: 130e6 },
    });
  });

  test("is not restarted by being new, whatever its counters", () => {
    expect(restartedThenSilent().at(130).sample(":web", 0).vm(":web").restarts).toBe(1);
  });

  test("is remembered for death_timeout after it was gone, to the microsecond, looked at or not", () => {
    expect(restartedThenSilent().at(219.999).sample(":web", 0).vm(":web").restarts).toBe(1);
    expect(restartedThenSilent().at(220).sample(":web", 0).vm(":web").restarts).toBe(0);
    const watched = restartedThenSilent();
    for (let s = 21; s < 219; s += 7) watched.at(s).snapshot();
    expect(watched.at(219.999).sample(":web", 0).vm(":web").restarts).toBe(1);
  });

  test("is remembered from the second info on that left it out", () => {
    const fleet = restartedThenSilent().at(30).info({}).at(60).info({}).at(159).sample(":web", 0);
    expect(fleet.vm(":web").restarts).toBe(1);
  });

  test("is remembered from the moment on that info dropped it, when only info held it", () => {
    const fleet = restartedThenSilent();
    for (let s = 30; s <= 300; s += 30) fleet.at(s).info(listed);
    fleet.at(330).info({}).at(400).sample(":web", 0);
    expect(fleet.vm(":web").restarts).toBe(1);
  });

  test("does not take the info of a vmmd that stopped answering long ago", () => {
    const fleet = new TestFleet({ deathTimeoutS: 100 }).info({ ":web": { numcpus: 4 } }).sample(":web", 0);
    expect(fleet.at(1000).sample(":web", 0).vm(":web")).toMatchObject({ info: null, listed: false });
  });
});

describe("nothing leaks", () => {
  test("VMs that are gone are let go without anybody reading the fleet", () => {
    const fleet = new TestFleet({ deathTimeoutS: 100 });
    for (let s = 0; s < 2000; s++) fleet.at(s).sample(`:vm${s}`, 0);
    expect(fleet.fleet.sizes.vms).toBeLessThanOrEqual(115);
    expect(fleet.fleet.sizes.departed).toBeLessThanOrEqual(130);
  });

  test("what is remembered of them goes as well", () => {
    const fleet = new TestFleet({ deathTimeoutS: 100 });
    for (let i = 0; i < 50; i++) fleet.sample(`:vm${i}`, 0);
    for (let s = 0; s <= 250; s += 10) fleet.at(s).snapshot();
    expect(fleet.fleet.sizes).toEqual({ vms: 0, departed: 0, unheard: 0 });
  });

  test("no timer waits", () => {
    expect(new TestFleet().sample(":web", 0).info(listed).clock.pendingTimers).toBe(0);
  });

  test("a host that is no target any more leaves nothing", () => {
    const fleet = new TestFleet().sample(":web", 0);
    fleet.fleet.removeHost("h");
    expect(fleet.snapshot()).toMatchObject({ hosts: [], vms: [], served: [] });
    expect(fleet.fleet.sizes).toEqual({ vms: 0, departed: 0, unheard: 0 });
  });

  test("a shorter death_timeout holds for the VMs that are there", () => {
    const fleet = new TestFleet().sample(":web", 0).at(200);
    fleet.fleet.setDeathTimeout(100_000);
    expect(fleet.state(":web")).toBe("gone");
  });
});

describe("a host", () => {
  test("that is not live serves neither VMs nor groups, but they are known", () => {
    const fleet = new TestFleet().sample(":web", 0).sample(":db", 0, {}, "other");
    fleet.fleet.setLive("h", false);
    const snapshot = fleet.snapshot();
    expect(snapshot.served.map(({ host }) => host)).toEqual(["other"]);
    expect(snapshot.servedGroups().map(({ host }) => host)).toEqual(["other"]);
    expect(snapshot.vms.map(({ host }) => host)).toEqual(["h", "other"]);
    expect(snapshot.groups().map(({ host }) => host)).toEqual(["h", "other"]);
    fleet.fleet.setLive("h", true);
    expect(fleet.snapshot().servedGroups()).toHaveLength(2);
  });

  const implausible = { usage: 0, decrease: 0 };

  test("is live from its first sample on, unless it was said not to be", () => {
    const fleet = new TestFleet();
    fleet.fleet.setLive("h", false);
    fleet.sample(":web", 0).sample(":web", 0, {}, "other");
    expect(fleet.fleet.hosts()).toEqual([
      { host: "h", live: false, infoAskedUs: null, vanished: 0, implausible },
      { host: "other", live: true, infoAskedUs: null, vanished: 0, implausible },
    ]);
  });

  test("tells when the last info was asked for that its vmmd answered", () => {
    expect(new TestFleet().info({}).fleet.hosts()).toMatchObject([{ host: "h", infoAskedUs: 0 }]);
  });
});

describe("VMs that vanish", () => {
  const vanished = (fleet: TestFleet) => fleet.fleet.hosts().map((host) => host.vanished);

  test("are those that info listed and then left out twice in a row, heard or not, once each", () => {
    const fleet = new TestFleet().sample("user:web", 0).info({ "user:web": {}, "user:db": {}, ":hello": {} });
    fleet.at(30).info({ ":hello": {} });
    expect(vanished(fleet)).toEqual([0]);
    expect(vanished(fleet.at(60).info({ ":hello": {} }))).toEqual([2]);
    expect(vanished(fleet.at(90).info({ ":hello": {} }))).toEqual([2]);
    expect(vanished(fleet.at(120).info({}).at(150).info({}))).toEqual([3]);
  });

  test("are none that are back in the next info, such as after a restart", () => {
    const fleet = new TestFleet().info({ ":web": {} }).at(30).info({}).at(60).info({ ":web": {} });
    expect(vanished(fleet.at(90).info({ ":web": {} }))).toEqual([0]);
  });

  test("are none that the scaler decided to remove when they went", () => {
    const fleet = new TestFleet().info({ ":web-clone-1": {}, ":web-clone-2": {} }).at(30);
    fleet.givenUp.add(":web-clone-2");
    fleet.info({});
    fleet.givenUp.clear();
    expect(vanished(fleet.at(60).info({}))).toEqual([1]);
  });

  test("are none that were heard and never listed", () => {
    const fleet = new TestFleet().sample(":web", 0).info({}).at(30).info({}).at(60).info({});
    expect(vanished(fleet)).toEqual([0]);
  });
});

describe("policies", () => {
  test("tell what the listed VMs use of them, those of paths below too, heard or not", () => {
    const memory = 32;
    const fleet = new TestFleet()
      .sample(":web", 0)
      .policies({ ":": {}, "user:": {}, "user:sub:": {}, "us:": {} });
    expect(fleet.snapshot().policies.map(({ used }) => used)).toEqual([null, null, null, null]);
    fleet.info({ ":web": { memory }, "user:web": { memory }, "user:sub:web": { memory: 2 * memory } });
    const used = () =>
      fleet.snapshot().policies.map(({ path, used }) => [path, used?.unikernels, used?.memoryBytes]);
    expect(used()).toEqual([
      ["", 3, 4 * 2 ** 25],
      ["us", 0, 0],
      ["user", 2, 3 * 2 ** 25],
      ["user:sub", 1, 2 * 2 ** 25],
    ]);
    fleet.at(30).info({ ":web": { memory } });
    expect(used()[0]).toEqual(["", 1, 2 ** 25]);
  });

  test("are those of the last answer, by path, of live hosts", () => {
    const fleet = new TestFleet().sample(":web", 0).policies({ "x:": {} });
    fleet.policies({ "user:": { unikernels: 3 }, ":": { unikernels: 2n ** 62n - 1n } });
    fleet.policies({ ":": {} }, "down");
    expect(fleet.snapshot().policies.map(({ path, unikernels }) => [path, unikernels])).toEqual([
      ["", null],
      ["user", 3],
    ]);
  });

  test("are dropped when vmmd has not repeated them for death_timeout", () => {
    const fleet = new TestFleet({ deathTimeoutS: 100 }).sample(":web", 0).policies({ ":": {} }).at(99.999);
    expect(fleet.snapshot().policies).toHaveLength(1);
    expect(fleet.at(100).snapshot().policies).toHaveLength(0);
  });
});
