import { expect, test } from "vitest";
import { Reloads } from "../../src/app/serve.ts";

/** A reload that ends when told to; `begun` counts how many have begun. */
function slowReload() {
  let begun = 0;
  let finish = () => {};
  const reloads = new Reloads(() => {
    begun++;
    return new Promise((resolve) => {
      finish = resolve;
    });
  });
  const finishOne = () => {
    finish();
    return new Promise((resolve) => {
      setImmediate(resolve);
    });
  };
  return { reloads, begun: () => begun, finish: finishOne };
}

test("a request before the start waits for it", () => {
  const { reloads, begun } = slowReload();
  reloads.request();
  expect(begun()).toBe(0);
  reloads.start();
  expect(begun()).toBe(1);
});

test("requests during a reload are one reload afterwards", async () => {
  const { reloads, begun, finish } = slowReload();
  reloads.start();
  reloads.request();
  reloads.request();
  reloads.request();
  expect(begun()).toBe(1);
  await finish();
  expect(begun()).toBe(2);
  await finish();
  expect(begun()).toBe(2);
  reloads.request();
  expect(begun()).toBe(3);
});
