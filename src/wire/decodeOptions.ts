/** What of an info reply is left out as it is decoded. */
export interface DecodeOptions {
  /** The arguments of unikernels are null: they hold secrets. */
  readonly dropArguments?: boolean;
  /** Their block devices and bridges are stepped over: half of what a reply becomes in memory. */
  readonly dropDevices?: boolean;
}
