/** What a VM is, which group it belongs to, when it started. */
import { graph } from "../shared/panels.ts";
import { BY_GROUP, BY_VM, GROUPS, RATE, VM_LEGEND, VMS } from "../shared/selectors.ts";
import { PLACE, placed, table } from "../shared/tables.ts";

export const VM_KEYS = [...PLACE, { label: "vm", title: "VM" }];

export const info = table({
  title: "What it is",
  means:
    "What unikernel info says: monitor, digest of the image, the CPUs it may run on and how many, its memory, its start.",
  todo: "Compare the digest with the image that was meant to run. Empty where vmmd.sock cannot be read.",
  keys: [
    ...VM_KEYS,
    { label: "type", title: "Type" },
    { label: "digest", title: "Digest" },
    { label: "cpuids", title: "CPU ids" },
  ],
  columns: [
    {
      title: "CPUs",
      expression: withInfo(`albatross_vm_cpus{${VMS}}`),
      unit: "none",
    },
    { title: "Memory limit", expression: withInfo(`albatross_vm_memory_limit_bytes{${VMS}}`), unit: "bytes" },
    {
      title: "Started",
      expression: withInfo(`albatross_vm_start_time_seconds{${VMS}} * 1000`),
      unit: "dateTimeAsIso",
    },
  ],
  sortBy: "VM",
  noValue: "no unikernel info",
});

/** A figure of each VM with the labels of its info. */
function withInfo(expression: string): string {
  const told = `${expression} * on (${BY_VM}) group_left (type, digest, cpuids) albatross_vm_info{${VMS}}`;
  return placed(told, "vm", "type", "digest", "cpuids");
}

export const membership = table({
  title: "Its group",
  means: "Which group each VM belongs to: PRIMARY-clone-N is a clone of PRIMARY.",
  todo: "See on the Scaler dashboard what is decided about the group.",
  keys: [...VM_KEYS, { label: "group", title: "Group" }, { label: "role", title: "Role" }],
  columns: [
    {
      title: "Members",
      expression: placed(
        `albatross_group_member_info{${VMS}} * on (${BY_GROUP}) group_left () sum without (state) (albatross_group_members{${GROUPS}})`,
        "vm",
        "group",
        "role",
      ),
      unit: "none",
    },
  ],
  sortBy: "VM",
});

export const restarts = graph(
  {
    title: "Restarts over time",
    means: "Restarts around each moment, seen by counters that went down or a changed start time.",
    todo: "At regular distances: something makes it crash or a supervisor restarts it. Read its console.",
    unit: "none",
    decimals: 0,
    colours: ["red"],
    queries: [[`round(increase(albatross_vm_restarts_total{${VMS}}${RATE}))`, VM_LEGEND]],
  },
  { bars: true, min: 0, interval: "1m" },
);

export const runtime = graph(
  {
    title: "CPUs in use, two accounts",
    means:
      "CPUs in use by user and system time, and as the scheduler accounts for them (`runtime` of kinfo_mem): 1 is one CPU all the time.",
    todo: "They should go together; the second is absent where Albatross sends no kinfo_mem.",
    unit: "none",
    decimals: 2,
    colours: ["green"],
    queries: [
      [
        `sum without (mode) (rate(albatross_vm_cpu_seconds_total{${VMS}}${RATE}))`,
        `${VM_LEGEND} user and system`,
      ],
      [`rate(albatross_vm_cpu_runtime_seconds_total{${VMS}}${RATE})`, `${VM_LEGEND} runtime`],
    ],
  },
  { min: 0 },
);
