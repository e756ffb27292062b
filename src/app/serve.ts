import { type Cancel, type Clock, OneAtATime, systemClock } from "../clock.ts";
import { formatProblem, type Problem } from "../config/checkedYaml.ts";
import { loadSettings, type ServeFlags, usualFile } from "../config/load.ts";
import { createLogging, type Logging } from "../log.ts";
import { endBy, onHangup, onHurry } from "../signals.ts";
import { buildInfo } from "../version.ts";
import { Access } from "../web/access.ts";
import { systemdSockets } from "../web/listen.ts";
import { Exporter, isRefusal } from "./exporter.ts";

/** Longer than the web server gives responses on the way, shorter than what is promised. */
const STOP_DEADLINE_MS = 4_800;
/** For the state alone, when a second signal asks for an end at once. */
const STATE_DEADLINE_MS = 1_000;

/** Serves until `stop` resolves with the reason. Resolves to the exit code: 1 when it could not start. */
export async function serve(given: ServeFlags, stop: Promise<string>): Promise<number> {
  const flags = given.systemdSocket ? onSystemdSockets(given) : given;
  const settings = loadSettings(flags);
  if (!settings.ok) {
    for (const problem of settings.problems) console.error(formatProblem(problem));
    return 1;
  }
  const logging = createLogging(settings.config.log);
  const { log } = logging;
  const clock = systemClock();
  const access = new Access(flags.webConfigFile ?? null, { clock, log });
  const problems = access.read();
  if (problems.length > 0) {
    for (const problem of problems) console.error(problem);
    return 1;
  }
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

  const exporter = new Exporter({
    config: settings.config,
    access,
    clock,
    logging,
    build,
    reload: () => {
      reloads.request();
      return reloads.idle();
    },
  });
  // What was started from a file is reloaded from that file or not at all.
  let configFile = settings.file;
  let isStopping = false;
  const reloads = new OneAtATime(async () => {
    const latest = configFile === null ? flags : { ...flags, configFile };
    if (!isStopping && (await reload(exporter, access, logging, latest))) configFile ??= usualFile();
  });
  try {
    await exporter.start();
  } catch (error) {
    if (!isRefusal(error)) throw error;
    log.error({}, error.message);
    return 1;
  }
  onHangup(() => reloads.request());
  const reason = await stop;
  isStopping = true;
  log.info({ reason }, "stopping");
  onHurry((signal) => {
    log.warn({ reason: signal }, "stopping at once");
    void within(STATE_DEADLINE_MS, exporter.keepState(), clock).then(() => endBy(signal));
  });
  const stopped = reloads.idle().then(() => exporter.stop());
  await within(STOP_DEADLINE_MS, stopped, clock);
  log.info({}, "stopped");
  return 0;
}

function onSystemdSockets(flags: ServeFlags): ServeFlags {
  const listenAddresses = systemdSockets(process.env, process.pid);
  // nothing that is started from here is to take them for its own
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete process.env[name];
  return { ...flags, web: { ...flags.web, listenAddresses } };
}

/** Whether the configuration was taken: what is wrong with it leaves all as it was. */
async function reload(
  exporter: Exporter,
  access: Access,
  logging: Logging,
  flags: ServeFlags,
): Promise<boolean> {
  const { log } = logging;
  const settings = loadSettings(flags, { isReload: true });
  const { file } = settings;
  const refuse = (problems: readonly string[], why: { reason?: string } = {}) => {
    exporter.configRead(problems);
    log.error({ file, ...why }, "configuration not reloaded: the one before stays in force");
    return false;
  };
  const problems = settings.ok ? [] : settings.problems.map(formatProblem);
  problems.push(...access.read({ isReload: true }));
  if (!settings.ok || problems.length > 0) {
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
