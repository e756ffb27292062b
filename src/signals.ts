/**
 * What signals do, from the first line of the program to its last write. Loaded before anything else:
 * imports nothing, and keeps to syntax that old versions of Node can read.
 */

/** They ask for the end: a service's CPU limit and a failing power supply send the last two. */
const STOPPING: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGXCPU", "SIGPWR"];

/** Whoever sends a second one of these does not want to wait for an orderly end. */
export const HURRYING: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP"];

/**
 * By themselves they would end the process, SIGUSR1 open a debugger. Left as they are: faults such as
 * SIGSEGV, job control such as SIGTSTP, and what Node or the system ignores.
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

/** npm passes on what a terminal sends to all of the group: one request is heard twice. */
const SAME_REQUEST_MS = 500;

let isLoading = true;
let firstStop: NodeJS.Signals | null = null;
let firstStopAtMs = 0;
let isHungUp = false;
let onStop: ((signal: NodeJS.Signals) => void) | null = null;
let hangupStops = true;
let reload: (() => void) | null = null;
let hurry = endBy;

/** Takes every signal. What one asks for is kept until a command says what it does about it. */
export function guardSignals(): void {
  // Node's own profiler lives by SIGPROF
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

/** A command has begun: unless it waits for signals, they end the process as always. */
export function commandBegun(): void {
  isLoading = false;
  if (isHungUp && hangupStops && firstStop === null) stop("SIGHUP");
  else if (firstStop !== null && onStop === null) endBy(firstStop);
}

/**
 * A command is done: what is left, such as output that nobody reads, ends with a signal. Returns whether
 * one has asked for the end.
 */
export function commandEnded(): boolean {
  onStop = null;
  return firstStop !== null;
}

/** Resolves with the first signal that asks for the end, which may have come already. */
export function untilSignal({ hangup = true }: { hangup?: boolean } = {}): Promise<NodeJS.Signals> {
  hangupStops = hangup;
  return new Promise((resolve) => {
    onStop = resolve;
    if (firstStop !== null) resolve(firstStop);
  });
}

/** What a hangup asks for where not the end. One that has come already is answered now. */
export function onHangup(callback: () => void): void {
  reload = callback;
  if (isHungUp) callback();
}

/** What a second request to end does instead of ending the process. One after it does end it. */
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

/** Ends the process as the signal by itself would, after the handlers of "exit". */
export function endBy(signal: NodeJS.Signals): void {
  process.emit("exit", 0);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
