import { unitAt } from "./random.ts";

/**
 * A load over time, in percent of what the VM has (100 = all of its CPUs busy). Times are milliseconds of scenario
 * time, which starts at 0 and starts again with every repeat.
 */
export type Curve =
  | { readonly type: "constant"; readonly percent: number }
  | {
      readonly type: "ramp";
      readonly from: number;
      readonly to: number;
      readonly startMs: number;
      readonly overMs: number;
    }
  | {
      readonly type: "sine";
      readonly mean: number;
      readonly amplitude: number;
      readonly periodMs: number;
      readonly phaseMs: number;
    }
  /** Each value holds from its time on; before the first time the load is 0. Times ascend. */
  | { readonly type: "steps"; readonly steps: readonly { readonly atMs: number; readonly percent: number }[] }
  /** A new value within `mean` plus or minus `amplitude` every `everyMs`. */
  | { readonly type: "noise"; readonly mean: number; readonly amplitude: number; readonly everyMs: number }
  | { readonly type: "sum"; readonly of: readonly Curve[] }
  | { readonly type: "scale"; readonly by: number; readonly of: Curve };

/** The curve's value at a time, in percent; may be outside 0 to 100. Noise comes from the seed and the time alone. */
export function curveAt(curve: Curve, timeMs: number, seed: number): number {
  switch (curve.type) {
    case "constant":
      return curve.percent;
    case "ramp": {
      const progress = Math.min(Math.max((timeMs - curve.startMs) / curve.overMs, 0), 1);
      return curve.from + (curve.to - curve.from) * progress;
    }
    case "sine":
      return (
        curve.mean + curve.amplitude * Math.sin((2 * Math.PI * (timeMs + curve.phaseMs)) / curve.periodMs)
      );
    case "steps": {
      let percent = 0;
      for (const step of curve.steps) {
        if (step.atMs > timeMs) break;
        percent = step.percent;
      }
      return percent;
    }
    case "noise":
      return curve.mean + curve.amplitude * (2 * unitAt(seed, Math.floor(timeMs / curve.everyMs)) - 1);
    case "sum": {
      let total = 0;
      // Each part gets chance of its own: two equal noises in one sum are not the same noise twice.
      for (const [index, part] of curve.of.entries())
        total += curveAt(part, timeMs, seed + index * 0x9e3779b9);
      return total;
    }
    case "scale":
      return curve.by * curveAt(curve.of, timeMs, seed);
  }
}
