import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { onTestFinished } from "vitest";
import { requireProgram } from "../../support/requireProgram.ts";

const CACHE = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "albatross-exporter");
const CACHED = join(CACHE, "bookworm.tar");
export const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const run = promisify(execFile);

/** Whether there can be a Debian root here. Says loudly what lacks, and that the tests in it are skipped. */
export function canHaveRoot(): boolean {
  if (!requireProgram("debootstrap")) return false;
  const tried = spawnSync("unshare", ["--mount", "chroot", "/", "setpriv", "--bounding-set=-all", "true"], {
    encoding: "utf8",
  });
  if (process.getuid?.() === 0 && tried.status === 0) return true;
  console.warn(
    `SKIPPED: NOTHING IS INSTALLED: no root rights, or no mounts (unshare --mount chroot: ${tried.stderr})`,
  );
  return false;
}

/** Debian 12 without Node, in a folder: where a package is installed as on a host that has just been set up. */
export class DebianRoot {
  readonly folder = mkdtempSync(join(tmpdir(), "root-"));

  /** From the cache if it is there, which took half a minute to make. */
  static async make(): Promise<DebianRoot> {
    const root = new DebianRoot();
    // users inside look into it
    chmodSync(root.folder, 0o755);
    if (existsSync(CACHED)) {
      await run("tar", ["-xpf", CACHED, "-C", root.folder, "--numeric-owner"]);
      return root;
    }
    mkdirSync(CACHE, { recursive: true });
    await run("debootstrap", ["--variant=minbase", "--include=curl,systemd", "bookworm", root.folder]);
    const half = `${CACHED}.${process.pid}`;
    await run("tar", ["-cpf", half, "-C", root.folder, "--numeric-owner", "."]);
    renameSync(half, CACHED);
    return root;
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }

  /** The path outside of one inside. */
  path(inside: string): string {
    return join(this.folder, inside);
  }

  /** Runs lines of a shell as root. Comes back with its status and all it prints. */
  sh(lines: string, env: NodeJS.ProcessEnv = {}): { readonly status: number | null; readonly said: string } {
    const script = 'mount --bind /proc "$0/proc" && exec chroot "$0" sh -euc "$1"';
    const { status, stdout, stderr } = spawnSync(
      "unshare",
      ["--mount", "sh", "-c", script, this.folder, lines],
      {
        encoding: "utf8",
        env: { PATH, HOME: "/root", DEBIAN_FRONTEND: "noninteractive", ...env },
        maxBuffer: 2 ** 26,
      },
    );
    return { status, said: stdout + stderr };
  }

  /** Starts a command as systemd would: as this user, in its groups, without any capability; ends with the test. */
  start(user: string, words: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const privileges = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"];
    const who = [`--reuid=${user}`, `--regid=${user}`, "--init-groups"];
    const child = spawn("chroot", [this.folder, "setpriv", ...who, ...privileges, ...words], {
      env: { PATH, ...env },
      stdio: ["ignore", "inherit", "inherit"],
    });
    const ended = new Promise((resolve) => {
      child.once("close", resolve);
    });
    onTestFinished(async () => {
      child.kill("SIGKILL");
      await ended;
    });
    return child;
  }
}
