export const WIRE_ERROR_REASONS = [
  "frame_length", // a zero or negative length prefix
  "frame_too_long",
  "truncated", // the stream ends inside a frame
  "der", // not strict DER
  "version",
  "name",
  "message", // an unknown shape, missing or extra fields
] as const;
export type WireErrorReason = (typeof WIRE_ERROR_REASONS)[number];

/** Bytes that cannot be understood. `offset` is in the stream for the first three reasons, else in the message. */
export class WireError extends Error {
  readonly reason: WireErrorReason;
  readonly offset: number;
  readonly detail: string;

  constructor(reason: WireErrorReason, offset: number, detail: string) {
    super(`${detail} (at byte ${offset})`);
    this.name = "WireError";
    this.reason = reason;
    this.offset = offset;
    this.detail = detail;
  }
}
