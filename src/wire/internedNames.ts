import { decodeUtf8 } from "./der.ts";
import { InternTable } from "./intern.ts";
import { type Name, tryParseName } from "./names.ts";

/** At 10,000 unikernels one name in ten shares its places with too many others and is parsed anew each time. */
const SLOTS = 32_768;
const NAME_BYTES = 128;

/** The names of unikernels, which come again with every sample and every listing; null for what is no name. */
export const internedNames = new InternTable<Name>(SLOTS, NAME_BYTES, (key) =>
  tryParseName(decodeUtf8(key, 0, key.length)),
);
