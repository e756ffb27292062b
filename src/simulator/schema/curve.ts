import { z } from "zod";
import { duration, field, list, Refused, section } from "../../config/fields.ts";
import type { Curve } from "../curve.ts";
import { number } from "./readers.ts";

/** Percent of one VM; more than 100 where a group shares it, negative in a sum. */
const percent = field(number({ min: -100_000, max: 100_000, what: "percent: a number" }));
const time = field(duration({ min: 0 }));
const span = field(duration({ min: 1 }));

/** The forms of a curve by the key that each is written under. */
const FORMS: Record<string, z.ZodType<Curve, unknown>> = {
  constant: percent.transform((value): Curve => ({ type: "constant", percent: value })),
  ramp: section({ from: percent, to: percent, start: time.default(0), over: span }).transform(
    (ramp): Curve => ({ type: "ramp", from: ramp.from, to: ramp.to, startMs: ramp.start, overMs: ramp.over }),
  ),
  sine: section({ mean: percent, amplitude: percent, period: span, phase: time.default(0) }).transform(
    (sine): Curve => ({
      type: "sine",
      mean: sine.mean,
      amplitude: sine.amplitude,
      periodMs: sine.period,
      phaseMs: sine.phase,
    }),
  ),
  steps: list(section({ at: time, percent }), "steps")
    .check(
      z.superRefine((steps, context) => {
        steps.forEach((step, index) => {
          const before = steps[index - 1];
          if (before === undefined || step.at > before.at) return;
          context.addIssue({
            code: "custom",
            path: [index, "at"],
            message: "is not after the step before it; allowed: ascending times",
          });
        });
      }),
    )
    .transform(
      (steps): Curve => ({
        type: "steps",
        steps: steps.map((step) => ({ atMs: step.at, percent: step.percent })),
      }),
    ),
  noise: section({ mean: percent.default(0), amplitude: percent, every: span.default(1000) }).transform(
    (noise): Curve => ({ type: "noise", mean: noise.mean, amplitude: noise.amplitude, everyMs: noise.every }),
  ),
  sum: list(
    z.lazy(() => curve),
    "curves",
  ).transform((of): Curve => ({ type: "sum", of })),
  scale: section({ by: field(number({ min: -1000, max: 1000 })), of: z.lazy(() => curve) }).transform(
    ({ by, of }): Curve => ({ type: "scale", by, of }),
  ),
};

const CURVES = `a number (percent), or a mapping with one of the keys ${Object.keys(FORMS).join(", ")}`;

/** A load over time: a number, or one of the forms under its key. */
export const curve: z.ZodType<Curve, unknown> = z.unknown().transform((value, context) => {
  const [key, form] = formOf(value);
  if (form === undefined) {
    context.addIssue(new Refused(CURVES, foundKeys(value)).about(value));
    return z.NEVER;
  }
  const result = form.safeParse(key === null ? value : (value as Record<string, unknown>)[key]);
  if (result.success) return result.data;
  for (const { path, message } of result.error.issues) {
    context.addIssue({ code: "custom", path: key === null ? [...path] : [key, ...path], message });
  }
  return z.NEVER;
});

function formOf(value: unknown): [key: string | null, form: z.ZodType<Curve, unknown> | undefined] {
  if (typeof value === "number") return [null, FORMS["constant"]];
  if (typeof value !== "object" || value === null) return [null, undefined];
  const [key, ...others] = Object.keys(value);
  if (key === undefined || others.length > 0 || !Object.hasOwn(FORMS, key)) return [null, undefined];
  return [key, FORMS[key]];
}

function foundKeys(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const keys = Object.keys(value);
  return `a mapping with ${keys.length === 0 ? "no key" : keys.join(" and ")} is not allowed`;
}
