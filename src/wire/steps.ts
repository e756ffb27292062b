/** Work that may be long, done a step per `next()`: whoever drives it decides what happens in between. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** Does all of the work now. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
