import { escapeLabelValue, labelPairs } from "../exposition/family.ts";
import type { Group, MemberState } from "../fleet/types.ts";
import type { Row } from "./row.ts";

/** Groups of clones: a primary and its `PRIMARY-clone-N`. Always exported; filters and caps on VMs do not touch them. */
export const groupRows: readonly Row<Group, null>[] = [
  {
    name: "albatross_group_cpu_usage_percent",
    type: "gauge",
    help: "Mean of `albatross_vm_cpu_usage_percent` over the fresh members. Absent while no member is fresh.",
    collector: null,
    source: "mean over the group",
    influx: null,
    unit: "percent",
    value: (group) => group.usagePercent,
  },
  {
    name: "albatross_group_clones",
    type: "gauge",
    help: "Live clones of the group's primary, which is not counted itself.",
    collector: null,
    source: "names",
    influx: null,
    unit: "clones",
    value: (group) => group.clones,
  },
  {
    name: "albatross_group_members",
    type: "gauge",
    help: "Members, the primary included, by state: fresh (has a usage), warming (alive, no usage yet), missing (silent beyond stale_after), silent (silent beyond death_timeout but listed by unikernel info).",
    collector: null,
    source: "states of the members",
    influx: null,
    unit: "VMs",
    by: "state",
    values: {
      fresh: (group) => membersIn(group, "fresh"),
      warming: (group) => membersIn(group, "warming"),
      missing: (group) => membersIn(group, "missing"),
      silent: (group) => membersIn(group, "silent"),
    },
  },
  {
    name: "albatross_group_member_info",
    type: "gauge",
    help: "Always 1; tells which VM belongs to which group, to join the metrics of VMs with those of groups.",
    collector: null,
    source: "names",
    influx: null,
    unit: "1",
    labels: [
      { name: "vm", holds: "the member's name, as in the metrics of VMs" },
      { name: "role", holds: "primary, clone" },
    ],
    emit: (group, out) => {
      const labels = groupLabels(group);
      for (const { record, role } of group.members) {
        out.series(`${labels},vm="${escapeLabelValue(record.vm)}",role="${role}"`, 1);
      }
    },
  },
];

/** `host="h",path="user",group="web"` */
export function groupLabels({ host, path, group }: Group): string {
  return labelPairs({ host, path, group });
}

function membersIn({ members }: Group, state: MemberState): number {
  let count = 0;
  for (const member of members) if (member.state === state) count++;
  return count;
}
