import { isAbsolute, join } from "node:path";
import type { z } from "zod";
import type { Path } from "./checkedYaml.ts";
import { type Elsewhere, field, list, type Reader, type Report, rule, section, text } from "./fields.ts";

/** Reads a value of the file, and writes it as the file would say it. */
export interface Codec<T> {
  readonly schema: z.ZodType<T, unknown>;
  write(value: T): unknown;
  /** the keys of a section, or of each section in a list */
  readonly keys?: Keys;
  /** it is the path of a file that the program reads; see `filesFrom` */
  readonly isFile?: true;
}

/** A row of a section's table, whose property is the one that the value has in the configuration. */
export interface Key<T> {
  /** as the file spells it */
  readonly key: string;
  readonly codec: Codec<T>;
  /** reads the value, or gives the default */
  readonly schema: z.ZodType<T, unknown>;
}

export type Keys = Readonly<Record<string, Key<unknown>>>;

export type Values<K extends Keys> = {
  readonly [Property in keyof K]: K[Property] extends Key<infer T> ? T : never;
};

/** A key. Without a default it has to be there; a section is then as an empty one would be. */
export function key<T>(
  name: string,
  value: Reader<T> | Codec<T>,
  ...byDefault: [NoInfer<T | (() => T)>?]
): Key<T> {
  const codec = codecOf(value);
  const schema = byDefault.length === 0 ? codec.schema : codec.schema.default(byDefault[0] as NoInfer<never>);
  return { key: name, codec, schema };
}

/** A key that may be left out, and is null then. */
export function keyOrNull<T>(name: string, value: Reader<T> | Codec<T>): Key<T | null> {
  return key<T | null>(name, value, null);
}

function codecOf<T>(value: Reader<T> | Codec<T>): Codec<T> {
  if (typeof value !== "function") return value;
  return { schema: field(value), write: (read) => value.write?.(read) ?? read };
}

export function listOf<T>(item: Reader<T> | Codec<T>, what: string): Codec<readonly T[]> {
  const codec = codecOf(item);
  return {
    ...codec,
    schema: list(codec.schema, what),
    write: (items) => items.map((one) => codec.write(one)),
  };
}

/** A file that the program reads. In the configuration a relative path is below the configuration file's folder. */
export function fileOf(what: string): Codec<string> {
  return { ...codecOf(text({ what, maxLength: 4096 })), isFile: true };
}

/** A value of this codec, the files that it names found from `folder`. */
export function filesFrom<T>(folder: string, codec: Codec<T>, value: T): T {
  const found = (of: Pick<Codec<unknown>, "isFile" | "keys">, from: unknown): unknown => {
    const { isFile, keys } = of;
    if (Array.isArray(from)) return from.map((item) => found(of, item));
    if (typeof from === "string" && isFile) return isAbsolute(from) ? from : join(folder, from);
    if (typeof from !== "object" || from === null || keys === undefined) return from;
    const entries = Object.entries(from);
    return Object.fromEntries(entries.map(([name, one]) => [name, found(keys[name]?.codec ?? {}, one)]));
  };
  return found(codec, value) as T;
}

/** A rule between keys of a section: looks at the values when those of `of` are right. */
export interface Rule<V> {
  readonly of: readonly (keyof V & string)[];
  /** reports paths of properties */
  check(values: V, report: Report): void;
}

type Section<K extends Keys, G extends Keys> = Values<K> & Partial<Values<G>>;

interface SectionOptions<K extends Keys, G extends Keys> {
  /** keys that may be left out, and then are not among the values */
  readonly given?: G;
  readonly elsewhere?: Elsewhere;
  readonly rules?: readonly Rule<Section<K, G>>[];
}

/** A section with the keys of a table. Those whose value is null are not written. */
export function sectionOf<K extends Keys, G extends Keys = Record<never, never>>(
  keys: K,
  { given, elsewhere, rules = [] }: SectionOptions<K, G> = {},
): Codec<Section<K, G>> {
  const all: Keys = { ...keys, ...given };
  const rows = Object.entries(all);
  const shape: Record<string, z.ZodType> = {};
  for (const [property, { key, codec, schema }] of rows) {
    shape[key] = property in keys ? schema : codec.schema.optional();
  }
  const values = (file: Readonly<Record<string, unknown>>) => {
    const present = rows.filter(([, { key }]) => file[key] !== undefined);
    return Object.fromEntries(present.map(([property, { key }]) => [property, file[key]])) as Section<K, G>;
  };
  const checks = rules.map(({ of, check }) =>
    rule<Record<string, unknown>>(
      of.map((property) => all[property]?.key ?? property),
      (file, report) => check(values(file), (path, text) => report(pathInFile(all, path), text)),
    ),
  );
  return {
    keys: all,
    schema: section(shape, elsewhere)
      .check(...checks)
      .transform(values),
    write: (section: Readonly<Record<string, unknown>>) => {
      const said = rows.filter(([property]) => section[property] !== null);
      return Object.fromEntries(
        said.map(([property, { key, codec }]) => [key, codec.write(section[property])]),
      );
    },
  };
}

function pathInFile(keys: Keys | undefined, [step, ...below]: Path): Path {
  if (step === undefined) return [];
  const row = typeof step === "string" ? keys?.[step] : undefined;
  return [row?.key ?? step, ...pathInFile(row === undefined ? keys : row.codec.keys, below)];
}

export function defaultsOf<K extends Keys>(keys: K): Values<K> {
  return sectionOf(keys).schema.parse({});
}
