/** How long a VM may be silent and still count; the default of `death_timeout`, after which the fleet forgets it. */
const GENERATION_US = 15 * 60 * 1_000_000;
/** What a VM costs at least, however short its message. */
const MIN_COST_BYTES = 1_024;
/** Room for more than 130,000 VMs with messages of usual size. */
export const DEFAULT_SAMPLE_BUDGET_BYTES = 128 * 1024 * 1024;

/**
 * Bounds what one slot can make the fleet remember. The last sample of every VM is kept, so a peer that invents names
 * or sends huge samples would otherwise take all memory. Costs are bytes on the wire of each VM's last message; a VM
 * stops counting after 15 to 30 minutes of silence.
 */
export class SampleBudget {
  readonly #limitBytes: number;
  #young = new Map<string, number>();
  #youngBytes = 0;
  #old = new Map<string, number>();
  #oldBytes = 0;
  #generationStartUs = 0;

  constructor(limitBytes = DEFAULT_SAMPLE_BUDGET_BYTES) {
    this.#limitBytes = limitBytes;
  }

  /** Whether there is room for a message of `bytes` about `vm`. False: drop it. */
  admit(vm: string, bytes: number, nowUs: number): boolean {
    if (nowUs - this.#generationStartUs >= GENERATION_US) this.#age(nowUs);
    const cost = Math.max(bytes, MIN_COST_BYTES);
    const young = this.#young.get(vm);
    if (young === cost) return true;
    const old = young === undefined ? this.#old.get(vm) : undefined;
    const total = this.#youngBytes + this.#oldBytes - (young ?? old ?? 0) + cost;
    if (total > this.#limitBytes) return false;
    if (old !== undefined) {
      this.#old.delete(vm);
      this.#oldBytes -= old;
    }
    this.#young.set(vm, cost);
    this.#youngBytes += cost - (young ?? 0);
    return true;
  }

  #age(nowUs: number): void {
    this.#old = this.#young;
    this.#oldBytes = this.#youngBytes;
    this.#young = new Map();
    this.#youngBytes = 0;
    this.#generationStartUs = nowUs;
  }
}
