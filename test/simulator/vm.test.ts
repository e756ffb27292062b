import fc from "fast-check";
import { expect, test } from "vitest";
import { splitCloneName } from "../../src/fleet/groups.ts";
import { cloneOf } from "../../src/simulator/vm.ts";
import { isValidLabel } from "../../src/wire/names.ts";

// The simulator and the program each have the rule, for neither may know the other.
test("a VM is the clone of the same primary to the simulator as to the program", () => {
  const part = fc.constantFrom(
    "web",
    "w",
    "-",
    "-clone-",
    "clone",
    "0",
    "1",
    "12",
    "999999999",
    "1000000000",
    ".",
  );
  const label = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(label.filter(isValidLabel), (text) => {
      const { primary, cloneId } = splitCloneName(text);
      expect(cloneOf(text)).toEqual(cloneId === 0 ? null : { primary, id: cloneId });
    }),
    {
      numRuns: 2_000,
      examples: [["web-clone-1"], ["web-clone-1-clone-2"], ["web-clone-01"], ["a-clone-2147483648"]],
    },
  );
});
