import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer as createTlsServer } from "node:https";
import { createServer, type Server } from "node:net";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { freePort } from "../../src/demo/freePort.ts";
import { until } from "../support/serving.ts";
import { canHaveRoot, DebianRoot, PATH } from "./support/debianRoot.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const LIMIT_MS = 600_000;
/** What a machine knows about the way to the registry: files, and variables. */
const NETWORK = ["/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs"];
const WAY_OUT = /^(npm_config_(registry|cafile)|NODE_EXTRA_CA_CERTS|(https?|no)_proxy)$/i;

/** A stage of the Dockerfile: what its steps have made so far. */
class Stage {
  readonly env: Record<string, string> = { PATH };
  workdir = "/";
  user = "root";
  /** what the instructions that hold a list say last: ENTRYPOINT, CMD, VOLUME, HEALTHCHECK */
  readonly lists: Record<string, readonly string[]> = {};
  readonly root: DebianRoot;

  private constructor(root: DebianRoot) {
    this.root = root;
  }

  /** In place of the base image: Debian 12, this machine's Node and npm in /usr/local, and a user `node`. */
  static async make(): Promise<Stage> {
    const root = await DebianRoot.make();
    cpSync(process.execPath, root.path("usr/local/bin/node"));
    const npm = realpathSync(spawnSync("npm", ["root", "--global"], { encoding: "utf8" }).stdout.trim());
    cpSync(join(npm, "npm"), root.path("usr/local/lib/node_modules/npm"), { recursive: true });
    symlinkSync("../lib/node_modules/npm/bin/npm-cli.js", root.path("usr/local/bin/npm"));
    for (const path of NETWORK) cpSync(path, root.path(path), { recursive: true, dereference: true });
    const stage = new Stage(root);
    stage.run("useradd --create-home node");
    return stage;
  }

  run(lines: string): void {
    const { status, said } = this.root.sh(`cd ${this.workdir}; ${lines}`, {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => WAY_OUT.test(name))),
      ...this.env,
    });
    if (status !== 0) throw new Error(`RUN ${lines}: ${said}`);
  }

  copy(from: string, names: readonly string[], to: string): void {
    const inside = resolve(this.workdir, to);
    for (const name of names) {
      const target = to.endsWith("/") ? join(inside, basename(name)) : inside;
      cpSync(join(from, name), this.root.path(target), { recursive: true });
    }
  }

  /** The words that run a command in a container of the image: read-only but for its volumes, without capabilities. */
  contained(words: readonly string[]): string[] {
    const { folder } = this.root;
    const writable = (this.lists["VOLUME"] ?? []).map((volume) => this.root.path(volume));
    const mounts = [folder, ...writable].map((path) => `mount --bind ${path} ${path}`);
    const script = `set -e; ${mounts.join("; ")}; mount -o remount,bind,ro ${folder}; cd ${folder}; exec chroot . "$@"`;
    const who = [`--reuid=${this.user}`, `--regid=${this.user}`, "--init-groups"];
    const privileges = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"];
    const inWorkdir = ["sh", "-c", `cd ${this.workdir}; exec "$@"`, "sh"];
    return ["--mount", "sh", "-c", script, "sh", "setpriv", ...who, ...privileges, ...inWorkdir, ...words];
  }
}

/** Carries out the Dockerfile's steps, for want of a builder. Throws at one that fails, and at one not known here. */
async function build(): Promise<Stage[]> {
  const steps = readFileSync(join(ROOT, "deploy/Dockerfile"), "utf8")
    .replace(/^#.*\n/gm, "")
    .replace(/\\\n/g, "");
  const context = readFileSync(join(ROOT, "deploy/Dockerfile.dockerignore"), "utf8").split("\n");
  const stages: Stage[] = [];
  for (const step of steps.split("\n").filter(Boolean)) {
    const [, word = "", rest = ""] = /^(\w+) +(.*)$/.exec(step) ?? [];
    if (word === "FROM") stages.push(await Stage.make());
    const stage = stages.at(-1);
    if (stage === undefined) throw new Error(`${step}: before FROM`);
    if (word === "ARG" || word === "ENV") {
      for (const [, name = "", value = ""] of rest.matchAll(/(\w+)=(\S*)/g)) stage.env[name] = value;
    } else if (word === "WORKDIR") {
      stage.workdir = rest;
      stage.root.sh(`mkdir -p ${rest}`);
    } else if (word === "COPY") {
      const names = rest.split(" ").filter((part) => part !== "--from=build");
      const to = names.pop() ?? "";
      const isFromBuild = rest.startsWith("--from=build ");
      const absent = isFromBuild ? [] : names.filter((name) => !context.includes(`!${name}`));
      if (absent.length > 0) throw new Error(`${step}: left out by Dockerfile.dockerignore`);
      stage.copy(isFromBuild ? (stages[0]?.root.folder ?? "") : ROOT, names, to);
    } else if (word === "RUN") stage.run(rest);
    else if (word === "USER") stage.user = rest;
    else if (["ENTRYPOINT", "CMD", "VOLUME", "HEALTHCHECK"].includes(word))
      stage.lists[word] = JSON.parse(rest.slice(rest.indexOf("[")));
    else if (word !== "FROM" && word !== "EXPOSE") throw new Error(`${step}: not known here`);
  }
  return stages;
}

describe.skipIf(!canHaveRoot())("the Dockerfile's steps, in Debian roots,", () => {
  let stages: Stage[] = [];
  let image: Stage;
  let port: number;

  beforeAll(async () => {
    stages = await build();
    image = stages.at(-1) as Stage;
    port = await freePort(0);
  }, LIMIT_MS);

  afterAll(() => Promise.all(stages.map(({ root }) => root.remove())));

  /** The image's health check, on the test's port. */
  const check = async (): Promise<number | null> => {
    const words = (image.lists["HEALTHCHECK"] ?? []).map((word) => word.replace("10042", String(port)));
    const child = spawn("unshare", image.contained(words), { env: image.env, stdio: "ignore" });
    return (await once(child, "close"))[0];
  };
  test("make an image with the program and what it depends on, and no more", () => {
    const { root, workdir, user } = image;
    expect(user).toBe("node");
    expect(existsSync(root.path(join(workdir, "node_modules/express")))).toBe(true);
    for (const path of ["node_modules/typescript", "src"])
      expect(existsSync(root.path(join(workdir, path)))).toBe(false);
  });

  test("make one that runs read-only, without capabilities, and tells its health", async () => {
    const [, config = ""] = image.lists["CMD"] ?? [];
    const text = readFileSync(image.root.path(config), "utf8");
    writeFileSync(image.root.path(config), text.replace(":10042", `127.0.0.1:${port}`));
    expect(await check()).toBe(1);
    const words = [...(image.lists["ENTRYPOINT"] ?? []), ...(image.lists["CMD"] ?? [])];
    const child = spawn("unshare", image.contained(words), { env: image.env, stdio: "inherit" });
    const ended = once(child, "close");
    onTestFinished(async () => {
      child.kill("SIGKILL");
      await ended;
    });
    await until("the health check to pass", check, (status) => status === 0);
    const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
    for (const set of ["CapEff", "CapBnd"]) expect(status).toMatch(new RegExp(`^${set}:\t0+$`, "m"));
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    const write = (path: string) =>
      spawnSync("unshare", image.contained(["touch", path]), { env: image.env }).status;
    expect(write(join(image.workdir, "x"))).not.toBe(0);
    expect(write("/tmp/x")).not.toBe(0);
    expect(write(`${image.env["STATE_DIRECTORY"]}/x`)).toBe(0);
    child.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
  });

  test.each<[string, number, Server]>([
    ["that asks for a password", 0, createServer((socket) => void socket.end("HTTP/1.1 401 No\r\n\r\n"))],
    [
      "that answers with a TLS alert",
      0,
      createServer((socket) => void socket.end("\x15\x03\x01\0\x02\x02\x28")),
    ],
    ["that speaks TLS", 0, createTlsServer()],
    ["that is silent", 1, createServer()],
  ])("make a health check for which a server %s ends with %i", async (_, status, server) => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    expect(await check()).toBe(status);
  });
});
