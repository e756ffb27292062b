import fc from "fast-check";
import { expect, test } from "vitest";
import { GroupedOrder } from "../../src/fleet/groupedOrder.ts";

/** Ids are ordered by their value; ten in a row are a group. */
const orderOfTens = () =>
  new GroupedOrder(
    (a, b) => a - b,
    (a, b) => Math.floor(a / 10) === Math.floor(b / 10),
  );

function read(order: GroupedOrder): [number, boolean][] {
  const { ids, startsGroup } = order.read();
  return Array.from(ids, (id, index) => [id, startsGroup[index] === 1]);
}

/** What `read` must say about these ids. */
function expected(ids: Iterable<number>): [number, boolean][] {
  const seen = new Set<number>();
  return [...ids]
    .sort((a, b) => a - b)
    .map((id) => {
      const group = Math.floor(id / 10);
      const isFirst = !seen.has(group);
      seen.add(group);
      return [id, isFirst];
    });
}

test("ids are in order and groups begin where they should, whatever was added, dropped and read in between", () => {
  const id = fc.integer({ min: 0, max: 50 });
  const step = fc.oneof(
    { arbitrary: fc.record({ add: id }), weight: 5 },
    { arbitrary: fc.record({ drop: fc.array(id, { maxLength: 6 }) }), weight: 2 },
    { arbitrary: fc.constant("read" as const), weight: 2 },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const order = orderOfTens();
      const model = new Set<number>();
      for (const s of steps) {
        if (s === "read") expect(read(order)).toEqual(expected(model));
        else if ("drop" in s) {
          order.retain((i) => !s.drop.includes(i));
          for (const i of s.drop) model.delete(i);
        } else if (!model.has(s.add)) {
          order.add(s.add);
          model.add(s.add);
        }
      }
      expect(read(order)).toEqual(expected(model));
    }),
  );
});

test("many thousand ids added out of order are in order", () => {
  const order = orderOfTens();
  for (let i = 0; i < 5000; i++) order.add((i * 7919) % 5000);
  expect(read(order)).toEqual(expected(Array.from({ length: 5000 }, (_, i) => i)));
});

test("what was read before stays as it is", () => {
  const order = orderOfTens();
  order.add(5);
  order.add(12);
  const before = order.read();
  order.add(3);
  order.read();
  order.retain((id) => id === 3);
  expect(read(order)).toEqual([[3, true]]);
  expect([[...before.ids], [...before.startsGroup]]).toEqual([
    [5, 12],
    [1, 1],
  ]);
});

test("after one addition to many, some twenty comparisons put it in its place", () => {
  let compared = 0;
  const order = new GroupedOrder(
    (a, b) => {
      compared += 1;
      return a - b;
    },
    () => false,
  );
  for (let i = 0; i < 100_000; i++) order.add(i * 2);
  order.read();
  compared = 0;
  order.add(77_777);
  order.read();
  expect(compared).toBeLessThan(25);
});
