/** Runs one reload at a time. What is asked for before the start or during a reload is done once, afterwards. */
export class Reloads {
  readonly #reload: () => Promise<void>;
  #started = false;
  #running = false;
  #wanted = false;

  constructor(reload: () => Promise<void>) {
    this.#reload = reload;
  }

  readonly request = (): void => {
    this.#wanted = true;
    this.#runWhenWanted();
  };

  /** From now on requests are followed. */
  start(): void {
    this.#started = true;
    this.#runWhenWanted();
  }

  #runWhenWanted(): void {
    if (this.#started && this.#wanted && !this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      while (this.#wanted) {
        this.#wanted = false;
        await this.#reload();
      }
    } finally {
      this.#running = false;
    }
  }
}
