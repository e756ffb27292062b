import { DECODE_ERROR_REASONS } from "../client/receiver.ts";
import {
  DISCONNECT_REASONS,
  SUBSCRIPTION_STATES,
  type SubscriptionSnapshot,
} from "../client/subscription.ts";
import type { TargetSnapshot } from "../client/target.ts";
import { VMMD_ERROR_REASONS } from "../client/vmmd.ts";
import { escapeLabelValue, type Family, type SeriesSink } from "../exposition/family.ts";
import { familyHead, type PlainTableRow, plainEmitter, type Sample } from "../exposition/row.ts";
import { HostCores } from "../fleet/cores.ts";
import type { Group, GroupMember, HostRecord, MemberState, PolicyRecord, VmRecord } from "../fleet/types.ts";
import { HOST_LABEL, itemLabels, PATH_LABEL, type Table } from "./families.ts";
import { microsAsSeconds, millisAsSeconds, unsigned } from "./numbers.ts";

/** A limit of 2^62-1 means none and reaches here as null. */
export const policyTable: Table<PolicyRecord, null> = {
  title: "Policies",
  collector: "policy",
  labels: [HOST_LABEL, PATH_LABEL],
  rows: [
    {
      name: "albatross_policy_unikernels_limit",
      help: "Unikernels that may run at the path: `unikernels` of the policy. Absent without a limit.",
      source: "unikernels of the policy",
      unit: "unikernels",
      value: (policy) => limit(policy.unikernels),
    },
    {
      name: "albatross_policy_unikernels",
      help: "Unikernels at the path and below, as albatrossd counts them towards the limit. Absent until unikernel info has answered.",
      source: "unikernel info",
      unit: "unikernels",
      value: ({ used }) => used?.unikernels ?? null,
    },
    {
      name: "albatross_policy_memory_limit_bytes",
      help: "Memory that the unikernels of the path may use together: `memory` of the policy, MB on the wire. Absent without a limit.",
      source: "memory of the policy",
      value: (policy) => limit(policy.memoryBytes),
    },
    {
      name: "albatross_policy_memory_bytes",
      help: "Memory that the unikernels at the path and below may use, as albatrossd counts it towards the limit. Absent until unikernel info has answered.",
      source: "memory of unikernel info",
      value: ({ used }) => used?.memoryBytes ?? null,
    },
    {
      name: "albatross_policy_block_limit_bytes",
      help: "Block storage that the path may use: `block` of the policy, MB on the wire. Absent without a limit.",
      source: "block of the policy",
      value: (policy) => limit(policy.blockBytes),
    },
  ],
};

export const groupTable: Table<Group, null> = {
  title: "Groups",
  text: "A primary and its clones, `PRIMARY-clone-N`, on the same host and path. Groups see every VM, whatever filters and caps leave out above.",
  labels: [HOST_LABEL, PATH_LABEL, { name: "group", holds: "name of the group's primary" }],
  rows: [
    {
      name: "albatross_group_cpu_usage_percent",
      help: "Mean of `albatross_vm_cpu_usage_percent` over the fresh members. Absent while no member is fresh.",
      source: "mean over the group",
      value: (group) => group.usagePercent,
    },
    {
      name: "albatross_group_clones",
      help: "Live clones of the group's primary, which is not counted itself. One that only unikernel info tells of so far is among them.",
      source: "names",
      value: (group) => group.clones,
    },
    {
      name: "albatross_group_outdated_clones",
      help: "Clones whose image is another than the primary's, such as after an update of the primary alone. Absent while unikernel info does not tell the primary's image.",
      source: "digest of unikernel info",
      unit: "clones",
      value: outdatedClones,
    },
    {
      name: "albatross_group_members",
      help: "Members, the primary included, by state: fresh (has a usage), warming (alive or listed by unikernel info, no usage yet), missing (silent beyond stale_after), silent (silent beyond death_timeout but listed by unikernel info).",
      source: "states of the members",
      unit: "VMs",
      by: "state",
      values: perKey(["fresh", "warming", "missing", "silent"], membersIn),
    },
    {
      name: "albatross_group_member_info",
      help: "Always 1; tells which VM belongs to which group, to join the metrics of VMs with those of groups.",
      source: "names",
      labels: [
        { name: "vm", holds: "the member's name, as in the metrics of VMs" },
        { name: "role", holds: "primary, clone" },
      ],
      emit: (group, out) => {
        const labels = itemLabels(groupTable, group);
        for (const { record, role } of group.members) {
          out.series(`${labels},vm="${escapeLabelValue(record.vm)}",role="${role}"`, 1);
        }
      },
    },
  ],
};

export type TargetItem = TargetSnapshot & { readonly host: string };
export type SubscriptionItem = SubscriptionSnapshot & { readonly host: string };

export const targetTable: Table<TargetItem, null> = {
  title: "Hosts",
  labels: [HOST_LABEL],
  rows: [
    {
      name: "albatross_up",
      help: "1 while at least one subscription to the host's statistics is open, else 0 and its VMs are not served.",
      source: "states of the subscriptions",
      unit: "0 or 1",
      value: ({ up }) => (up ? 1 : 0),
    },
    {
      name: "albatross_info_up",
      help: "1 while albatrossd answers what is asked of its unikernels, else 0. Absent until the first answer, or none.",
      source: "answers of vmmd.sock",
      unit: "0 or 1",
      value: ({ infoReadable }) => (infoReadable === null ? null : Number(infoReadable)),
    },
    {
      name: "albatross_info_errors_total",
      help: "Questions to albatrossd, about unikernels or policies, that have no answer, by why.",
      source: "vmmd.sock",
      unit: "questions",
      by: "reason",
      values: perKey(VMMD_ERROR_REASONS, ({ infoErrors }: TargetItem, reason) => infoErrors[reason]),
    },
    {
      name: "albatross_target_certificate_not_after_timestamp_seconds",
      help: "When a certificate expires that the host is reached with by TLS, or the first of those in its file.",
      source: "PEM files, TLS handshake",
      labels: [
        {
          name: "certificate",
          holds: "its file as in the configuration; `server`: the one that the host shows",
        },
      ],
      emit: (target, out) => {
        const labels = itemLabels(targetTable, target);
        for (const { certificate, notAfterMs } of target.certificates) {
          const label = `certificate="${escapeLabelValue(certificate)}"`;
          out.series(`${labels},${label}`, millisAsSeconds(notAfterMs));
        }
      },
    },
  ],
};

export const hostTable: Table<HostRecord, null> = {
  title: "Statistics of hosts",
  labels: [HOST_LABEL],
  rows: [
    {
      name: "albatross_stats_implausible_total",
      help: "Steps of VMs' counters that cannot be and count as no measurement: more CPU than the VM has (usage), a decrease although `started` of unikernel info shows no restart (decrease).",
      source: "consecutive messages",
      unit: "steps",
      by: "kind",
      values: perKey(["usage", "decrease"], ({ implausible }: HostRecord, kind) => implausible[kind]),
    },
    {
      name: "albatross_vms_vanished_total",
      help: "VMs that unikernel info listed and then left out twice in a row, though no decision of the scaler's was to remove them: destroyed by hand, or ended and not started again.",
      source: "unikernel info",
      unit: "VMs",
      value: ({ vanished }) => vanished,
    },
  ],
};

/** What the VMs of a host use of one of its CPUs, as far as unikernel info pins them. */
interface CoreItem {
  readonly host: string;
  readonly cpu: string;
  readonly usagePercent: number;
}

export const coreTable: Table<CoreItem, null, PlainTableRow<CoreItem>> = {
  title: "CPUs of hosts",
  text: "What VMs use of the CPUs that they are pinned to. All VMs count, whatever filters and caps leave out above.",
  labels: [HOST_LABEL, { name: "cpu", holds: "a cpuid of unikernel info" }],
  rows: [
    {
      name: "albatross_host_cpu_usage_percent",
      help: "Sum over the VMs that unikernel info pins to the CPU: `albatross_vm_cpu_usage_percent` times the VM's CPUs, divided by the number of its `cpuids`. Absent while none of them has a usage; above 100 where samples arrive unevenly.",
      source: "gauges of the VMs, numcpus and cpuids of unikernel info",
      value: ({ usagePercent }) => usagePercent,
    },
  ],
};

/** CPUs are added up as the VMs are walked, a few at a time: there may be 100,000. They come in order of hosts. */
export function coreFamilies(vms: readonly VmRecord[]): Family<VmRecord>[] {
  return coreTable.rows.map((row) => {
    const emitCore = plainEmitter(row);
    let cores = new HostCores();
    const emit = ({ host, info, usagePercent }: VmRecord, out: SeriesSink, index: number) => {
      if (info !== null) cores.take(info, usagePercent);
      if (vms[index + 1]?.host === host) return;
      for (const { cpu, usagePercent } of cores.measured()) {
        const item = { host, cpu: String(cpu), usagePercent };
        emitCore(item, itemLabels(coreTable, item), "", null, out);
      }
      cores = new HostCores();
    };
    return { ...familyHead(row), items: vms, emit };
  });
}

export const subscriptionTable: Table<SubscriptionItem, null> = {
  title: "Subscriptions",
  labels: [HOST_LABEL, { name: "subscription", holds: "what is subscribed to: `:`, `user:`" }],
  rows: [
    {
      name: "albatross_stats_messages_total",
      help: "Statistics messages taken from stat.sock.",
      source: "stat.sock",
      value: (subscription) => subscription.messages,
    },
    {
      name: "albatross_stats_bytes_total",
      help: "Bytes read from stat.sock.",
      source: "stat.sock",
      value: (subscription) => subscription.bytes,
    },
    {
      name: "albatross_stats_decode_errors_total",
      help: "Frames and messages from stat.sock that could not be read, by what was wrong.",
      source: "stat.sock",
      by: "reason",
      values: perKey(
        DECODE_ERROR_REASONS,
        ({ decodeErrors }: SubscriptionItem, reason) => decodeErrors[reason],
      ),
    },
    {
      name: "albatross_stats_connects_total",
      help: "Connections made to stat.sock.",
      source: "stat.sock",
      unit: "connections",
      value: (subscription) => subscription.connects,
    },
    {
      name: "albatross_stats_disconnects_total",
      help: "Connections to stat.sock that ended, by why.",
      source: "stat.sock",
      unit: "connections",
      by: "reason",
      values: perKey(DISCONNECT_REASONS, ({ disconnects }: SubscriptionItem, reason) => disconnects[reason]),
    },
    {
      name: "albatross_stats_last_message_timestamp_seconds",
      help: "Wall time of the last statistics message. Absent before the first.",
      source: "stat.sock",
      value: ({ lastMessageWallMs: ms }) => (ms === null ? null : millisAsSeconds(ms)),
    },
    {
      name: "albatross_stats_interval_seconds",
      help: "Time between two samples of a VM, as configured or learnt from the stream.",
      source: "stats_interval of the target, or the gaps between bursts",
      value: (subscription) => microsAsSeconds(subscription.intervalUs),
    },
    {
      name: "albatross_stats_subscription_state",
      help: "1 for the state that the subscription is in, 0 for the others.",
      source: "state of the subscription",
      unit: "0 or 1",
      by: "state",
      values: perKey(SUBSCRIPTION_STATES, (item: SubscriptionItem, state) => Number(item.state === state)),
    },
  ],
};

function outdatedClones({ members }: Group): Sample {
  const [primary, ...clones] = members;
  if (primary?.role !== "primary") return null;
  const image = imageOf(primary);
  if (image === null) return null;
  return clones.map(imageOf).filter((one) => one !== null && one !== image).length;
}

/** Of a bhyve VM info has a name in the place of a digest. */
function imageOf({ record }: GroupMember): string | null {
  return record.sample !== null && record.info?.type === "solo5" ? record.info.digest : null;
}

function membersIn({ members }: Group, state: MemberState): number {
  let count = 0;
  for (const member of members) if (member.state === state) count++;
  return count;
}

function limit(value: PolicyRecord["unikernels"]): Sample {
  return value === null ? null : unsigned(value);
}

/** One value for each of a fixed set of label values: each has a series at all times. */
function perKey<K extends string, T>(
  keys: readonly K[],
  value: (item: T, key: K) => number,
): Record<string, (item: T) => number> {
  return Object.fromEntries(keys.map((key) => [key, (item: T) => value(item, key)]));
}
