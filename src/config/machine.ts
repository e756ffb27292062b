import { execFileSync } from "node:child_process";
import type { TargetOs } from "./types.ts";

/** What a target's settings default to: this machine, for its sockets are usually this machine's. */
export interface Machine {
  readonly os: TargetOs;
  readonly pageSizeBytes: number;
}

const USUAL_PAGE_SIZE = 4096;
let known: Machine | undefined;

/** The machine this runs on. Asks the system once. */
export function thisMachine(): Machine {
  known ??= { os: process.platform === "freebsd" ? "freebsd" : "linux", pageSizeBytes: systemPageSize() };
  return known;
}

/** Where Albatross puts its sockets: its packages' default for the operating system. */
export function defaultSocketDir(os: TargetOs): string {
  return os === "freebsd" ? "/var/run/albatross/util" : "/run/albatross/util";
}

/** Node does not tell the page size; `getconf`, which POSIX requires, does. */
function systemPageSize(): number {
  try {
    const bytes = Number(
      execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }),
    );
    return Number.isInteger(bytes) && bytes > 0 ? bytes : USUAL_PAGE_SIZE;
  } catch {
    // A machine without getconf (a minimal container): the usual size, which `page_size` overrides.
    return USUAL_PAGE_SIZE;
  }
}
