import { DECODE_ERROR_REASONS } from "../client/receiver.ts";
import {
  DISCONNECT_REASONS,
  SUBSCRIPTION_STATES,
  type SubscriptionSnapshot,
} from "../client/subscription.ts";
import type { TargetSnapshot } from "../client/target.ts";
import { labelPairs } from "../exposition/family.ts";
import { microsAsSeconds, millisAsSeconds } from "./numbers.ts";
import type { Row } from "./row.ts";

/** A target as the rows see it. */
export interface TargetItem {
  readonly labels: string;
  readonly up: boolean;
}

/** One subscription of a target as the rows see it. */
export interface SubscriptionItem {
  readonly labels: string;
  readonly snapshot: SubscriptionSnapshot;
}

export const targetRows: readonly Row<TargetItem, null>[] = [
  {
    name: "albatross_up",
    type: "gauge",
    help: "1 while at least one subscription to the host's statistics is open, else 0 and its VMs are not served.",
    collector: null,
    source: "states of the subscriptions",
    influx: null,
    unit: "0 or 1",
    value: ({ up }) => (up ? 1 : 0),
  },
];

export const subscriptionRows: readonly Row<SubscriptionItem, null>[] = [
  {
    name: "albatross_stats_messages_total",
    type: "counter",
    help: "Statistics messages taken from stat.sock.",
    collector: null,
    source: "stat.sock",
    influx: null,
    unit: "messages",
    value: ({ snapshot }) => snapshot.messages,
  },
  {
    name: "albatross_stats_bytes_total",
    type: "counter",
    help: "Bytes read from stat.sock.",
    collector: null,
    source: "stat.sock",
    influx: null,
    unit: "bytes",
    value: ({ snapshot }) => snapshot.bytes,
  },
  {
    name: "albatross_stats_decode_errors_total",
    type: "counter",
    help: "Frames and messages from stat.sock that could not be read, by what was wrong.",
    collector: null,
    source: "stat.sock",
    influx: null,
    unit: "errors",
    by: "reason",
    values: perKey(DECODE_ERROR_REASONS, (snapshot, reason) => snapshot.decodeErrors[reason]),
  },
  {
    name: "albatross_stats_connects_total",
    type: "counter",
    help: "Connections made to stat.sock.",
    collector: null,
    source: "stat.sock",
    influx: null,
    unit: "connections",
    value: ({ snapshot }) => snapshot.connects,
  },
  {
    name: "albatross_stats_disconnects_total",
    type: "counter",
    help: "Connections to stat.sock that ended, by why.",
    collector: null,
    source: "stat.sock",
    influx: null,
    unit: "connections",
    by: "reason",
    values: perKey(DISCONNECT_REASONS, (snapshot, reason) => snapshot.disconnects[reason]),
  },
  {
    name: "albatross_stats_last_message_timestamp_seconds",
    type: "gauge",
    help: "Wall time of the last statistics message. Absent before the first.",
    collector: null,
    source: "stat.sock",
    influx: null,
    unit: "seconds",
    value: ({ snapshot }) =>
      snapshot.lastMessageWallMs === null ? null : millisAsSeconds(snapshot.lastMessageWallMs),
  },
  {
    name: "albatross_stats_interval_seconds",
    type: "gauge",
    help: "Time between two samples of a VM, as configured or learnt from the stream.",
    collector: null,
    source: "stats_interval of the target, or the gaps between bursts",
    influx: null,
    unit: "seconds",
    value: ({ snapshot }) => microsAsSeconds(snapshot.intervalUs),
  },
  {
    name: "albatross_stats_subscription_state",
    type: "gauge",
    help: "1 for the state that the subscription is in, 0 for the others.",
    collector: null,
    source: "state of the subscription",
    influx: null,
    unit: "0 or 1",
    by: "state",
    values: perKey(SUBSCRIPTION_STATES, (snapshot, state) => (snapshot.state === state ? 1 : 0)),
  },
];

/** What the rows over targets walk. */
export function targetItems(targets: readonly TargetSnapshot[]): TargetItem[] {
  return targets.map(({ name, up }) => ({ labels: labelPairs({ host: name }), up }));
}

/** What the rows over subscriptions walk. The label `subscription` is what is subscribed to: `:`, `user:`. */
export function subscriptionItems(targets: readonly TargetSnapshot[]): SubscriptionItem[] {
  return targets.flatMap(({ name, subscriptions }) =>
    subscriptions.map((snapshot) => ({
      labels: labelPairs({ host: name, subscription: snapshot.subscription }),
      snapshot,
    })),
  );
}

/** One value for each of a fixed set of label values, so that each has a series at all times. */
function perKey<K extends string>(
  keys: readonly K[],
  value: (snapshot: SubscriptionSnapshot, key: K) => number,
): Record<string, (item: SubscriptionItem) => number> {
  return Object.fromEntries(
    keys.map((key) => [key, ({ snapshot }: SubscriptionItem) => value(snapshot, key)]),
  );
}
