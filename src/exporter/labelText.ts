import { escapeLabelValue } from "../exposition/labels.ts";

/** Far more device names and counter names than hosts have; what a hostile peer invents beyond it is forgotten. */
const MAX_CACHED = 10_000;

/**
 * Pre-escaped `,name="value"` for text from the wire. Devices and counters have few names that come again with every
 * sample, so each is made once.
 */
export class LabelText {
  readonly #open: string;
  readonly #made = new Map<string, string>();
  #lastValue: string | null = null;
  #last = "";

  constructor(labelName: string) {
    this.#open = `,${labelName}="`;
  }

  /** The label to append to a VM's labels. */
  of(value: string): string {
    if (value !== this.#lastValue) {
      this.#last = this.#made.get(value) ?? this.#make(value);
      this.#lastValue = value;
    }
    return this.#last;
  }

  #make(value: string): string {
    const text = `${this.#open}${escapeLabelValue(value)}"`;
    if (this.#made.size >= MAX_CACHED) this.#made.clear();
    this.#made.set(value, text);
    return text;
  }

  /** How many texts are kept. */
  get size(): number {
    return this.#made.size;
  }
}
