/** The configuration's types, which follow from the tables of keys. */
export type { PolicySettings, ScalerConfig, ScalerDefaults, ScalerPolicy } from "./scaler.ts";
export type {
  CollectorName,
  Config,
  ExporterConfig,
  ListenAddress,
  LogConfig,
  WebConfig,
} from "./sections.ts";
export type { TargetConfig, TargetOs } from "./target.ts";
