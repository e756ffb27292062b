/** What a clone is made of besides its primary, and who is told of it. */
import { duration, integer, type Reader, Refused, reader, secret, size, text, unshown } from "./fields.ts";
import { type Codec, defaultsOf, key, keyOrNull, listOf, sectionOf, type Values } from "./keys.ts";
import { formatSize } from "./units.ts";

/** `{id}` and `{id+100}` in an argument: the clone's id, or a number that follows from it. */
export const ID_PLACEHOLDER = /\{id(?:\+(?<more>\d{1,9}))?\}/g;

const ARGUMENT = "an argument such as --ipv4=10.0.0.{id+10}/24, in which {id} and {id+N} are filled in";
const argumentText = text({ what: ARGUMENT, maxLength: 4096 });
const argument = secret<string>((value) => {
  const read = argumentText(value);
  if (!(read instanceof Refused) && /^--name(?:=|$)/.test(read))
    return new Refused(ARGUMENT, "--name is what albatrossd itself gives a clone");
  if (read instanceof Refused || !/\{id\b/.test(read.replaceAll(ID_PLACEHOLDER, ""))) return read;
  return new Refused(ARGUMENT, "a placeholder that begins with {id is neither");
});

const URL_ALLOWED = "a URL such as https://balancer.example:8443/clones";
const url = secret<string>((value) => {
  const read = text({ what: URL_ALLOWED, maxLength: 2048 })(value);
  if (read instanceof Refused) return read;
  const protocol = URL.canParse(read) ? new URL(read).protocol : "";
  return /^https?:$/.test(protocol) ? read : new Refused(URL_ALLOWED);
});

/** albatrossd counts memory in MB of 2^20 bytes. */
const BYTES_PER_MB = 2 ** 20;
const memorySize = size({ min: BYTES_PER_MB, max: 2 ** 40 });
const memory: Reader<number> = reader((value) => {
  const bytes = memorySize(value);
  if (bytes instanceof Refused || bytes % BYTES_PER_MB === 0) return bytes;
  return new Refused("whole MiB, such as 64MiB", `${value} is none`);
}, formatSize);

const hookKeys = {
  url: key("url", url),
  timeoutMs: key("timeout", duration({ min: 100, max: 300_000 }), 10_000),
  /** before the clone is destroyed, for what it still does */
  waitMs: key("wait", duration({ min: 0, max: 3_600_000 }), 0),
};
export type Hook = Values<typeof hookKeys>;

const hookSection = sectionOf(hookKeys);
const hook: Codec<Hook> = {
  ...hookSection,
  schema: unshown(hookSection.schema, "a mapping with the keys url, timeout, wait"),
};

const argumentsRead = listOf(argument, "arguments");
const argumentList: Codec<readonly string[]> = {
  ...argumentsRead,
  schema: unshown(argumentsRead.schema, "a list of arguments; [] for those of the primary"),
};
const cloneKeys = {
  /** Over those of the primary; null where it is not said, so that there can be no clone. */
  arguments: keyOrNull("arguments", argumentList),
  /** Null is the primary's. */
  memoryBytes: keyOrNull("memory", memory),
  /** Null is the least used one. */
  cpuids: keyOrNull("cpuids", listOf(integer({ min: 0, max: 65_535 }), "cpuids")),
  /** The largest image that is fetched and kept. */
  maxImageBytes: key("max_image_bytes", size({ min: 4096, max: 2 ** 30 }), 64 * 2 ** 20),
  /** Told of each clone when it serves, and before it goes. */
  afterCreate: keyOrNull("after_create", hook),
  beforeDestroy: keyOrNull("before_destroy", hook),
};
export type CloneSettings = Values<typeof cloneKeys>;

export const cloneDefaults: CloneSettings = defaultsOf(cloneKeys);

/** What a policy leaves out is as in the defaults. */
export const cloneSection = sectionOf(
  {},
  {
    given: cloneKeys,
    rules: [
      {
        of: ["cpuids"],
        check: ({ cpuids }, report) => {
          if (cpuids?.length === 0) report(["cpuids"], "names none; allowed: one or more, or no key cpuids");
          for (const [index, cpuid] of (cpuids ?? []).entries()) {
            if ((cpuids ?? []).indexOf(cpuid) < index)
              report(["cpuids", index], `${cpuid} is there twice; allowed: each once`);
          }
        },
      },
    ],
  },
);
