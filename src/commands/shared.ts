import type { RequestOptions } from "node:https";
import { type Command, InvalidArgumentError } from "commander";
import { parseDuration } from "../config/units.ts";

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

/** Reads a duration, in ms. */
export function durationFlag(allowed: string, minMs: number, maxMs = Number.POSITIVE_INFINITY) {
  return flagValue(allowed, (text) => {
    const ms = parseDuration(text);
    return ms === null || ms < minMs || ms > maxMs ? null : ms;
  });
}

/** The path of a file or directory; what is at it shows when it is used. */
export const path = flagValue("a path", (text) => (text === "" ? null : text));

/** A password is no argument: everybody on a machine sees those. */
const PASSWORD_VARIABLE = "ALBATROSS_EXPORTER_PASSWORD";

/** How an exporter with a web configuration is asked. */
export type Access = Pick<RequestOptions, "auth" | "ca" | "cert" | "key">;

export interface AccessFlags {
  readonly passwordFile?: string;
  readonly "tls.ca"?: string;
  readonly "tls.cert"?: string;
  readonly "tls.key"?: string;
}

/** Adds the flags with which an exporter behind TLS and users is reached. */
export function withAccessFlags(command: Command): Command {
  return command
    .option("--password-file <file>", `file with the user's password (default: $${PASSWORD_VARIABLE})`, path)
    .option("--tls.ca <file>", "certificates to check the exporter's by (default: those of Node)", path)
    .option("--tls.cert <file>", "client certificate, if the exporter wants one", path)
    .option("--tls.key <file>", "the client certificate's key", path);
}

/** What the flags say, their files read, for that user (null is none). Throws what is wrong with them. */
export async function accessOf(flags: AccessFlags, user: string | null): Promise<Access> {
  const { formatProblem, readTextFile } = await import("../config/checkedYaml.ts");
  const fileText = (file: string) => {
    const read = readTextFile(file);
    if (read.ok) return read.text;
    throw new Error(read.problems.map(formatProblem).join());
  };
  const { passwordFile, "tls.ca": ca, "tls.cert": cert, "tls.key": key } = flags;
  if ((cert === undefined) !== (key === undefined))
    throw new Error("--tls.cert and --tls.key need each other");
  const password = passwordFile === undefined ? process.env[PASSWORD_VARIABLE] : fileText(passwordFile);
  if (user !== null && password === undefined)
    throw new Error(
      `the password of ${user} is missing; allowed: --password-file FILE, or $${PASSWORD_VARIABLE}`,
    );
  return {
    ...(user !== null && { auth: `${user}:${password?.replace(/\r?\n$/, "")}` }),
    ...(ca !== undefined && { ca: fileText(ca) }),
    ...(cert !== undefined && { cert: fileText(cert) }),
    ...(key !== undefined && { key: fileText(key) }),
  };
}
