/**
 * How long a test waits for what it asserts, here and wherever it starts a program: far longer than it takes, since a
 * busy machine may leave a process without the processor for seconds. Below the limit of a test.
 */
export const PATIENCE_MS = 45_000;
const TURNS_AT_ONCE = 200;

/**
 * Resolves as soon as `condition` holds, for what real sockets and files do while the clock of the code under test
 * stands still: looks after each turn of the event loop at first, then every few ms. Fails when patience is over,
 * saying what it waited for.
 */
export async function eventually(what: string | (() => string), condition: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + PATIENCE_MS;
  for (let looks = 1; !condition(); looks++) {
    if (performance.now() > giveUpAt) {
      throw new Error(`waited in vain for: ${typeof what === "string" ? what : what()}`);
    }
    await (looks < TURNS_AT_ONCE ? turn() : new Promise((resolve) => setTimeout(resolve, 2)));
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
