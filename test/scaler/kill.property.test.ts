/**
 * The program is killed at every step of its actions and started again. Whatever it does to the world, requests, files and
 * hooks, goes by a gate: between two of them nothing can be seen of it, so that to die at each gate is to die anywhere.
 */
import { describe, expect, test } from "vitest";
import { cloneDefaults } from "../../src/config/clone.ts";
import { parseRecord } from "../../src/scaler/actions/record.ts";
import type { CommandFault } from "../../src/simulator/faults.ts";
import { vm } from "../simulator/support.ts";
import { acting, Machine, type PolicyKeys, Program } from "./acting.ts";

const PLAIN: PolicyKeys = { cooldownPeriodMs: 10_000, scaleUpTriggerTicks: 1, scaleDownTriggerTicks: 1 };
const HOOK = { url: "http://balancer/", timeoutMs: 1_000, waitMs: 6_000 };
const HOOKED: PolicyKeys = {
  ...PLAIN,
  clone: { ...cloneDefaults, arguments: [], afterCreate: HOOK, beforeDestroy: HOOK },
};
/** So that there is time between a plan and its request. */
const SLOW: CommandFault = { type: "vmmd_slow", command: "info", everyMs: 2_000 };

/** What is played, one run of the program after the other. */
class Play {
  readonly machine = new Machine();
  program!: Program;
  keys: PolicyKeys = {};
  /** whom destroys were meant for, as the record says before each goes out */
  readonly meant = new Set<string>();

  configure(keys: PolicyKeys): void {
    this.keys = keys;
    this.program.reconfigure(acting(keys, { pollIntervalMs: 5_000 }));
  }

  start(): void {
    this.program = new Program(this.machine, acting(this.keys, { pollIntervalMs: 5_000 })).start();
  }

  get clones(): number {
    return this.machine.host().host.vmNames.length - 1;
  }

  get isActing(): boolean {
    return this.program.actions.some(({ outcome }) => outcome === null);
  }

  /** The group has this many clones and nothing is done about it any more. */
  rests(clones: number): boolean {
    const group = this.program.group();
    return this.clones === clones && !this.isActing && group?.clones === clones && group.outstanding === null;
  }
}

interface Story {
  readonly name: string;
  readonly keys: PolicyKeys;
  readonly faults: readonly CommandFault[];
  /** what happens, each when its time has come */
  readonly happenings: readonly (readonly [
    when: (play: Play) => boolean,
    happens: (play: Play) => unknown,
  ])[];
  /** how it comes out, whenever the program is killed */
  readonly end: (play: Play) => boolean;
  /** so many that an undisturbed run passes, at least: the times at which bytes arrive make it some more or less */
  readonly gates: number;
}

const grown = (play: Play) => play.rests(1);
const idles = (play: Play) => play.machine.load("user:web", 5);
const planned = ({ program }: Play) => program.actions.some(({ phase }) => phase === "planned");

const STORIES: readonly Story[] = [
  {
    name: "a group that grows and shrinks, its load balancer told",
    keys: HOOKED,
    faults: [],
    happenings: [[grown, idles]],
    end: (play) => play.rests(0) && play.machine.hooks.at(-1) === "before_destroy web-clone-1",
    gates: 86,
  },
  {
    name: "a refusal, then replies that are lost",
    keys: PLAIN,
    faults: [
      { type: "vmmd_fail", command: "create", text: "maximum amount of unikernels (1) reached", times: 1 },
      { type: "vmmd_close", command: "create", carriedOut: true, times: 1 },
      { type: "vmmd_close", command: "destroy", carriedOut: true, times: 1 },
    ],
    happenings: [[grown, idles]],
    end: (play) => play.rests(0),
    gates: 120,
  },
  {
    name: "an albatrossd that dies before it has created, and after",
    keys: PLAIN,
    faults: [
      { type: "vmmd_die", command: "create", when: "received", times: 1 },
      { type: "vmmd_die", command: "create", when: "carried_out", times: 1 },
    ],
    happenings: [],
    end: grown,
    gates: 92,
  },
  {
    name: "a pause while a hook is waited for, and a victim that somebody makes anew",
    keys: HOOKED,
    faults: [],
    happenings: [
      [grown, idles],
      [
        (play) => play.machine.hooks.includes("before_destroy web-clone-1"),
        (play) => play.configure({ ...HOOKED, paused: true }),
      ],
      [
        (play) => !play.isActing && play.clones === 1,
        (play) => {
          play.machine.replace("user:web-clone-1", "user:web", 5);
          play.configure(HOOKED);
        },
      ],
    ],
    end: (play) => play.rests(0),
    gates: 95,
  },
  {
    name: "a switch to dry run between plan and request, and back",
    keys: PLAIN,
    faults: [SLOW],
    happenings: [
      [planned, (play) => play.configure({ ...PLAIN, mode: "dry_run" })],
      [(play) => !play.isActing, (play) => play.configure(PLAIN)],
    ],
    end: grown,
    gates: 60,
  },
  {
    name: "a target that is removed between plan and request",
    keys: PLAIN,
    faults: [SLOW],
    happenings: [[planned, (play) => play.program.removeTarget("h")]],
    end: (play) => !play.isActing && play.clones === 0 && play.program.group() === null,
    gates: 8,
  },
];

const LONGEST_S = 600;

/** Plays a story; the program is killed at this gate, and started again two seconds later. Resolves to the gates passed. */
async function played({ keys, faults, happenings, end }: Story, killAt: number): Promise<number> {
  const play = new Play();
  const { machine } = play;
  const vms = [vm("user:web", { percent: 150, shareLoadWithClones: true, imageBytes: 70_000 })];
  const policy = {
    cpuids: [0, 1, 2, 3],
    unikernels: 100n,
    memory: 65_536,
    block: null,
    bridges: ["service"],
  };
  const policies = [{ name: { path: ["user"], label: null }, policy }];
  await machine.addHost("h", { intervalMs: 2_000, vms, policies });
  for (const fault of faults) await machine.fault(fault);

  let gates = 0;
  let deadForS = killAt === NEVER ? null : -1;
  const wrong: string[] = [];
  const sent = new Set<string>();
  machine.onGate = (program, what) => {
    if (/^before (begin create|finish destroy) /.test(what)) wrong.push(...whatIsWrong(play, what, sent));
    if (program !== play.program || !(play.isActing || what.endsWith(" state"))) return;
    gates += 1;
    if (gates !== killAt) return;
    deadForS = 0;
    void program.kill();
  };
  play.keys = keys;
  play.start();
  const left = [...happenings];
  const isDead = () => deadForS !== null && deadForS >= 0;
  for (let second = 0; second < LONGEST_S; second++) {
    if (left.length === 0 && !isDead() && end(play)) break;
    await machine.pass(1);
    if (isDead() && deadForS !== null && ++deadForS > 2) {
      deadForS = null;
      play.start();
      continue;
    }
    const [next] = left;
    if (isDead() || !next?.[0](play)) continue;
    left.shift();
    await next[1](play);
  }
  for (const { command, name, digest, started } of machine.host().requests) {
    if (command !== "destroy" || started === null || play.meant.has(identity(name, digest, started)))
      continue;
    wrong.push(`another than was meant was destroyed: ${identity(name, digest, started)}`);
  }
  const { program } = play;
  const facts = { killAt, told: program.told, commands: machine.commands(), why: program.group()?.text };
  expect({ wrong, isAtEnd: left.length === 0 && end(play), ...facts }).toEqual({
    wrong: [],
    isAtEnd: true,
    ...facts,
  });
  machine.onGate = () => undefined;
  await program.stop();
  return gates;
}

const NEVER = 0;

function identity(name: string, digest: string | null, started: string): string {
  return `${name} of ${started}, ${digest}`;
}

/** Of a request whose first byte is about to go out: what the record says of it, and what the configuration allows. */
function whatIsWrong(play: Play, what: string, sent: Set<string>): string[] {
  const { machine, program, keys } = play;
  const [, , command, name = ""] = what.split(" ");
  const actions = parseRecord(machine.record ?? "");
  const [action, ...others] = actions.filter(({ phase }) => phase === "sent");
  if (action === undefined || others.length > 0) return [`${what}: not one is on record as sent`];
  const wrong: string[] = [];
  if (sent.has(action.id)) wrong.push("a second request for the same action");
  sent.add(action.id);
  if (action.operation !== command || name !== `user:${action.clone}`) wrong.push("not what is on record");
  const { policies } = program.config;
  if (keys.paused || keys.mode === "dry_run" || policies[0]?.paused || policies[0]?.mode !== "execute")
    wrong.push("forbidden by the configuration");
  if (machine.removed.has("h")) wrong.push("no target");
  play.meant.add(identity(name, action.digest, new Date(action.startedMs ?? 0).toISOString()));
  return wrong.map((one) => `${what}: ${one}`);
}

const KILLS = { tags: ["process"], timeout: 240_000 };

describe.each(STORIES)("$name", (story) => {
  test("comes to its end", async () => {
    expect(await played(story, NEVER)).toBeGreaterThanOrEqual(story.gates);
  });

  // a minute and a half for all of them on two idle cores
  test("comes to the same end, whenever the program is killed", KILLS, async () => {
    let gate = 1;
    while ((await played(story, gate)) >= gate) gate += 1;
    expect(gate - 1).toBeGreaterThanOrEqual(story.gates);
  });
});
