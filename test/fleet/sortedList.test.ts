import fc from "fast-check";
import { expect, test } from "vitest";
import { SortedList } from "../../src/fleet/sortedList.ts";

interface Item {
  readonly key: number;
}
const byKey = (a: Item, b: Item) => a.key - b.key;

test("items come back in order, whatever was added, dropped and read in between", () => {
  const step = fc.oneof(
    { arbitrary: fc.record({ add: fc.integer({ min: 0, max: 50 }) }), weight: 5 },
    { arbitrary: fc.record({ drop: fc.integer({ min: 0, max: 50 }) }), weight: 2 },
    { arbitrary: fc.constant("read" as const), weight: 2 },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const list = new SortedList<Item>(byKey);
      let model: number[] = [];
      for (const s of steps) {
        if (s === "read") {
          expect(list.items().map(({ key }) => key)).toEqual(model.sort((a, b) => a - b));
        } else if ("add" in s) {
          list.add({ key: s.add });
          model.push(s.add);
        } else {
          list.retain(({ key }) => key !== s.drop);
          model = model.filter((key) => key !== s.drop);
        }
      }
      expect(list.items().map(({ key }) => key)).toEqual(model.sort((a, b) => a - b));
    }),
  );
});

test("many thousand items added out of order are in order", () => {
  const list = new SortedList<Item>(byKey);
  for (let i = 0; i < 5000; i++) list.add({ key: (i * 7919) % 5000 });
  expect(list.items().map(({ key }) => key)).toEqual(Array.from({ length: 5000 }, (_, i) => i));
});

test("a list handed out before stays as it is", () => {
  const list = new SortedList<Item>(byKey);
  list.add({ key: 2 });
  const before = list.items();
  list.add({ key: 1 });
  list.retain(({ key }) => key === 1);
  expect(list.items()).toEqual([{ key: 1 }]);
  expect(before).toEqual([{ key: 2 }]);
});
