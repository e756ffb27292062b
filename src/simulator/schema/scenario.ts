import type { z } from "zod";
import {
  duration,
  field,
  flag,
  integer,
  list,
  oneOf,
  type Reader,
  Refused,
  type Report,
  rule,
  section,
  text,
} from "../../config/fields.ts";
import { type NamedPolicy, NO_LIMIT } from "../../wire/messages.ts";
import { formatName } from "../../wire/names.ts";
import {
  type InfoVersion,
  rootPolicy,
  type Scenario,
  type ScenarioAction,
  type ScenarioEvent,
  type VmSpec,
} from "../model.ts";
import { groupNameOf } from "../vm.ts";
import { curve } from "./curve.ts";
import { misbehaviour } from "./fault.ts";
import { pathName, vmName } from "./readers.ts";
import { vmEntry } from "./vm.ts";

const INFO_VERSIONS: readonly InfoVersion[] = [19, 18, 15];

const infoVersion: Reader<InfoVersion> = (value) =>
  INFO_VERSIONS.find((version) => version === value) ??
  new Refused("19 (Albatross 2.7), 18 (2.6) or 15 (2.4 and 2.5)");

/** `restart_albatrossd: true`: there is nothing more to say about it, and false would be no event. */
const yes: Reader<true> = (value) => (value === true ? true : new Refused("true"));

const policyEntry: z.ZodType<NamedPolicy, unknown> = section({
  path: field(pathName),
  cpuids: list(field(integer({ min: 0, max: 1023 })), "CPU numbers").default([0, 1, 2, 3]),
  unikernels: field(integer({ min: 0, max: 1_000_000 })).optional(),
  memory: field(integer({ min: 0, max: 2 ** 40, hint: " (MB)" })).default(65_536),
  block: field(integer({ min: 0, max: 2 ** 40, hint: " (MB)" })).optional(),
  bridges: list(field(text({ what: "a bridge's name", maxLength: 63 })), "bridges").default(["service"]),
}).transform(({ path, cpuids, unikernels, memory, block, bridges }) => ({
  name: path,
  policy: { cpuids, unikernels: unikernels ?? NO_LIMIT, memory, block: block ?? null, bridges },
}));

const blockDevice: z.ZodType<Scenario["blockDevices"][number], unknown> = section({
  name: field(vmName),
  size: field(integer({ min: 1, max: 2 ** 40, hint: " (MB)" })).default(16),
}).transform(({ name, size }) => ({ name, sizeMb: size }));

const vm = field(vmName);

/** What can happen at a time, by the key it is written under. */
const ACTIONS = {
  clone: vm.transform((name): ScenarioAction => ({ type: "clone", name })).optional(),
  destroy: vm.transform((name): ScenarioAction => ({ type: "destroy", name })).optional(),
  restart: vm.transform((name): ScenarioAction => ({ type: "restart", name })).optional(),
  crash: vm.transform((name): ScenarioAction => ({ type: "crash", name })).optional(),
  load: section({ vm, curve })
    .transform((load): ScenarioAction => ({ type: "load", name: load.vm, load: load.curve }))
    .optional(),
  restart_albatrossd: field(yes)
    .transform((): ScenarioAction => ({ type: "restart_albatrossd" }))
    .optional(),
  misbehave: misbehaviour.transform((fault): ScenarioAction => ({ type: "misbehave", ...fault })).optional(),
};
const ACTION_KEYS = Object.keys(ACTIONS) as (keyof typeof ACTIONS)[];

type EventKeys = { readonly at: number } & {
  readonly [Key in keyof typeof ACTIONS]?: ScenarioAction | undefined;
};

const eventEntry: z.ZodType<ScenarioEvent, unknown> = section({ at: field(duration({ min: 0 })), ...ACTIONS })
  .check(
    rule<EventKeys>(["at", ...ACTION_KEYS], (keys, report) => {
      const given = ACTION_KEYS.filter((key) => keys[key] !== undefined);
      if (given.length === 1) return;
      const found = given.length === 0 ? "says nothing that happens" : `says ${given.join(" and ")} at once`;
      report([], `${found}; allowed: one of ${ACTION_KEYS.join(", ")}`);
    }),
  )
  .transform((keys: EventKeys) => {
    const action = ACTION_KEYS.map((key) => keys[key]).find((one) => one !== undefined);
    if (action === undefined) throw new TypeError("an event without an action although it was checked");
    return { atMs: keys.at, action };
  });

interface ScenarioKeys {
  readonly repeat_every?: number | undefined;
  readonly vms: readonly (readonly VmSpec[])[];
  readonly events: readonly ScenarioEvent[];
}

/** The whole file. */
export const scenarioSchema: z.ZodType<Scenario, unknown> = section({
  interval: field(duration({ min: 100 })).default(10_000),
  os: field(oneOf(["linux", "freebsd"] as const)).default("linux"),
  info_version: field(infoVersion).default(19),
  kinfo_mem: field(flag).default(true),
  vmm_stats: field(flag).default(false),
  seed: field(integer({ min: 0, max: 2 ** 32 - 1 })).default(1),
  repeat_every: field(duration({ min: 1000 })).optional(),
  policies: list(policyEntry, "policies").default([rootPolicy()]),
  block_devices: list(blockDevice, "block devices").default([]),
  vms: list(vmEntry, "VMs").default([]),
  events: list(eventEntry, "events").default([]),
})
  .check(
    rule<ScenarioKeys>(["vms"], ({ vms }, report) => checkNames(vms, report)),
    rule<ScenarioKeys>(["vms", "events", "repeat_every"], (keys, report) => checkEvents(keys, report)),
  )
  .transform((scenario) => ({
    intervalMs: scenario.interval,
    os: scenario.os,
    infoVersion: scenario.info_version,
    kinfoMem: scenario.kinfo_mem,
    vmmStats: scenario.vmm_stats,
    seed: scenario.seed,
    repeatEveryMs: scenario.repeat_every ?? null,
    policies: scenario.policies,
    blockDevices: scenario.block_devices,
    vms: scenario.vms.flat(),
    events: scenario.events,
  }));

function checkNames(entries: readonly (readonly VmSpec[])[], report: Report): void {
  const seen = new Set<string>();
  entries.forEach((specs, index) => {
    const twice = specs.map(({ name }) => formatName(name)).find((name) => seen.has(name));
    for (const { name } of specs) seen.add(formatName(name));
    if (twice !== undefined)
      report(["vms", index, "name"], `${twice} is there twice; allowed: a name of its own`);
  });
}

/** An event may be about a VM of the scenario or about a clone of one, which another event may make. */
function checkEvents({ vms, events, repeat_every: endMs }: ScenarioKeys, report: Report): void {
  const names = new Set(vms.flat().map(({ name }) => formatName(name)));
  events.forEach(({ atMs, action }, index) => {
    if (endMs !== undefined && atMs >= endMs) {
      report(["events", index, "at"], "never comes; allowed: times before repeat_every");
    }
    if (!("name" in action)) return;
    const name = formatName(action.name);
    if (names.has(name) || names.has(groupNameOf(action.name))) return;
    const path = action.type === "load" ? [action.type, "vm"] : [action.type];
    report(
      ["events", index, ...path],
      `no VM is called ${name}; allowed: a VM of the scenario or a clone of one`,
    );
  });
}
