import { labelPairs } from "../exposition/family.ts";
import type { Sample } from "../exposition/row.ts";
import type { PolicyRecord } from "../fleet/types.ts";
import { unsigned } from "./numbers.ts";
import type { Row } from "./row.ts";

/** Collector `policy`: the limits of paths. A limit of 2^62-1 means none and reaches here as null. */
export const policyRows: readonly Row<PolicyRecord, null>[] = [
  {
    name: "albatross_policy_unikernels_limit",
    type: "gauge",
    help: "Unikernels that may run at the path: `unikernels` of the policy. Absent without a limit.",
    collector: "policy",
    source: "unikernels of the policy",
    influx: null,
    unit: "unikernels",
    value: (policy) => limit(policy.unikernels),
  },
  {
    name: "albatross_policy_memory_limit_bytes",
    type: "gauge",
    help: "Memory that the unikernels of the path may use together: `memory` of the policy, MB on the wire. Absent without a limit.",
    collector: "policy",
    source: "memory of the policy",
    influx: null,
    unit: "bytes",
    value: (policy) => limit(policy.memoryBytes),
  },
  {
    name: "albatross_policy_block_limit_bytes",
    type: "gauge",
    help: "Block storage that the path may use: `block` of the policy, MB on the wire. Absent without a limit.",
    collector: "policy",
    source: "block of the policy",
    influx: null,
    unit: "bytes",
    value: (policy) => limit(policy.blockBytes),
  },
];

/** `host="h",path="user"` */
export function policyLabels({ host, path }: PolicyRecord): string {
  return labelPairs({ host, path });
}

function limit(value: PolicyRecord["unikernels"]): Sample {
  return value === null ? null : unsigned(value);
}
