import { type Reader, Refused } from "../../config/fields.ts";
import { formatName, type Name, tryParseName } from "../../wire/names.ts";

/** Any finite number within bounds, both included. */
export function number({
  min,
  max,
  what = "a number",
}: {
  min: number;
  max: number;
  what?: string;
}): Reader<number> {
  return (value) =>
    typeof value === "number" && value >= min && value <= max
      ? value
      : new Refused(`${what} from ${min} to ${max}`);
}

/** The name of a unikernel. */
export const vmName: Reader<Name> = (value) => {
  const name = nameOf(value);
  return name === null || name.label === null ? new Refused(VM_NAMES) : name;
};

/** A path: `:` or `user:`. */
export const pathName: Reader<Name> = (value) => {
  const name = nameOf(value);
  return name === null || name.label !== null ? new Refused('a path such as ":" or "user:"') : name;
};

/** What a client can subscribe to, in Albatross' own form. */
export const slotName: Reader<string> = (value) => {
  const name = nameOf(value);
  return name === null ? new Refused('a slot such as ":", "user:" or "user:web"') : formatName(name);
};

export const VM_NAMES = 'a VM\'s name such as "user:web" or ":hello", of labels of a-z, 0-9, "." and "-"';

/** null when it is no name at all. */
export function nameOf(value: unknown): Name | null {
  return typeof value === "string" ? tryParseName(value) : null;
}
