import { InvalidArgumentError } from "commander";

/** Reads a flag's value for commander: null is refused with what is allowed. */
export function flagValue<T>(allowed: string, read: (text: string) => T | null): (text: string) => T {
  return (text) => {
    const value = read(text);
    if (value === null) throw new InvalidArgumentError(`allowed: ${allowed}`);
    return value;
  };
}

/** A whole number from 0 to `max`; null for anything else. */
export function wholeNumber(text: string, max: number): number | null {
  const isShort = text.length <= String(max).length;
  return /^\d+$/.test(text) && isShort && Number(text) <= max ? Number(text) : null;
}

/** The path of a file or directory; what is at it shows when it is used. */
export const path = flagValue("a path", (text) => (text === "" ? null : text));
