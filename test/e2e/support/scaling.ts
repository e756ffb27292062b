/** What the scaler's end-to-end tests read from the running program and say to simulated hosts. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { SimulatedHost } from "../../../src/simulator/host.ts";
import { type VmSpec, vmSpec } from "../../../src/simulator/model.ts";
import { parseName } from "../../../src/wire/names.ts";
import { type Serving, until } from "../../support/serving.ts";
import { scenarioOf } from "../../support/simulated.ts";
import { Command } from "./command.ts";

/** A decision as `/api/v1/decisions`, the decision log and `backtest` tell it. */
export interface ToldDecision {
  readonly time: string;
  readonly host: string;
  readonly path: string;
  readonly group: string;
  readonly decision: string;
  readonly reason: string;
  readonly clone: string | null;
  readonly step: number | null;
  readonly average_percent: number | null;
  readonly average_for_up_percent: number | null;
  readonly average_for_down_percent: number | null;
  /** where the policy has a query */
  readonly load?: number | null;
  readonly clones: number;
  readonly high_ticks: number;
  readonly low_ticks: number;
  readonly would: Pick<ToldDecision, "decision" | "reason" | "clone" | "step"> | null;
  /** not in a backtest */
  readonly text?: string;
}

/** Replayed decisions are the live ones: to the letter, but for averages and times, which may differ by less than that. */
export function expectSame(
  live: readonly ToldDecision[],
  replayed: readonly ToldDecision[],
  tolerance: { readonly percent: number; readonly ms: number },
): void {
  expect(replayed.map(exactly)).toEqual(live.map(exactly));
  for (const [index, decision] of live.entries()) {
    const again = replayed[index];
    const both = JSON.stringify([decision, again]);
    const apartMs = Math.abs(Date.parse(decision.time) - Date.parse(again?.time ?? ""));
    expect(apartMs, both).toBeLessThan(tolerance.ms);
    for (const average of [
      "average_percent",
      "average_for_up_percent",
      "average_for_down_percent",
    ] as const) {
      const [was, is] = [decision[average], again?.[average] ?? null];
      expect(is === null, both).toBe(was === null);
      expect(Math.abs((is ?? 0) - (was ?? 0)), both).toBeLessThan(tolerance.percent);
    }
  }
}

/** What has to be the same to the letter. */
function exactly(one: ToldDecision) {
  const { host, path, group, decision, reason, clone, step, load, clones, high_ticks, low_ticks, would } =
    one;
  return { host, path, group, decision, reason, clone, step, load, clones, high_ticks, low_ticks, would };
}

/** A VM of a simulated host; `percent` is its load, or its group's when it shares it with its clones. */
export function loadedVm(name: string, percent: number, spec: Partial<VmSpec> = {}): VmSpec {
  return vmSpec({ ...spec, name: parseName(name), load: { type: "constant", percent } });
}

/** A simulated host on the machine's clock that stops with the test. */
export async function startSimulated(
  socketDir: string,
  vms: readonly VmSpec[],
  intervalMs: number,
): Promise<SimulatedHost> {
  const host = new SimulatedHost(scenarioOf({ intervalMs, vms }), { socketDir, clock: systemClock() });
  await host.start();
  onTestFinished(() => host.stop());
  return host;
}

/** All that `/api/v1/decisions` tells, the oldest first, without the policies, which nobody else tells. */
export async function apiDecisions(serving: Serving): Promise<ToldDecision[]> {
  const { data } = JSON.parse(await serving.get("/api/v1/decisions?limit=10000"));
  const told: readonly (ToldDecision & { readonly policy: unknown })[] = data;
  return told.map(({ policy: _, ...decision }) => decision).toReversed();
}

/** What the last evaluation said of each group that was evaluated, at `url`. */
export async function explainedGroups<Told extends ToldDecision>(url: string): Promise<Told[]> {
  const { data } = (await (await fetch(`${url}/api/v1/groups`)).json()) as {
    data: (Pick<ToldDecision, "host" | "path" | "group"> & { scaler: Told | null })[];
  };
  return data.flatMap(({ host, path, group, scaler }) =>
    scaler === null ? [] : { ...scaler, host, path, group },
  );
}

/** A recording of a running program by the command `record`. */
export class Recording {
  readonly trace: string;
  readonly #configFile: string;
  readonly #recorder: Command;

  private constructor(folder: string, { url, configFile }: Serving) {
    this.trace = join(folder, "trace.ndjson");
    this.#configFile = configFile;
    this.#recorder = new Command(["record", "--url", url, "-o", this.trace]);
  }

  /** Resolves once the stream is being read: the file is made then. */
  static async start(folder: string, serving: Serving): Promise<Recording> {
    const recording = new Recording(folder, serving);
    const isThere = async () => existsSync(recording.trace);
    await until("the recording", isThere, (exists) => exists);
    return recording;
  }

  /** Ends it; what the command says of it. */
  async end(): Promise<string> {
    this.#recorder.signal("SIGINT");
    const { code, stderr } = await this.#recorder.ended;
    expect(code, stderr).toBe(0);
    return stderr;
  }

  /** What `backtest` makes of it at its own ticks, by the program's configuration. */
  async replay(...flags: readonly string[]) {
    const args = ["--config.file", this.#configFile, "--ticks", "trace", "--format", "json"];
    const { code, stdout, stderr } = await new Command(["backtest", ...args, ...flags, this.trace]).ended;
    expect([code, stderr]).toEqual([0, ""]);
    return JSON.parse(stdout) as {
      ticks: number;
      decisions: ToldDecision[];
      summary: { skipped_lines: number };
    };
  }
}

/** The lines of a decision log; none when it is not there. */
export function fileDecisions(file: string): ToldDecision[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line));
}

/** What the program's log tells of decisions, in order. */
export function loggedDecisions(serving: Serving): Record<string, unknown>[] {
  return serving.events.filter(({ msg }) => msg === "scale decision" || msg === "scaler holds");
}

/** Waits until the log tells of a decision that has these fields, after the first `after` of them; returns how many there are then. */
export async function decided(
  serving: Serving,
  fields: Readonly<Record<string, unknown>>,
  after = 0,
): Promise<number> {
  const found = await until(
    JSON.stringify(fields),
    async () => {
      const index = loggedDecisions(serving).findIndex(
        (event, at) => at >= after && Object.entries(fields).every(([key, value]) => event[key] === value),
      );
      return index < 0 ? null : index + 1;
    },
    (count) => count !== null,
  );
  return found ?? 0;
}
