import { isDeepStrictEqual } from "node:util";
import { Target, type TargetSink, type TargetSnapshot } from "../client/target.ts";
import type { Clock } from "../clock.ts";
import type { TargetConfig } from "../config/types.ts";
import type { Logger } from "../log.ts";

export interface HostsOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Where a host's samples and answers go. */
  readonly sinkOf: (host: string) => TargetSink;
  /** What is known under this name is no longer true: the target is gone, or stands for something else now. */
  readonly forget: (host: string) => void;
}

interface Running {
  readonly config: TargetConfig;
  readonly target: Target;
}

/** The targets that are read now. */
export class Hosts {
  readonly #options: HostsOptions;
  /** in the order of the configuration */
  #running: readonly Running[] = [];

  constructor(options: HostsOptions) {
    this.#options = options;
  }

  /**
   * Makes the running targets those of `configs`. A target whose settings are as before goes on undisturbed; all others
   * are stopped before any is started, for a subscription that two connections want is taken from one of them.
   */
  async apply(configs: readonly TargetConfig[]): Promise<void> {
    const kept = this.#running.filter(({ config }) =>
      configs.some((other) => isDeepStrictEqual(config, other)),
    );
    const ended = this.#running.filter((running) => !kept.includes(running));
    await Promise.all(ended.map(({ target }) => target.stop()));
    for (const { config } of ended) {
      const successor = configs.find(({ name }) => name === config.name);
      if (successor === undefined || !readsTheSame(config, successor)) this.#options.forget(config.name);
    }
    this.#running = configs.map(
      (config) => kept.find((running) => isDeepStrictEqual(running.config, config)) ?? this.#start(config),
    );
  }

  snapshots(): readonly TargetSnapshot[] {
    return this.#running.map(({ target }) => target.snapshot());
  }

  /** Ends all connections; resolves when they are. */
  async stop(): Promise<void> {
    await Promise.all(this.#running.map(({ target }) => target.stop()));
  }

  #start(config: TargetConfig): Running {
    const { clock, log, sinkOf } = this.#options;
    const target = new Target(config, sinkOf(config.name), clock, log);
    target.start();
    return { config, target };
  }
}

/** Whether what is known of a host's VMs stays true under changed settings. */
function readsTheSame(before: TargetConfig, after: TargetConfig): boolean {
  return before.socketDir === after.socketDir && isDeepStrictEqual(before.subscribe, after.subscribe);
}
