import { stringify } from "yaml";
import { formatListenAddress } from "./listen.ts";
import type { Config, PolicySettings, StaleAfter, TargetConfig } from "./types.ts";
import { formatDuration, formatSize } from "./units.ts";

/** A configuration as a file would say it, with every key: what is in force. Reading it gives the same again. */
export function configToYaml(config: Config): string {
  return stringify(configToFile(config));
}

/** The same as a plain value, in the file's own keys and units. */
export function configToFile({ targets, exporter, web, log, scaler }: Config): Record<string, unknown> {
  return {
    targets: targets.map(targetToFile),
    exporter: {
      collectors: exporter.collectors,
      include: exporter.include,
      exclude: exporter.exclude,
      max_vms: exporter.maxVms,
      stale_after: staleAfterToFile(exporter.staleAfter),
      unfilled_fields: exporter.unfilledFields,
    },
    web: {
      listen_addresses: web.listenAddresses.map(formatListenAddress),
      telemetry_path: web.telemetryPath,
      max_requests: web.maxRequests,
      write_timeout: formatDuration(web.writeTimeoutMs),
      disable_exporter_metrics: web.disableExporterMetrics,
    },
    log,
    scaler: {
      poll_interval: formatDuration(scaler.pollIntervalMs),
      mode: scaler.mode,
      max_scale_ups_per_tick: scaler.maxScaleUpsPerTick,
      state_file: scaler.stateFile,
      decision_log: scaler.decisionLog,
      decision_log_max_size: formatSize(scaler.decisionLogMaxBytes),
      decision_log_files: scaler.decisionLogFiles,
      defaults: {
        ...settingsToFile(scaler.defaults),
        death_timeout: formatDuration(scaler.defaults.deathTimeoutMs),
      },
      policies: scaler.policies.map(({ match, host, ...settings }) => ({
        match,
        ...(host === null ? {} : { host }),
        ...settingsToFile(settings),
      })),
    },
  };
}

function targetToFile(target: TargetConfig): Record<string, unknown> {
  const { statsIntervalMs, maxFrameBytes } = target;
  return {
    name: target.name,
    socket_dir: target.socketDir,
    subscribe: target.subscribe,
    stats_interval: statsIntervalMs === "auto" ? statsIntervalMs : formatDuration(statsIntervalMs),
    os: target.os,
    page_size: target.pageSizeBytes,
    allow_unchecked_path: target.allowUncheckedPath,
    displaced_retry: formatDuration(target.displacedRetryMs),
    max_frame_bytes: { stat: formatSize(maxFrameBytes.stat), vmmd: formatSize(maxFrameBytes.vmmd) },
  };
}

function staleAfterToFile(staleAfter: StaleAfter): number | string {
  return "intervals" in staleAfter ? staleAfter.intervals : formatDuration(staleAfter.ms);
}

function settingsToFile(settings: PolicySettings): Record<string, unknown> {
  return {
    scale_up_threshold_percent: settings.scaleUpThresholdPercent,
    scale_up_trigger_ticks: settings.scaleUpTriggerTicks,
    scale_down_threshold_percent: settings.scaleDownThresholdPercent,
    scale_down_trigger_ticks: settings.scaleDownTriggerTicks,
    cooldown_period: formatDuration(settings.cooldownPeriodMs),
    warmup_period: formatDuration(settings.warmupPeriodMs),
    min_clones: settings.minClones,
    max_clones: settings.maxClones,
    adopt_clones: settings.adoptClones,
    enabled: settings.enabled,
    paused: settings.paused,
  };
}
