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
  rule,
  section,
  text,
} from "../../config/fields.ts";
import { type VmSpec, vmSpec } from "../model.ts";
import { curve } from "./curve.ts";
import { nameOf, VM_NAMES } from "./readers.ts";

/** Stands for the number in the names of VMs that one entry makes many of. */
const NUMBER = "{n}";
const MAX_COUNT = 200_000;

const time = field(duration({ min: 0 }));
const times = list(time, "times").default([]);
const cpuid = field(integer({ min: 0, max: 1023 }));

/** A VM's name, with `{n}` where a number goes. */
const nameTemplate: Reader<string> = (value) => {
  const name = typeof value === "string" ? nameOf(value.replaceAll(NUMBER, "1")) : null;
  return name === null || name.label === null
    ? new Refused(`${VM_NAMES}, with {n} for a number where count is given`)
    : (value as string);
};

interface Keys {
  readonly name: string;
  readonly count: number;
  readonly start_at: number;
  readonly stop_at?: number | undefined;
}

/** One entry of `vms`: one VM, or `count` of them. */
export const vmEntry: z.ZodType<readonly VmSpec[], unknown> = section({
  name: field(nameTemplate),
  count: field(integer({ min: 1, max: MAX_COUNT })).default(1),
  cpus: field(integer({ min: 1, max: 256 })).default(1),
  memory: field(integer({ min: 1, max: 2 ** 20, hint: " (MB)" })).default(32),
  type: field(oneOf(["solo5", "bhyve"] as const)).default("solo5"),
  cpuids: list(cpuid, "CPU numbers").optional(),
  load: curve.default({ type: "constant", percent: 0 }),
  share_load_with_clones: field(flag).default(false),
  interfaces: list(field(text({ what: "a device's name", maxLength: 63 })), "network devices").default([
    "service",
  ]),
  blocks: list(field(text({ what: "a device's name", maxLength: 63 })), "block devices").default([]),
  arguments: list(field(text({ what: "an argument", maxLength: 1000 })), "arguments").default([]),
  image: field(text({ what: "what tells the image from others", maxLength: 1000 })).optional(),
  image_bytes: field(integer({ min: 0, max: 2 ** 27 })).default(0),
  on_crash: field(oneOf(["restart", "quit"] as const)).default("restart"),
  start_at: time.default(0),
  stop_at: time.optional(),
  crashes: times,
  restarts: times,
  down_for: time.default(0),
})
  .check(
    rule<Keys>(["name", "count"], ({ name, count }, report) => {
      const hasNumber = name.includes(NUMBER);
      if (count > 1 && !hasNumber)
        report(["name"], `stands for ${count} VMs; allowed: a name with {n} for their number`);
    }),
    rule<Keys>(["start_at", "stop_at"], ({ start_at, stop_at }, report) => {
      if (stop_at !== undefined && stop_at <= start_at)
        report(["stop_at"], "is not after start_at; allowed: a later time");
    }),
  )
  .transform((vm) =>
    Array.from({ length: vm.count }, (_, index) => {
      const name = nameOf(vm.name.replaceAll(NUMBER, String(index + 1)));
      if (name === null) throw new TypeError(`${vm.name} is no name although it was checked`);
      return vmSpec({
        name,
        cpus: vm.cpus,
        memoryMb: vm.memory,
        type: vm.type,
        ...(vm.cpuids === undefined ? {} : { cpuids: vm.cpuids }),
        load: vm.load,
        shareLoadWithClones: vm.share_load_with_clones,
        interfaces: vm.interfaces,
        blocks: vm.blocks,
        arguments: vm.arguments,
        image: vm.image ?? null,
        imageBytes: vm.image_bytes,
        onCrash: vm.on_crash,
        startAtMs: vm.start_at,
        stopAtMs: vm.stop_at ?? null,
        crashesAtMs: vm.crashes,
        restartsAtMs: vm.restarts,
        downForMs: vm.down_for,
      });
    }),
  );
