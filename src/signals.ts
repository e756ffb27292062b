/**
 * What signals do, from the first line of the program to its last write. This file imports nothing and keeps to syntax
 * that old versions of Node can read, for it is loaded before anything else.
 */

/** They ask for the end. A service's CPU limit and a failing power supply send the last two. */
const STOPPING: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGXCPU", "SIGPWR"];

/** Of these a second one is meant: whoever sends it does not want to wait for an orderly end. */
const HURRYING: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP"];

/**
 * By themselves they would end the process, SIGUSR1 open a debugger. Not here: faults (SIGSEGV, SIGABRT and their like),
 * after which nothing can be trusted, job control (SIGTSTP, SIGTTIN, SIGTTOU), and what Node or the system ignores.
 */
const IGNORED: readonly NodeJS.Signals[] = [
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGVTALRM",
  "SIGPROF",
  "SIGIO",
  "SIGSTKFLT",
];

/** npm passes on what a terminal has sent to the whole process group: one request that is heard twice. */
const SAME_REQUEST_MS = 500;

let isLoading = true;
let firstStop: NodeJS.Signals | null = null;
let firstStopAtMs = 0;
let isHungUp = false;
let onStop: ((signal: NodeJS.Signals) => void) | null = null;
let hangupStops = true;
let reload: (() => void) | null = null;
let hurry = endBy;

/** Takes every signal. What asks for something is kept until a command says what it does about it. */
export function guardSignals(): void {
  // Node's own profiler lives by it: without it there is no profile, and the signal ends the process after all
  const isProfiled = process.execArgv
    .concat(process.env["NODE_OPTIONS"] || "")
    .some((flag) => /--(cpu-)?prof/.test(flag));
  for (const signal of IGNORED) {
    if (signal !== "SIGPROF" || !isProfiled) process.on(signal, () => undefined);
  }
  for (const signal of STOPPING) process.on(signal, stop);
  process.on("SIGHUP", () => {
    if (isLoading || !hangupStops) isHungUp = true;
    if (reload !== null) reload();
    else if (!isLoading && hangupStops) stop("SIGHUP");
  });
}

/** A command has been begun: unless it waits for them, signals end the process as they always would. */
export function commandBegun(): void {
  isLoading = false;
  if (isHungUp && hangupStops && firstStop === null) stop("SIGHUP");
  else if (firstStop !== null && onStop === null) endBy(firstStop);
}

/** A command has done what it does: what is left, such as output that nobody reads, does not outlast a signal. */
export function commandEnded(): void {
  onStop = null;
  firstStop = null;
}

/** Resolves with the first signal that asks for the end, which may have come already. */
export function untilSignal({ hangup = true }: { hangup?: boolean } = {}): Promise<NodeJS.Signals> {
  hangupStops = hangup;
  return new Promise((resolve) => {
    onStop = resolve;
    if (firstStop !== null) resolve(firstStop);
  });
}

/** What a hangup asks for where it does not ask for the end. One that has come already is answered now. */
export function onHangup(callback: () => void): void {
  reload = callback;
  if (isHungUp) callback();
}

/** What a second request to end asks for, instead of ending the process at once. One after it does end it. */
export function onHurry(callback: (signal: NodeJS.Signals) => void): void {
  hurry = callback;
}

function stop(signal: NodeJS.Signals): void {
  if (firstStop === null) {
    firstStop = signal;
    firstStopAtMs = process.uptime() * 1000;
    if (onStop !== null) onStop(signal);
    else if (!isLoading) endBy(signal);
    return;
  }
  const isSame = process.uptime() * 1000 - firstStopAtMs < SAME_REQUEST_MS;
  if (isSame || HURRYING.indexOf(signal) < 0) return;
  const answer = hurry;
  hurry = endBy;
  answer(signal);
}

/** Ends the process as the signal does by itself, so that a shell sees what happened; what cleans up at an exit does so. */
export function endBy(signal: NodeJS.Signals): void {
  process.emit("exit", 0);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
