import { context, type DerWriter } from "./der.ts";
import type { Int64 } from "./messages.ts";

/** Writes a NULL under an EXPLICIT context tag: a command or result without parameters. */
export function writeTaggedNull(writer: DerWriter, number: number): void {
  const outer = writer.open(context(number));
  writer.null();
  writer.close(outer);
}

/** Writes an INTEGER under an EXPLICIT context tag. */
export function writeTaggedInteger(writer: DerWriter, number: number, value: Int64): void {
  const outer = writer.open(context(number));
  writer.integer(value);
  writer.close(outer);
}
