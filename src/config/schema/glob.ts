import { type Reader, Refused } from "../fields.ts";
import { GlobError, parseGlob } from "../glob.ts";

/** A glob on full names, lower-cased. */
export const glob: Reader<string> = (value) => {
  const allowed =
    'a glob on full names such as "user:web", "user:*" or ":hello": * is any characters, ? one, [abc] one of a set';
  if (typeof value !== "string") return new Refused(allowed);
  try {
    return parseGlob(value).pattern;
  } catch (error) {
    if (error instanceof GlobError)
      return new Refused(allowed, `glob ${JSON.stringify(value)} ${error.message}`);
    throw error;
  }
};
