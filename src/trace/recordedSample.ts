/** The lines that a trace mostly consists of, as a pattern. */

/** ASCII that stands for itself in a JSON string */
const TEXT = `"([ !#-[\\]-~]+)"`;
const INT64 = `"(-?\\d{1,19})"`;
const COUNTER = `"-?\\d+"`;
const TIME = object(field("sec", INT64), field("usec", "(\\d{1,9})"));
/**
 * A sample as `record` writes it (the order of fields is messageToJson's), up to the last field that is needed, with or
 * without spaces between them. Sticky. Its groups: time, host, name, user and system time (seconds and microseconds
 * each), minflt, nvcsw.
 */
export const RECORDED_SAMPLE = new RegExp(
  `\\{${fields(
    field("time", TEXT),
    field("host", TEXT),
    field(
      "header",
      object(
        field("version", "5"),
        field("sequence", COUNTER),
        field("name", TEXT),
        field("path", "\\[[^\\]\\n]*\\]"),
        field("label", "[^,}\\n]+"),
      ),
    ),
    `"payload": ?\\{${fields(field("type", '"data"'), field("data", '"stats"'))}`,
    field(
      "rusage",
      object(
        field("utime", TIME),
        field("stime", TIME),
        ...["maxrss", "ixrss", "idrss", "isrss"].map((name) => field(name, COUNTER)),
        field("minflt", INT64),
        ...["majflt", "nswap", "inblock", "outblock", "msgsnd", "msgrcv", "nsignals"].map((name) =>
          field(name, COUNTER),
        ),
        field("nvcsw", INT64),
        field("nivcsw", COUNTER),
      ),
    ),
  )}`,
  "y",
);

function field(name: string, value: string): string {
  return `"${name}": ?${value}`;
}

function fields(...texts: readonly string[]): string {
  return texts.join(", ?");
}

function object(...texts: readonly string[]): string {
  return `\\{${fields(...texts)}\\}`;
}
