import { describe, expect, test } from "vitest";
import { cloneDefaults } from "../../src/config/clone.ts";
import { parseRecord } from "../../src/scaler/actions/record.ts";
import { UnreadableState } from "../../src/scaler/state/savedState.ts";
import type { Fault } from "../../src/simulator/faults.ts";
import type { Scenario } from "../../src/simulator/model.ts";
import { render, seriesOf } from "../exporter/records.ts";
import { vm } from "../simulator/support.ts";
import { acting, Machine, type PolicyKeys, Program } from "./acting.ts";

const web = (percent: number) =>
  vm("user:web", { percent, shareLoadWithClones: true, imageBytes: 10_000, arguments: ["--secret=x"] });

/** A machine with one host on which `user:web` has this much to do, and the program on it. */
async function running(percent = 150, keys: PolicyKeys = {}, scenario: Partial<Scenario> = {}) {
  const machine = new Machine();
  await machine.addHost("h", { vms: [web(percent)], ...scenario });
  const program = new Program(machine, acting(keys)).start();
  return { machine, program };
}

/** The same once it has one clone, verified, and is idle from now on. */
async function idle(keys: PolicyKeys = {}) {
  const { machine, program } = await running(150, keys);
  await program.until("a clone", () => program.told.includes("create web-clone-1 verified done"));
  machine.load("user:web", 5);
  return { machine, program };
}

describe("a group that acts", () => {
  test("grows when it is overloaded, shares its load, shrinks when it is idle, and says so", async () => {
    const { machine, program } = await running();
    await program.until("a clone", () => program.told.includes("create web-clone-1 verified done"));
    expect(machine.commands()).toEqual(["create user:web-clone-1"]);
    await program.until("a shared load", () => (program.group()?.average_percent ?? 100) < 80);
    machine.load("user:web", 10);
    await program.until("the clone's end", () => program.told.includes("destroy web-clone-1 verified done"));
    expect(machine.commands()).toEqual(["create user:web-clone-1", "destroy user:web-clone-1"]);
    expect(machine.host().host.vmNames).toEqual(["user:web"]);
    const lines = machine.lines.filter(({ id }) => id !== undefined);
    expect(lines).toMatchObject([
      { operation: "create", clone: "web-clone-1", decision: "scale_up", outcome: "verified" },
      { operation: "destroy", clone: "web-clone-1", decision: "scale_down", outcome: "verified" },
    ]);
    expect(lines.map(({ id }) => id)).toEqual(program.actions.map(({ id }) => id));
    expect(JSON.stringify([machine.lines, machine.events, machine.record, machine.state])).not.toContain(
      "secret",
    );
    await program.stop();
  });

  test("is held while an action is open, and cools down from when it was verified", async () => {
    const { machine, program } = await running();
    const reasons: string[] = [];
    await machine.fault({ type: "vmmd_slow", command: "create", everyMs: 15_000 });
    await program.until("a clone", () => program.told.includes("create web-clone-1 verified done"));
    const verified = Date.parse(program.actions[0]?.time ?? "");
    await program.until("the cooldown", () => program.group()?.reason === "cooldown");
    expect(Date.parse(program.group()?.last_action ?? "")).toBeGreaterThanOrEqual(verified - 1_000);
    for (const { reason } of program.scaler.decisions({ limit: 100 })) reasons.push(reason);
    expect(reasons).toContain("acting");
    expect(program.group()).toMatchObject({ made_here: [1], outstanding: null, mode: "execute" });
    await program.stop();
  });

  test("acts on two hosts at once, one request at a time on each", async () => {
    const machine = new Machine();
    for (const host of ["a", "b"]) {
      const vms = ["user:web", "user:api"].map((name) =>
        vm(name, { percent: 150, shareLoadWithClones: true }),
      );
      await machine.addHost(host, { vms });
    }
    const program = new Program(machine, acting({}, { maxScaleUpsPerTick: 5 })).start();
    await program.until("four clones", () => program.told.filter((one) => /verified/.test(one)).length === 4);
    for (const host of ["a", "b"]) {
      expect(machine.commands(host).sort()).toEqual(["create user:api-clone-1", "create user:web-clone-1"]);
    }
    expect(machine.mostAtOnce).toBe(1);
    await program.stop();
  });

  test("creates the clone of one group before it plans that of the next, whose image is there then", async () => {
    const machine = new Machine();
    const vms = ["user:web", "user:api"].map((name) => vm(name, { percent: 150, image: "web" }));
    const { requests } = await machine.addHost("h", { vms });
    const program = new Program(machine, acting({ maxClones: 1 }, { maxScaleUpsPerTick: 2 })).start();
    await program.until("two clones", () => program.told.filter((one) => /verified/.test(one)).length === 2);
    const asked = requests.map(({ command, name }) => `${command} ${name}`);
    const [first = "", second = ""] = machine.commands();
    const primaryOf = (create: string) => create.replace("create ", "info ").replace("-clone-1", "");
    expect(asked.indexOf(first)).toBeLessThan(asked.indexOf(primaryOf(second)));
    expect(asked.filter((one) => one.startsWith("get "))).toHaveLength(1);
    await program.stop();
  });

  test("creates several clones one after the other, and stops at the first that does not come", async () => {
    const keys = { scaleUpMaxStep: 3, targetPercent: 50 };
    const { machine, program } = await running(190, keys, {});
    program.reconfigure(acting(keys, { maxScaleUpsPerTick: 3 }));
    await machine.fault({
      type: "vmmd_fail",
      command: "create",
      vm: "user:web-clone-3",
      text: "maximum amount of unikernels (3) reached",
    });
    await program.until("the third", () => program.told.some((one) => one.includes("web-clone-3 failed")));
    expect(program.told).toEqual([
      "create web-clone-1 verified done",
      "create web-clone-2 verified done",
      "create web-clone-3 failed quota",
    ]);
    await program.until("the backoff", () => program.group()?.reason === "backoff");
    await program.stop();
  });
});

describe("the metrics of actions", () => {
  const seriesNow = async ({ scaler }: Program, name: string) =>
    seriesOf(await render(await scaler.families()), `albatross_scaler_action${name}`);

  test("stand at 0 in a group that acts, say what is under way, and count its end with its time", async () => {
    const { machine, program } = await running();
    await machine.fault({ type: "vmmd_slow", command: "create", everyMs: 15_000 });
    await program.until("a member", () => program.group() !== null);
    const before = await seriesNow(program, "s_total");
    expect(before.length).toBeGreaterThan(20);
    expect(before.every((line) => line.endsWith(" 0"))).toBe(true);
    await program.until("a create", () => machine.commands().length === 1);
    const labels = 'host="h",path="user",group="web",operation="create"';
    expect(await seriesNow(program, "_in_progress")).toEqual([
      `albatross_scaler_action_in_progress{${labels},phase="sent"} 1`,
    ]);
    await program.tells("create web-clone-1 verified done");
    expect(await seriesNow(program, "_in_progress")).toEqual([]);
    const counted = (await seriesNow(program, "s_total")).filter((line) => !line.endsWith(" 0"));
    expect(counted).toEqual([`albatross_scaler_actions_total{${labels},outcome="verified",reason="done"} 1`]);
    const took = await seriesNow(program, "_duration_seconds_count");
    expect(took).toEqual([
      'albatross_scaler_action_duration_seconds_count{operation="create"} 1',
      'albatross_scaler_action_duration_seconds_count{operation="destroy"} 0',
    ]);
    await program.stop();
  });

  test("are none in dry run", async () => {
    const { program } = await running(150, { mode: "dry_run" });
    await program.until("a decision", () => (program.group()?.outstanding ?? null) !== null);
    expect(await seriesNow(program, "s_total")).toEqual([]);
    await program.stop();
  });
});

describe("VMs that vanish", () => {
  const vanished = (program: Program) => program.fleet.hosts().map((host) => host.vanished);

  test("are none that were destroyed here", async () => {
    const { machine, program } = await idle();
    await program.tells("destroy web-clone-1 verified done");
    await machine.pass(120);
    expect(vanished(program)).toEqual([0]);
    await program.stop();
  });

  test("are none that somebody destroyed because a dry run had asked for it, long ago", async () => {
    const { machine, program } = await idle();
    program.reconfigure(acting({ mode: "dry_run" }));
    await program.until("what is to go", () => program.group()?.outstanding?.decision === "scale_down");
    await machine.pass(1_000);
    machine.host().host.removeVm("user:web-clone-1");
    await machine.pass(120);
    expect(vanished(program)).toEqual([0]);
    await program.stop();
  });

  test("are those that somebody else destroyed", async () => {
    const { machine, program } = await idle({ minClones: 1 });
    machine.host().host.removeVm("user:web-clone-1");
    await program.until("it to be counted", () => vanished(program)[0] === 1);
    await program.stop();
  });
});

describe("albatrossd's refusals of a create", () => {
  test.each([
    ["Unikernel with same name is already running", "exists"],
    ["maximum amount of unikernels (2) reached", "quota"],
    ["could not create unikernel: console failed", "console"],
    [`something new: ${"no ".repeat(100)}`, "other"],
  ])("%s: failed / %s, and the group backs off", async (text, reason) => {
    const { machine, program } = await running();
    await machine.fault({ type: "vmmd_fail", command: "create", text, times: 1 });
    await program.until("the end", () => program.told.length === 1 && !program.told[0]?.includes("planned"));
    await program.until("the outcome", () => program.actions[0]?.outcome === "failed");
    expect(program.told).toEqual([`create web-clone-1 failed ${reason}`]);
    expect(program.actions[0]?.text).toBe(text.slice(0, 200));
    await program.until("the backoff", () => program.group()?.reason === "backoff");
    await program.until("another try", () => program.told.length === 2, 200);
    await program.until("a clone", () => program.told[1] === "create web-clone-1 verified done");
    await program.stop();
  });
});

describe("what a host does to an action", () => {
  const faults: readonly (readonly [string, Fault[], string[]])[] = [
    [
      "a reply that is lost",
      [{ type: "vmmd_close", command: "create", carriedOut: true, times: 1 }],
      ["create web-clone-1 verified done"],
    ],
    [
      "no reply within 30 s to what was done",
      [{ type: "vmmd_no_reply", command: "create", carriedOut: true, times: 1 }],
      ["create web-clone-1 verified done"],
    ],
    [
      "a reply that is none",
      [{ type: "vmmd_garbage", command: "create", carriedOut: true, times: 1 }],
      ["create web-clone-1 verified done"],
    ],
    [
      "a death after it was done",
      [{ type: "vmmd_die", command: "create", when: "carried_out", times: 1 }],
      ["create web-clone-1 verified done"],
    ],
    [
      "a close before it is done",
      [{ type: "vmmd_close", command: "create", times: 1 }],
      ["create web-clone-1 lost no_reply", "create web-clone-1 verified done"],
    ],
    [
      "no reply, and nothing done",
      [{ type: "vmmd_no_reply", command: "create", times: 1 }],
      ["create web-clone-1 lost timeout", "create web-clone-1 verified done"],
    ],
    [
      "a death before it is done",
      [{ type: "vmmd_die", command: "create", when: "received", times: 1 }],
      ["create web-clone-1 lost no_reply", "create web-clone-1 verified done"],
    ],
    [
      "a clone that exits at once",
      [{ type: "vmmd_exit", command: "create", times: 1 }],
      ["create web-clone-1 failed no_sample", "create web-clone-1 verified done"],
    ],
    [
      "a get that fails",
      [{ type: "vmmd_fail", command: "get", text: "get: no unikernel found", times: 1 }],
      ["create web-clone-1 failed not_found", "create web-clone-1 verified done"],
    ],
    [
      "a get that breaks off",
      [{ type: "vmmd_close", command: "get", times: 1 }],
      ["create web-clone-1 failed unreachable", "create web-clone-1 verified done"],
    ],
    [
      "policies that it does not tell",
      [{ type: "vmmd_fail", command: "policy_info", text: "no", times: 40 }],
      ["create web-clone-1 failed other"],
    ],
  ];
  test.each(faults)("%s", async (_, laid, told) => {
    const { machine, program } = await running();
    for (const fault of laid) await machine.fault(fault);
    await program.until(
      "the outcomes",
      () => program.told.length >= told.length && program.actions.every(({ outcome }) => outcome !== null),
      500,
    );
    expect(program.told).toEqual(told);
    // every action has one request at most
    expect(machine.commands().length).toBeLessThanOrEqual(told.length);
    await program.stop();
  });

  test("no albatrossd: failed / unreachable, nothing sent, and each time in a row it waits longer", async () => {
    const { machine, program } = await running();
    const end = await machine.fault({ type: "vmmd_gone" });
    await program.until("three failures", () => program.told.length === 3, 800);
    const times = program.actions.map(({ decision_time }) => Date.parse(decision_time ?? "") / 1000);
    expect(program.told).toEqual(Array(3).fill("create web-clone-1 failed unreachable"));
    expect((times[2] ?? 0) - (times[1] ?? 0)).toBeGreaterThan((times[1] ?? 0) - (times[0] ?? 0) + 50);
    expect(machine.commands()).toEqual([]);
    await end();
    // a reload ends the backoff
    program.reconfigure(acting());
    await program.until("a clone", () => program.told.includes("create web-clone-1 verified done"), 60);
    await program.stop();
  });

  test("a destroy that is never answered is lost, and other groups of the host go on", async () => {
    const machine = new Machine();
    await machine.addHost("h", {
      vms: [web(150), vm("user:api", { percent: 20, shareLoadWithClones: true })],
    });
    const program = new Program(machine, acting()).start();
    await program.until("a clone", () => program.told.includes("create web-clone-1 verified done"));
    await machine.fault({ type: "vmmd_ignore_term", vm: "user:web-clone-1" });
    machine.load("user:web", 5);
    await program.until("a destroy", () => machine.commands().includes("destroy user:web-clone-1"));
    machine.load("user:api", 150);
    await program.until("another group's clone", () =>
      program.told.includes("create api-clone-1 verified done"),
    );
    await program.until("the loss", () => program.told.includes("destroy web-clone-1 lost timeout"));
    expect(machine.commands().filter((one) => one === "destroy user:web-clone-1")).toHaveLength(1);
    await program.stop();
  });
});

describe("the files", () => {
  test.each(["state", "record"] as const)(
    "the %s that cannot be written keeps all from being sent",
    async (file) => {
      const { machine, program } = await running();
      machine.isReadOnly[file] = true;
      await program.until("a failure", () => program.told.includes("create web-clone-1 failed record"));
      expect(machine.commands()).toEqual([]);
      await program.until("the backoff", () => program.group()?.reason === "backoff");
      machine.isReadOnly[file] = false;
      await program.until("a clone", () => program.told.includes("create web-clone-1 verified done"));
      await program.stop();
    },
  );

  test("a kept image that was cut is fetched again, not sent", async () => {
    const { machine, program } = await idle();
    await program.until("its end", () => program.told.includes("destroy web-clone-1 verified done"));
    await machine.cutImages(40);
    machine.load("user:web", 150);
    await program.until(
      "another",
      () => program.told.length === 3 && program.told[2]?.includes("verified") === true,
    );
    expect(machine.host().requests.filter(({ command }) => command === "get")).toHaveLength(2);
    await program.stop();
  });

  test("an image beyond the limit is not fetched", async () => {
    const clone = { ...cloneDefaults, arguments: [], maxImageBytes: 5_000 };
    const { machine, program } = await running(150, { clone });
    await program.until("a failure", () => program.told.includes("create web-clone-1 failed image"));
    expect(machine.commands()).toEqual([]);
    await program.stop();
  });
});

describe("a plan that is refused", () => {
  test("for want of arguments in the policy", async () => {
    const { machine, program } = await running(150, { clone: cloneDefaults });
    await program.until("the refusal", () =>
      program.told.includes("create web-clone-1 refused not_cloneable"),
    );
    expect(machine.commands()).toEqual([]);
    expect(program.actions[0]?.text).toMatch(/clone.arguments/);
    await program.until("the backoff", () => program.group()?.reason === "backoff");
    await program.stop();
  });
});

describe("people beside the program", () => {
  test("who replace the primary between get and create have nothing cloned but what runs then", async () => {
    const { machine, program } = await running();
    let gets = 0;
    machine.onDial = (command) => {
      if (command.startsWith("get ")) gets += 1;
      if (command !== "info user:web" || gets !== 1) return;
      gets += 1;
      machine.replace("user:web", "v2");
    };
    await program.tells("create web-clone-1 refused changed", "create web-clone-1 verified done");
    expect(machine.commands()).toEqual(["create user:web-clone-1"]);
    const [clone] = machine.host().requests.filter(({ command }) => command === "create");
    const primary = machine.host().requests.findLast(({ name }) => name === "user:web");
    expect(clone?.digest).toBe(primary?.digest);
    await program.stop();
  });

  test("who create the clone's name first have it: the create is not sent, or said to exist", async () => {
    const { machine, program } = await running();
    machine.onDial = (command) => {
      if (command === "get user:web") machine.replace("user:web-clone-1", "other");
    };
    // where the machine is slow the rules see the clone before the look does
    const ends = /^create web-clone-1 (refused exists|abandoned overtaken)$/;
    await program.until("its end", () => ends.test(program.told[0] ?? ""));
    expect(machine.commands()).toEqual([]);
    await program.stop();
  });

  test("who make the victim anew keep it: it is another", async () => {
    const clone = {
      ...cloneDefaults,
      arguments: [],
      beforeDestroy: { url: "http://x/", timeoutMs: 1_000, waitMs: 20_000 },
    };
    const { machine, program } = await idle({ clone });
    await program.until("the hook", () => machine.hooks.includes("before_destroy web-clone-1"));
    machine.replace("user:web-clone-1", "user:web", 5);
    await program.tells("destroy web-clone-1 refused changed");
    expect(machine.commands()).toEqual(["create user:web-clone-1"]);
    await program.until("the hook", () => machine.hooks.includes("kept web-clone-1"));
    await program.stop();
  });

  test("who destroy the victim first have done it: nothing is sent", async () => {
    const { machine, program } = await idle();
    machine.onDial = (command) => {
      if (command === "info user:web-clone-1") machine.host().host.removeVm("user:web-clone-1");
      machine.onDial = () => undefined;
    };
    await program.tells("destroy web-clone-1 verified already_gone");
    expect(machine.commands()).toEqual(["create user:web-clone-1"]);
    await program.stop();
  });

  test("a victim that crashes every few seconds can be lost", async () => {
    const { machine, program } = await idle();
    const crash = () => {
      if (machine.host().host.vmNames.includes("user:web-clone-1"))
        machine.host().host.crashVm("user:web-clone-1");
      machine.clock.after(3_000, crash);
    };
    crash();
    program.reconfigure(acting({ maxClones: 0 }));
    await program.tells("destroy web-clone-1 verified done");
    await program.stop();
  });
});

describe("hooks", () => {
  const hook = { url: "http://balancer/", timeoutMs: 1_000, waitMs: 15_000 };
  const clone = { ...cloneDefaults, arguments: [], afterCreate: hook, beforeDestroy: hook };

  test("are told of a clone that serves and, before it goes, of its end, and waited for", async () => {
    const { machine, program } = await idle({ clone });
    expect(machine.hooks).toEqual(["after_create web-clone-1"]);
    await program.until("the hook", () => machine.hooks.length === 2);
    expect(machine.commands()).toEqual(["create user:web-clone-1"]);
    await machine.pass(10);
    expect(machine.commands()).toEqual(["create user:web-clone-1"]);
    await program.tells("destroy web-clone-1 verified done");
    expect(machine.hooks).toEqual(["after_create web-clone-1", "before_destroy web-clone-1"]);
    await program.stop();
  });

  test("that say no keep the clone, and are told so", async () => {
    const { machine, program } = await idle({ clone });
    machine.hookAnswer = "it answers with status 503";
    await program.tells("destroy web-clone-1 failed hook");
    expect(machine.commands()).toEqual(["create user:web-clone-1"]);
    await program.until("kept", () => machine.hooks.at(-1) === "kept web-clone-1");
    expect(program.actions.at(-1)?.text).toBe("it answers with status 503");
    await program.stop();
  });

  test("that do not hear of a new clone leave it, and the action tells", async () => {
    const { machine, program } = await running(150, { clone });
    machine.hookAnswer = "no answer";
    await program.tells("create web-clone-1 verified done");
    expect(program.actions[0]?.text).toBe("no answer");
    await program.stop();
  });
});

describe("a clone in its warm-up", () => {
  test("that is gone at its end counts as a failure, too", async () => {
    const { machine, program } = await running(150, { warmupPeriodMs: 30_000 });
    await program.tells("create web-clone-1 verified done");
    machine.host().host.removeVm("user:web-clone-1");
    await program.tells("create web-clone-1 failed gone");
    expect(program.group()?.text).toBeTruthy();
    await program.until("another", () => program.told[1] === "create web-clone-1 verified done");
    await program.stop();
  });

  const restarted = async (inBetween: (machine: Machine) => void) => {
    const keys = { warmupPeriodMs: 120_000, cooldownPeriodMs: 300_000 };
    const { machine, program } = await running(150, keys);
    await program.tells("create web-clone-1 verified done");
    // long enough for the state to be saved
    await machine.pass(30);
    await program.stop();
    inBetween(machine);
    return { machine, program: new Program(machine, acting(keys)).start() };
  };

  test("fails, too, when the program is restarted before it is over", async () => {
    const { program } = await restarted((machine) => machine.host().host.removeVm("user:web-clone-1"));
    await program.tells("create web-clone-1 failed gone");
    await program.holds("backoff");
    await program.stop();
  });

  test("fails at its end: another waits from then on, and a restart does not count it twice", async () => {
    const keys = { warmupPeriodMs: 55_000, cooldownPeriodMs: 60_000 };
    const { machine, program } = await running(150, keys);
    await program.tells("create web-clone-1 verified done");
    machine.host().host.removeVm("user:web-clone-1");
    await program.tells("create web-clone-1 failed gone");
    await machine.quiet();
    const { record } = machine;
    await machine.pass(50);
    expect(machine.commands()).toEqual(["create user:web-clone-1"]);
    await program.kill();
    const rows = () => [...(machine.state ?? "").matchAll(/"in_a_row":(\d+)/g)].map(([, count]) => count);
    expect(rows()).toEqual(["1"]);
    machine.record = record;
    const next = new Program(machine, acting(keys)).start();
    await machine.pass(5);
    await next.stop();
    expect(rows()).toEqual(["1"]);
  });

  test("fails when it has to be created anew, and each time in a row the next one waits longer", async () => {
    const { machine, program } = await running(150, { warmupPeriodMs: 240_000, cooldownPeriodMs: 60_000 });
    const { clock } = machine;
    const cameMs: number[] = [];
    while (cameMs.length < 5) {
      await program.until("another clone", () => program.actions.at(-1)?.outcome === "verified", 900);
      cameMs.push(clock.wallMs());
      machine.host().host.removeVm("user:web-clone-1");
      await program.until("its turn", () => program.actions.at(-1)?.phase !== "verified", 900);
    }
    const [, first = 0, , third = 0, fourth = 0] = cameMs.map((atMs, i) => atMs - (cameMs[i - 1] ?? atMs));
    expect(third).toBeGreaterThan(1.5 * first);
    expect(fourth).toBeGreaterThan(1.5 * third);
    await program.stop();
  });

  test("is on record until it is over", async () => {
    const { machine, program } = await restarted(() => undefined);
    const phases = () => parseRecord(machine.record ?? "").map(({ phase }) => phase);
    expect(phases()).toEqual(["verified"]);
    await program.until("the end of the warm-up", () => phases().length === 0, 150);
    expect(program.told).toEqual(["create web-clone-1 verified done"]);
    await program.stop();
  });

  test("does not fail where it is destroyed from here, a restart or not", async () => {
    const { machine, program } = await restarted((machine) => machine.load("user:web", 5));
    program.reconfigure(acting({ warmupPeriodMs: 0, cooldownPeriodMs: 1_000 }));
    await program.tells("destroy web-clone-1 verified done");
    await machine.pass(120);
    expect(program.told.filter((one) => one.includes("failed"))).toEqual([]);
    await program.stop();
  });
});

describe("what is switched while an action is open", () => {
  const waits = {
    ...cloneDefaults,
    arguments: [],
    beforeDestroy: { url: "http://x/", timeoutMs: 1_000, waitMs: 60_000 },
  };
  const switches: readonly (readonly [string, PolicyKeys, string])[] = [
    ["dry run", { mode: "dry_run" }, "dry_run"],
    ["a pause", { paused: true }, "paused"],
    ["enabled: false", { enabled: false }, "disabled"],
    ["no policy", { match: "other:*" }, "no_policy"],
  ];
  test.each(switches)(
    "%s drops what has not been sent, and the group is not stuck",
    async (_, keys, reason) => {
      const { machine, program } = await idle({ clone: waits });
      await program.until("the hook", () => machine.hooks.length > 0);
      program.reconfigure(acting({ clone: waits, ...keys }));
      await program.tells(`destroy web-clone-1 abandoned ${reason}`);
      expect(machine.commands()).toEqual(["create user:web-clone-1"]);
      expect(machine.hooks).toEqual(["before_destroy web-clone-1", "kept web-clone-1"]);
      await machine.pass(60);
      expect(program.group()).toMatchObject({ outstanding: reason === "dry_run" ? expect.anything() : null });
      program.reconfigure(acting());
      await program.tells("destroy web-clone-1 verified done");
      await program.stop();
    },
  );

  test("dry run leaves what has been sent to its outcome", async () => {
    const { machine, program } = await running();
    await machine.fault({ type: "vmmd_close", command: "create", carriedOut: true });
    await program.until("a create", () => machine.commands().length === 1);
    program.reconfigure(acting({ mode: "dry_run" }));
    await program.tells("create web-clone-1 verified done");
    await machine.pass(20);
    expect(program.group()).toMatchObject({ outstanding: null, made_here: [1] });
    await program.stop();
  });

  test("a target that goes ends its actions, once, and nothing of them is left on record", async () => {
    const { machine, program } = await idle({ clone: waits });
    await program.until("the hook", () => machine.hooks.length > 0);
    await program.removeTarget("h");
    await program.tells("destroy web-clone-1 abandoned target");
    await machine.pass(30);
    expect(machine.lines.filter(({ outcome }) => outcome === "abandoned")).toHaveLength(1);
    expect(machine.commands()).toEqual(["create user:web-clone-1"]);
    await program.stop();
  });

  test("statistics that stop drop it", async () => {
    const { machine, program } = await idle({ clone: waits });
    await program.until("the hook", () => machine.hooks.length > 0);
    await machine.fault({ type: "stat_gone" });
    await program.tells("destroy web-clone-1 abandoned no_data");
    await program.stop();
  });
});

describe("a policy that is switched to execute", () => {
  test("says once what it would do, drops the dry run's decision, and then acts", async () => {
    const machine = new Machine();
    await machine.addHost("h", { vms: [web(150)] });
    const program = new Program(machine, acting({ mode: "dry_run" })).start();
    await program.until(
      "a decision",
      () => program.group()?.outstanding !== null && program.group() !== null,
    );
    program.reconfigure(acting());
    expect(machine.commands()).toEqual([]);
    await program.tells("create web-clone-1 verified done");
    const modes = machine.lines.filter(({ decision, id }) => decision === "scale_up" && id === undefined);
    expect(modes.map(({ mode }) => mode)).toEqual(["dry_run", "execute"]);
    await program.stop();
  });
});

describe("a program that ends", () => {
  test("by SIGTERM drops what is planned, and says so", async () => {
    const clone = {
      ...cloneDefaults,
      arguments: [],
      beforeDestroy: { url: "http://x/", timeoutMs: 1_000, waitMs: 60_000 },
    };
    const { machine, program } = await idle({ clone });
    await program.until("the hook", () => machine.hooks.length > 0);
    await program.stop();
    expect(machine.lines.at(-1)).toMatchObject({ outcome: "abandoned", reason: "stopped" });
    expect(machine.hooks).toEqual(["before_destroy web-clone-1", "kept web-clone-1"]);
    expect(
      JSON.parse(machine.record ?? "").actions.filter(({ ended_ms }: { ended_ms: number }) => !ended_ms),
    ).toEqual([]);
  });

  test("by SIGTERM leaves what has been sent on record, and the next one finds out what came of it", async () => {
    const { machine, program } = await running();
    const end = await machine.fault({ type: "vmmd_no_reply", command: "create", carriedOut: true });
    await program.until("a create", () => machine.commands().length === 1);
    await program.stop();
    await end();
    const next = new Program(machine).start();
    await next.tells("create web-clone-1 verified done");
    expect(machine.commands()).toHaveLength(1);
    await machine.pass(20);
    expect(next.group()).toMatchObject({ made_here: [1], outstanding: null });
    await next.stop();
  });

  test("with kill -9 before the reply to a create that was not done has it settled as lost", async () => {
    const { machine, program } = await running();
    const end = await machine.fault({ type: "vmmd_no_reply", command: "create" });
    await program.until("a create", () => machine.commands().length === 1);
    await program.kill();
    await end();
    const next = new Program(machine).start();
    await next.tells("create web-clone-1 lost restart");
    await next.tells("create web-clone-1 verified done");
    expect(machine.commands()).toHaveLength(2);
    await next.stop();
  });

  test("with kill -9 after a hook was told has it told by the next one that the clone stays", async () => {
    const hook = { url: "http://x/", timeoutMs: 1_000, waitMs: 60_000 };
    const { machine, program } = await idle({
      clone: { ...cloneDefaults, arguments: [], beforeDestroy: hook },
    });
    await program.until("the hook", () => machine.hooks.length > 0);
    await program.kill();
    const next = new Program(machine, program.config).start();
    await next.tells("destroy web-clone-1 abandoned stopped");
    await machine.quiet();
    expect(machine.hooks).toEqual(["before_destroy web-clone-1", "kept web-clone-1"]);
    expect(machine.commands()).toEqual(["create user:web-clone-1"]);
    await next.stop();
  });

  test("is told of a target that has moved meanwhile: abandoned", async () => {
    const { machine, program } = await running();
    await machine.fault({ type: "vmmd_no_reply", command: "create", carriedOut: true });
    await program.until("a create", () => machine.commands().length === 1);
    await program.kill();
    machine.record = (machine.record ?? "").replaceAll(machine.host().dir, "/run/elsewhere");
    const next = new Program(machine).start();
    await next.tells("create web-clone-1 abandoned target");
    await next.stop();
  });

  test.each(["", '{"version":1,"actions":[{}]}'])(
    "a record that reads %j starts afresh, and cools down first",
    async (text) => {
      const { machine, program } = await running();
      await program.until("an evaluation", () => program.group() !== null);
      await program.stop();
      machine.record = text;
      const next = new Program(machine).start();
      await next.holds("cooldown");
      await next.tells("create web-clone-1 verified done");
      await next.stop();
    },
  );

  test("does not start again where a policy acts and the record cannot be read", async () => {
    const { machine, program } = await running();
    await program.stop();
    machine.record = '{"version":9,"actions":[]}';
    expect(() => new Program(machine).start()).toThrow(UnreadableState);
    const dry = new Program(machine, acting({ mode: "dry_run" }));
    dry.start();
    await dry.kill();
  });
});
