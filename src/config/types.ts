/** The configuration after reading: camelCase, durations in ms, sizes in bytes, every default filled in. */
export interface Config {
  readonly targets: readonly TargetConfig[];
  readonly exporter: ExporterConfig;
  readonly web: WebConfig;
  readonly log: LogConfig;
  readonly scaler: ScalerConfig;
}

export type TargetOs = "linux" | "freebsd";

/** One Albatross host. */
export interface TargetConfig {
  /** Value of the label `host`; unique among the targets. */
  readonly name: string;
  /** Directory that holds stat.sock and vmmd.sock. */
  readonly socketDir: string;
  /** Slots as canonical text: `:`, `user:`, `user:web`, `:web`. None covers another. */
  readonly subscribe: readonly string[];
  /** `auto` learns the interval from the stream. */
  readonly statsIntervalMs: number | "auto";
  readonly os: TargetOs;
  readonly pageSizeBytes: number;
  /** Open a path slot although unikernel info cannot be read to check that it is safe. */
  readonly allowUncheckedPath: boolean;
  /** How long to leave a slot alone that another client keeps taking. */
  readonly displacedRetryMs: number;
  readonly maxFrameBytes: { readonly stat: number; readonly vmmd: number };
}

export type CollectorName = "cpu" | "memory" | "process" | "network" | "vmm" | "info" | "policy";

/** After how much silence a VM leaves `/metrics`: a number of stats intervals, or a fixed time. */
export type StaleAfter = { readonly intervals: number } | { readonly ms: number };

export interface ExporterConfig {
  readonly collectors: Readonly<Record<CollectorName, boolean>>;
  /** Globs on full names (`user:web`, `:hello`), lower-cased; empty takes every VM. */
  readonly include: readonly string[];
  /** Globs on full names; wins over `include`. */
  readonly exclude: readonly string[];
  /** 0 is no cap. */
  readonly maxVms: number;
  readonly staleAfter: StaleAfter;
  /** Export the fields that the target's operating system leaves at zero. */
  readonly unfilledFields: boolean;
}

/** Where to listen. `host` null is every address, IPv4 and IPv6. */
export interface ListenAddress {
  readonly host: string | null;
  /** 0 lets the system choose. */
  readonly port: number;
}

export interface WebConfig {
  readonly listenAddresses: readonly ListenAddress[];
  readonly telemetryPath: string;
  /** Scrapes served at once; 0 is no limit. */
  readonly maxRequests: number;
  readonly writeTimeoutMs: number;
  readonly disableExporterMetrics: boolean;
}

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFormat = "logfmt" | "json";

export interface LogConfig {
  readonly level: LogLevel;
  readonly format: LogFormat;
}

/** What a scaling policy says about a group; `scaler.defaults` and each policy carry all of it. */
export interface PolicySettings {
  readonly scaleUpThresholdPercent: number;
  readonly scaleUpTriggerTicks: number;
  readonly scaleDownThresholdPercent: number;
  readonly scaleDownTriggerTicks: number;
  readonly cooldownPeriodMs: number;
  /** 0 switches warming off. */
  readonly warmupPeriodMs: number;
  readonly minClones: number;
  readonly maxClones: number;
  readonly adoptClones: boolean;
  readonly enabled: boolean;
  readonly paused: boolean;
}

export interface ScalerDefaults extends PolicySettings {
  /** Silence after which a VM is gone, for groups and for the fleet. */
  readonly deathTimeoutMs: number;
}

/** One entry of `scaler.policies`, what it leaves out taken from `scaler.defaults`. The first match wins. */
export interface ScalerPolicy extends PolicySettings {
  /** Glob on the primary's full name, lower-cased. */
  readonly match: string;
  /** Name of the target it is for; null is all of them. */
  readonly host: string | null;
}

export interface ScalerConfig {
  readonly pollIntervalMs: number;
  readonly mode: "dry_run";
  /** Per host. */
  readonly maxScaleUpsPerTick: number;
  /** As written; a relative path is under the state directory (see `statePath`). */
  readonly stateFile: string;
  readonly decisionLog: string;
  /** The decision log is set aside under another name when it reaches this size. */
  readonly decisionLogMaxBytes: number;
  /** How many decision log files are kept, the current one included. */
  readonly decisionLogFiles: number;
  readonly defaults: ScalerDefaults;
  readonly policies: readonly ScalerPolicy[];
}
