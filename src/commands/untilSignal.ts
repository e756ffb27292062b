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
