/** What several commands need: values of flags, and the end of a command that runs until it is asked to end. */
import { InvalidArgumentError } from "commander";

/** A flag's value as commander reads it: null from `read` is refused with what is allowed. */
export function flagValue<T>(allowed: string, read: (text: string) => T | null): (text: string) => T {
  return (text) => {
    const value = read(text);
    if (value === null) throw new InvalidArgumentError(`allowed: ${allowed}`);
    return value;
  };
}

/** A whole number from 0 to `max`; null for anything else. */
export function wholeNumber(text: string, max: number): number | null {
  const isShort = text.length <= String(max).length;
  return /^\d+$/.test(text) && isShort && Number(text) <= max ? Number(text) : null;
}

/** npm passes on what a terminal has sent to the whole process group: one request that is heard twice. */
const SAME_REQUEST_MS = 500;

/**
 * Resolves when the process is asked to end: SIGINT, SIGTERM and, but for `serve`, which takes it for a reload, SIGHUP,
 * with which a terminal goes. A later request ends the process at once, as it always would.
 */
export function untilSignal({ hangup = true }: { hangup?: boolean } = {}): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const signals: NodeJS.Signals[] = ["SIGINT", "SIGTERM", ...(hangup ? (["SIGHUP"] as const) : [])];
    const onSignal = (signal: NodeJS.Signals) => {
      resolve(signal);
      setTimeout(() => {
        for (const one of signals) process.off(one, onSignal);
      }, SAME_REQUEST_MS).unref();
    };
    for (const one of signals) process.on(one, onSignal);
  });
}
