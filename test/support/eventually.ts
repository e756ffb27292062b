const PATIENCE_MS = 10_000;

/**
 * Resolves as soon as `condition` holds, looking after each turn of the event loop: for what real sockets do while the
 * clock of the code under test stands still. Fails after ten seconds, saying what it waited for.
 */
export async function eventually(what: string | (() => string), condition: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > giveUpAt) {
      throw new Error(`waited in vain for: ${typeof what === "string" ? what : what()}`);
    }
    await turn();
  }
}

/** Lets everything happen that sockets have ready now: for showing that something does not happen. */
export async function settle(turns = 50): Promise<void> {
  for (let i = 0; i < turns; i++) await turn();
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
