/** Every host, path, VM and group with its figures. */
import { rowToGroup, rowToVm } from "../shared/links.ts";
import { BY_HOST, BY_PATH, GROUPS, HOSTS, PATHS } from "../shared/selectors.ts";
import { HOST, PLACE, placed, table } from "../shared/tables.ts";

export const hosts = table({
  title: "Every host",
  means:
    "Each target of the exporters: is a subscription open, how many VMs and groups are known there, when did it last send.",
  todo: "A host that is down needs attention first: without it nothing else about it is known.",
  keys: HOST,
  columns: [
    {
      title: "Up",
      expression: `max by (${BY_HOST}) (albatross_up{${HOSTS}})`,
      unit: "bool_yes_no",
      colours: ["red", [1, "green"]],
    },
    {
      title: "VMs",
      expression: `sum by (${BY_HOST}) (host:albatross_group_members:sum{${HOSTS}})`,
      unit: "none",
    },
    { title: "Groups", expression: `count by (${BY_HOST}) (albatross_group_clones{${HOSTS}})`, unit: "none" },
    {
      title: "Last message",
      expression: `min by (${BY_HOST}) (time() - albatross_stats_last_message_timestamp_seconds{${HOSTS}})`,
      unit: "s",
      colours: ["green", [35, "yellow"], [60, "red"]],
    },
  ],
  sortBy: "Up",
});

export const paths = table({
  title: "Paths and their policies",
  means:
    "What the VMs directly at each path use, and what the path's policy allows. VMs further below count for the policy too and have a line of their own; in use is what counts.",
  todo: "Near a limit, albatrossd refuses new unikernels: raise the policy or remove some.",
  keys: PLACE,
  columns: [
    {
      title: "VMs",
      expression: placed(`sum by (${BY_PATH}) (albatross_group_members{${PATHS}})`),
      unit: "none",
    },
    {
      title: "VMs in use",
      expression: placed(`max by (${BY_PATH}) (albatross_policy_unikernels{${PATHS}})`),
      unit: "none",
    },
    {
      title: "VMs allowed",
      expression: placed(`max by (${BY_PATH}) (albatross_policy_unikernels_limit{${PATHS}})`),
      unit: "none",
    },
    {
      title: "Memory given",
      expression: placed(`sum by (${BY_PATH}) (albatross_vm_memory_limit_bytes{${PATHS}})`),
      unit: "bytes",
      decimals: 1,
    },
    {
      title: "Memory in use",
      expression: placed(`max by (${BY_PATH}) (albatross_policy_memory_bytes{${PATHS}})`),
      unit: "bytes",
      decimals: 1,
    },
    {
      title: "Memory allowed",
      expression: placed(`max by (${BY_PATH}) (albatross_policy_memory_limit_bytes{${PATHS}})`),
      unit: "bytes",
      decimals: 1,
    },
    {
      title: "Block allowed",
      expression: placed(`max by (${BY_PATH}) (albatross_policy_block_limit_bytes{${PATHS}})`),
      unit: "bytes",
      decimals: 1,
    },
  ],
  sortBy: "Memory given",
  descending: true,
});

export const allVms = table({
  title: "Every VM",
  means: "Every VM with what it uses now. Memory of its limit is there where unikernel info can be read.",
  todo: "Click a name to see the VM in full. Sort by a column by clicking its title.",
  keys: [...PLACE, { label: "vm", title: "VM" }],
  columns: [
    {
      title: "CPU",
      expression: placed(`albatross_vm_cpu_usage_percent{${PATHS}}`, "vm"),
      unit: "percent",
      decimals: 1,
      colours: ["green", [70, "yellow"], [90, "red"]],
    },
    { title: "CPUs", expression: placed(`albatross_vm_cpus{${PATHS}}`, "vm"), unit: "none" },
    {
      title: "Memory",
      expression: placed(`albatross_vm_memory_resident_bytes{${PATHS}}`, "vm"),
      unit: "bytes",
      decimals: 1,
    },
    {
      title: "Of its limit",
      expression: placed(`vm:albatross_vm_memory_resident_per_limit:ratio{${PATHS}}`, "vm"),
      unit: "percentunit",
      decimals: 0,
      colours: ["green", [0.8, "yellow"], [0.9, "red"]],
    },
    {
      title: "Started",
      expression: placed(`albatross_vm_start_time_seconds{${PATHS}} * 1000`, "vm"),
      unit: "dateTimeFromNow",
    },
    {
      title: "Restarts in an hour",
      expression: placed(`vm:albatross_vm_restarts:increase1h{${PATHS}}`, "vm"),
      unit: "none",
      colours: ["green", [1, "yellow"], [3, "red"]],
    },
    {
      title: "Last sample",
      expression: placed(`time() - albatross_vm_last_sample_timestamp_seconds{${PATHS}}`, "vm"),
      unit: "s",
      colours: ["green", [30, "yellow"], [60, "red"]],
    },
  ],
  sortBy: "CPU",
  descending: true,
  links: [rowToVm],
});

export const allGroups = table({
  title: "Every group",
  means: "Every group with its clones and its usage.",
  todo: "Click a name to see what the scaler decides about it.",
  keys: [...PLACE, { label: "group", title: "Group" }],
  columns: [
    {
      title: "CPU",
      expression: placed(`albatross_group_cpu_usage_percent{${GROUPS}}`, "group"),
      unit: "percent",
      decimals: 1,
      colours: ["green", [70, "yellow"], [90, "red"]],
    },
    {
      title: "Clones",
      expression: placed(`albatross_group_clones{${GROUPS}}`, "group"),
      unit: "none",
    },
  ],
  sortBy: "CPU",
  descending: true,
  links: [rowToGroup],
});
