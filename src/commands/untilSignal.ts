/** Resolves when the process is asked to end (SIGINT, SIGTERM). A second request ends it at once, as it always would. */
export function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const signals: NodeJS.Signals[] = ["SIGINT", "SIGTERM"];
    const onSignal = (signal: NodeJS.Signals) => {
      for (const one of signals) process.off(one, onSignal);
      resolve(signal);
    };
    for (const one of signals) process.on(one, onSignal);
  });
}
