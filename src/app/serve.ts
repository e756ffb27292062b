import { type Cancel, type Clock, systemClock } from "../clock.ts";
import { formatProblem, type Problem } from "../config/checkedYaml.ts";
import { loadSettings, type ServeFlags, usualFile } from "../config/load.ts";
import { createLogging, type Logging } from "../log.ts";
import { endBy, onHangup, onHurry } from "../signals.ts";
import { buildInfo } from "../version.ts";
import { Exporter, isRefusal } from "./exporter.ts";

/** Longer than the web server gives responses on the way, shorter than what is promised to whoever stops it. */
const STOP_DEADLINE_MS = 4_800;
/** For the state alone, when a second signal asks for an end at once. */
const STATE_DEADLINE_MS = 1_000;

export interface ServeOptions {
  readonly flags: ServeFlags;
  /** Resolves, with what asks for it, when the program is to end. */
  readonly stop: Promise<string>;
}

/**
 * Serves metrics until it is told to stop, reading the configuration again on SIGHUP. Resolves to the process' exit
 * code: 0 when it was told to stop, 1 when it could not start.
 */
export async function serve({ flags, stop }: ServeOptions): Promise<number> {
  const settings = loadSettings(flags);
  if (!settings.ok) {
    for (const problem of settings.problems) console.error(formatProblem(problem));
    return 1;
  }
  const logging = createLogging(settings.config.log);
  const { log } = logging;
  process.prependListener("uncaughtException", (error) => {
    log.fatal({ err: error }, "unexpected error");
    process.exit(1);
  });
  const build = buildInfo();
  const { version, revision, nodeVersion } = build;
  log.info({ version, revision: revision ?? "unknown", node: nodeVersion }, "albatross-exporter starts");
  if (settings.file === null) log.info({}, "no configuration file: running with the defaults");
  else log.info({ file: settings.file }, "configuration loaded");
  warn(logging, settings.warnings);

  const clock = systemClock();
  const exporter = new Exporter({ config: settings.config, clock, logging, build });
  // What was started from a file is reloaded from that file or not at all.
  let configFile = settings.file;
  const reloads = new Reloads(async () => {
    const given = configFile === null ? flags : { ...flags, configFile };
    if (await reload(exporter, logging, given)) configFile ??= usualFile();
  });
  onHangup(reloads.request);
  try {
    await exporter.start();
  } catch (error) {
    if (!isRefusal(error)) throw error;
    log.error({}, error.message);
    return 1;
  }
  reloads.start();
  log.info({ reason: await stop }, "stopping");
  onHurry((signal) => {
    log.warn({ reason: signal }, "stopping at once");
    void within(STATE_DEADLINE_MS, exporter.keepState(), clock).then(() => endBy(signal));
  });
  const stopped = reloads.end().then(() => exporter.stop());
  await within(STOP_DEADLINE_MS, stopped, clock);
  log.info({}, "stopped");
  return 0;
}

/** All or nothing: a wrong file, or an address that cannot be had, leaves everything as it was. Tells whether it was taken. */
async function reload(exporter: Exporter, logging: Logging, flags: ServeFlags): Promise<boolean> {
  const { log } = logging;
  const settings = loadSettings(flags, { isReload: true });
  const { file } = settings;
  const refuse = (problems: readonly string[], why: { reason?: string } = {}) => {
    exporter.changeRefused(problems);
    log.error({ file, ...why }, "configuration not reloaded: the one before stays in force");
    return false;
  };
  if (!settings.ok) {
    const problems = settings.problems.map(formatProblem);
    for (const problem of problems) log.error({ problem }, "configuration refused");
    return refuse(problems);
  }
  try {
    await exporter.change(settings.config);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return refuse([error.message], { reason: error.message });
  }
  logging.change(settings.config.log);
  warn(logging, settings.warnings);
  log.info({ file }, "configuration reloaded");
  return true;
}

function warn({ log }: Logging, warnings: readonly Problem[]): void {
  for (const warning of warnings) log.warn({ setting: formatProblem(warning) }, "configuration");
}

/** Resolves with `work`, or after `ms` without it. */
async function within(ms: number, work: Promise<void>, clock: Clock): Promise<void> {
  let stopTimer: Cancel = () => undefined;
  const deadline = new Promise<void>((resolve) => {
    stopTimer = clock.after(ms, resolve);
  });
  await Promise.race([work, deadline]);
  stopTimer();
}

/** Runs one reload at a time. What is asked for before the start or during a reload is done once, afterwards. */
export class Reloads {
  readonly #reload: () => Promise<void>;
  #mustWait = true;
  #wanted = false;
  #ended = false;
  #running: Promise<void> = Promise.resolve();

  constructor(reload: () => Promise<void>) {
    this.#reload = reload;
  }

  readonly request = (): void => {
    this.#wanted = true;
    if (!this.#mustWait) this.start();
  };

  /** From now on requests are followed. */
  start(): void {
    this.#running = this.#run();
  }

  /** From now on they are not. Resolves when the one that is being followed is done. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    this.#mustWait = true;
    try {
      while (this.#wanted && !this.#ended) {
        this.#wanted = false;
        await this.#reload();
      }
    } finally {
      this.#mustWait = this.#ended;
    }
  }
}
