import type { WireErrorReason } from "../wire/errors.ts";

/**
 * What a subscription is doing: `stopped` not started or stopped; `blocked` a path slot that may not be opened now;
 * `connecting` asking whether it may, or waiting for the acknowledgement; `subscribed` acknowledged, nothing arrives;
 * `receiving` samples arrive; `backoff` waiting for the next attempt; `displaced` another client keeps taking the slot.
 */
export const SLOT_STATES = [
  "stopped",
  "blocked",
  "connecting",
  "subscribed",
  "receiving",
  "backoff",
  "displaced",
] as const;
export type SlotState = (typeof SLOT_STATES)[number];

/**
 * Why an open connection to stat.sock ended: `closed` by the daemon after the subscription was acknowledged, `refused`
 * by it before that, `timeout` no acknowledgement in time, `framing` the stream was damaged, `watchdog` it fell silent,
 * `blocked` a unikernel with the name of the path slot appeared.
 */
export const DISCONNECT_REASONS = ["closed", "refused", "timeout", "framing", "watchdog", "blocked"] as const;
export type DisconnectReason = (typeof DISCONNECT_REASONS)[number];

const WIRE_ERROR_REASONS = [
  "frame_length",
  "frame_too_long",
  "truncated",
  "der",
  "version",
  "name",
  "message",
] as const satisfies readonly WireErrorReason[];

/**
 * Why bytes from stat.sock were not taken as a sample: those of `WireError`; `unknown_data` another kind of data;
 * `unexpected` a message that has no place there; `over_budget` more VMs or larger samples than fit in memory;
 * `internal` a fault of this program.
 */
export const DECODE_ERROR_REASONS = [
  ...WIRE_ERROR_REASONS,
  "unknown_data",
  "unexpected",
  "over_budget",
  "internal",
] as const;
export type DecodeErrorReason = WireErrorReason | (typeof DECODE_ERROR_REASONS)[number];

/** One subscription at a moment. Counters run on over reconnects. */
export interface SlotSnapshot {
  /** `:`, `user:`, `user:web` */
  readonly slot: string;
  readonly state: SlotState;
  /** statistics messages taken */
  readonly messages: number;
  /** bytes read, length prefixes included */
  readonly bytes: number;
  /** connections opened */
  readonly connects: number;
  readonly decodeErrors: Readonly<Record<DecodeErrorReason, number>>;
  readonly disconnects: Readonly<Record<DisconnectReason, number>>;
  /** ms since the epoch; null before the first statistics message */
  readonly lastMessageWallMs: number | null;
  /** the stats interval: configured, learnt, or 10 s while it is not known */
  readonly intervalUs: number;
  /** what is wrong now; null while nothing is */
  readonly lastError: string | null;
}

/** A counter at 0 for each reason. */
export function zeroCounts<R extends string>(reasons: readonly R[]): Record<R, number> {
  return Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<R, number>;
}
