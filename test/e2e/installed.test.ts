import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { userInfo } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { freePort } from "../../src/demo/freePort.ts";
import { startSimulatedHost, temporaryFolder, until } from "../support/serving.ts";
import { canHaveRoot, DebianRoot } from "./support/debianRoot.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const documented = readFileSync(join(ROOT, "docs/installing.md"), "utf8");
const LIMIT_MS = 600_000;
const CONFIG = "/etc/albatross-exporter/config.yaml";
const UNIT = "/usr/lib/systemd/system/albatross-exporter.service";
const TRACE = "test/fixtures/wire/traces/real-web";

test("the npm package holds what runs and nothing else", () => {
  const pack = ["pack", "--dry-run", "--json", "--ignore-scripts"];
  const { stdout } = spawnSync("npm", pack, { cwd: ROOT, encoding: "utf8" });
  const [{ files }] = JSON.parse(stdout);
  const packed: string[] = files.map(({ path }: { path: string }) => path);
  const told = ["LICENSE", "README.md", "package.json"];
  expect(packed).toEqual(expect.arrayContaining([...told, "dist/main.js"]));
  expect(packed.filter((path) => !told.includes(path) && !/^dist\/(.*\.js|REVISION)$/.test(path))).toEqual(
    [],
  );
});

test("the npm package is installed elsewhere, copied, and runs there", { timeout: LIMIT_MS }, async () => {
  const folder = await temporaryFolder();
  const npm = (...args: string[]) =>
    promisify(execFile)("npm", [...args, "--no-audit", "--no-fund"], { cwd: folder });
  await npm("pack", "--ignore-scripts", ROOT);
  const [shown = ""] =
    /^npm install --global --prefix \.\/albatross .*\ntar .*\ntar .*$/m.exec(documented) ?? [];
  const [install = "", ...copy] = shown.split("\n");
  await npm(...install.split(" ").slice(1));
  // no module of another processor
  expect(readdirSync(folder, { recursive: true }).filter((name) => String(name).endsWith(".node"))).toEqual(
    [],
  );
  mkdirSync(join(folder, "there"));
  await promisify(execFile)("sh", ["-euc", copy.join("\n").replace("/usr/local", "there")], { cwd: folder });
  rmSync(join(folder, "albatross"), { recursive: true });
  const program = join(folder, "there/bin/albatross-exporter");
  expect((await promisify(execFile)(program, ["--version"])).stdout).toContain(
    "albatross-exporter, version ",
  );
});

describe("the rc.d script of FreeBSD, on a stand-in for its rc.subr and daemon,", () => {
  // what they do with what the script gives them, as rc.subr(8) and daemon(8) of FreeBSD 14 say
  const RC_SUBR = `load_rc_config() { . "$FOLDER/$1.conf"; }
run_rc_command() {
  case $1 in
    start)
      eval test "\\$$rcvar" = YES || exit 0
      for file in $required_files; do test -r "$file" || exit 1; done
      $start_precmd && $start_cmd ;;
    reload) $reload_precmd && test "$(ps -o args= -p "$(cat "$pidfile")" | cut -d " " -f 1)" = "$procname" &&
      kill -HUP "$(cat "$pidfile")" ;;
    *) case " $extra_commands " in *" $1 "*) eval "\\$\${1}_cmd" ;; *) exit 2 ;; esac ;;
  esac
}`;
  const DAEMON = `#!/bin/sh
while getopts fST:p:u: option; do case $option in p) echo $$ >"$OPTARG" ;; u) id "$OPTARG" >/dev/null ;; *) ;; esac; done
shift $((OPTIND - 1))
exec "$@"`;

  /** Writes script and stand-ins; comes back with the command to run it. */
  async function service(config: string): Promise<{ folder: string; script: string; configFile: string }> {
    const folder = await temporaryFolder();
    const script = join(folder, "albatross_exporter");
    const configFile = join(folder, "config.yaml");
    writeFileSync(configFile, config);
    const shipped = readFileSync(join(ROOT, "deploy/albatross_exporter.rc"), "utf8");
    const paths = { "/etc/rc.subr": "rc.subr", "/usr/sbin/daemon": "daemon", "/var/run": "" };
    let text = shipped;
    for (const [path, here] of Object.entries(paths)) text = text.replaceAll(path, join(folder, here));
    writeFileSync(script, text);
    writeFileSync(join(folder, "rc.subr"), RC_SUBR);
    writeFileSync(join(folder, "daemon"), DAEMON, { mode: 0o755 });
    const settings = {
      enable: "YES",
      user: userInfo().username,
      config: configFile,
      state: join(folder, "state"),
      node: process.execPath,
      program: join(ROOT, "dist/main.js"),
      flags: "--log.format=json --web.listen-address=127.0.0.1:0",
    };
    const lines = Object.entries(settings).map(([key, value]) => `albatross_exporter_${key}="${value}"\n`);
    writeFileSync(join(folder, "albatross_exporter.conf"), lines.join(""));
    return { folder, script, configFile };
  }
  const command = ({ folder, script }: { folder: string; script: string }, word: string) =>
    spawnSync("sh", [script, word], { env: { ...process.env, FOLDER: folder }, encoding: "utf8" });

  test("is a script of a plain shell, which names in its head what rcorder needs", () => {
    const script = join(ROOT, "deploy/albatross_exporter.rc");
    expect(spawnSync("sh", ["-n", script])).toMatchObject({ status: 0 });
    expect(readFileSync(script, "utf8")).toMatch(/^# PROVIDE: \w+\n# REQUIRE: \w+\n# KEYWORD: shutdown$/m);
  });

  test("starts the program, reloads it, and refuses to with a wrong file", async () => {
    const made = await service("web: { max_requests: 7 }\n");
    const env = { ...process.env, FOLDER: made.folder };
    const child = spawn("sh", [made.script, "start"], { env, stdio: ["ignore", "ignore", "pipe"] });
    const ended = once(child, "close");
    const pid = () => Number(readFileSync(join(made.folder, "albatross_exporter.pid"), "utf8"));
    onTestFinished(async () => {
      if (child.exitCode === null) process.kill(pid(), "SIGKILL");
      await ended;
    });
    let log = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      log += text;
    });
    const logged = (what: string) =>
      until(
        what,
        async () => log,
        (text) => text.includes(what),
      );
    await logged("serving metrics");
    writeFileSync(made.configFile, "web: { max_requests: 8 }\n");
    expect(command(made, "reload")).toMatchObject({ status: 0 });
    await logged("configuration reloaded");
    writeFileSync(made.configFile, "web: { max_requests: many }\n");
    for (const word of ["reload", "checkconfig"]) {
      const { status, stderr } = command(made, word);
      expect(status).toBe(1);
      expect(stderr).toMatch(/config\.yaml:1:\d+: web\.max_requests: /);
    }
    process.kill(pid(), "SIGTERM");
    expect(await ended).toEqual([0, null]);
    expect(command(made, "start")).toMatchObject({ status: 1 });
  });
});

describe.skipIf(!canHaveRoot())("the Debian package, on Debian 12 without Node,", () => {
  let root: DebianRoot;
  let file: string;
  let port: number;
  /** Its two commands, as docs/installing.md has them. */
  const [install = "", scrape = ""] =
    /^apt-get install .*\ncurl .*$/m.exec(documented)?.[0].split("\n") ?? [];

  /** The words of a key of the unit. */
  const words = (key: string) =>
    (new RegExp(`^${key}=(.*)$`, "m").exec(readFileSync(root.path(UNIT), "utf8"))?.[1] ?? "").split(" ");

  beforeAll(async () => {
    root = await DebianRoot.make();
    // What `npm run deb` does once the program is built: it would be built anew below the other tests. Debian's compression
    // takes a minute and leaves the processors to them.
    const { stdout } = await promisify(execFile)("nice", ["sh", "scripts/deb.sh", root.folder], {
      cwd: ROOT,
    });
    file = basename(stdout.trim());
    port = await freePort(0);
  }, LIMIT_MS);

  afterAll(() => root?.remove());

  test("holds files of root's, nobody else can write them, and its own Node", () => {
    const ask = (flag: string) =>
      spawnSync("dpkg-deb", [flag, root.path(file)], { encoding: "utf8", maxBuffer: 2 ** 26 }).stdout;
    const [listed, fields] = [ask("-c"), ask("-f")];
    const entries = listed.trimEnd().split("\n");
    expect(entries.length).toBeGreaterThan(500);
    expect(entries.filter((line) => !/^(d|-)rw(x|-)r-(x|-)r-(x|-) root\/root /.test(line))).toEqual([]);
    expect(entries.filter((line) => /\.(ts|map)$|\/tests?\//.test(line))).toEqual([]);
    expect(listed).toContain(" ./usr/share/man/man1/albatross-exporter.1.gz\n");
    for (const path of ["usr/bin/albatross-exporter", "usr/lib/albatross-exporter/node"])
      expect(entries.filter((line) => /^-rwx/.test(line) && line.endsWith(` ./${path}`))).toHaveLength(1);
    expect(fields).toContain(`its own: ${process.version}`);
    expect(fields).toMatch(/^Depends: .*libc6 \(>= 2\.\d+\)/m);
    expect(readFileSync(root.path(file)).length).toBeLessThan(32e6);
  });

  test("from the package to a scrape in two commands, with ExecStart's words for systemd", async () => {
    expect(root.sh("command -v node nodejs").status).not.toBe(0);
    expect(root.sh("groupadd --system albatross")).toMatchObject({ status: 0 });
    expect(install).toContain(file);
    const installed = root.sh(`cd /; ${install.replace("install", "install --yes")}`);
    expect(installed, installed.said).toMatchObject({ status: 0 });
    expect(installed.said).not.toContain("no group albatross");
    expect(root.sh("id --name --groups albatross-exporter").said).toBe("albatross-exporter albatross\n");

    // a host's sockets, and a port that nothing else here has
    const sockets = root.path("run/albatross/util");
    mkdirSync(sockets, { recursive: true });
    await startSimulatedHost(sockets, 2, 200);
    const gid = Number(root.sh("getent group albatross").said.split(":")[2]);
    for (const socket of ["stat.sock", "vmmd.sock"]) chownSync(join(sockets, socket), 0, gid);
    const config = readFileSync(root.path(CONFIG), "utf8");
    expect(config).toContain(":10042");
    writeFileSync(root.path(CONFIG), config.replace(":10042", `127.0.0.1:${port}`));

    const [user = ""] = words("User");
    const [state = ""] = words("StateDirectory");
    root.sh(`install --directory --mode=750 --owner=${user} --group=${user} /var/lib/${state}`);
    const before = root.start(user, words("ExecStartPre"));
    expect(await once(before, "close")).toEqual([0, null]);
    const service = root.start(user, words("ExecStart"), { STATE_DIRECTORY: `/var/lib/${state}` });
    const curl = scrape.replace("10042", String(port));
    await until(
      "a scrape with the host up",
      async () => root.sh(curl).said,
      (said) => / 1$/m.test(said),
    );
    await until(
      "figures of a VM",
      async () => root.sh(`curl -s localhost:${port}/metrics`).said,
      (said) => /^albatross_vm_cpu_usage_percent\{.*vm="vm-2"/m.test(said),
    );
    service.kill("SIGTERM");
    expect(await once(service, "close")).toEqual([0, null]);
  });

  test("draws a plot with the modules that it brings", () => {
    for (const end of [".ndjson", ".config.yaml"])
      cpSync(join(ROOT, TRACE + end), root.path(`tmp/real${end}`));
    const play =
      "albatross-exporter backtest --what-if --config.file real.config.yaml --plot plot.svg real.ndjson";
    expect(root.sh(`cd /tmp; ${play}`)).toMatchObject({ status: 0 });
    expect(readFileSync(root.path("tmp/plot.svg"), "utf8")).toMatch(/^<svg /);
  });

  test("has units that systemd finds nothing wrong with, and exposed to less than 2.0", () => {
    const holds = () => {
      const verified = root.sh("systemd-analyze verify /usr/lib/systemd/system/albatross-exporter.*");
      expect(verified).toEqual({ status: 0, said: "" });
      const judged = root.sh(`systemd-analyze security --offline=true --threshold=19 ${UNIT}`);
      expect(judged, judged.said).toMatchObject({ status: 0 });
    };
    holds();
    expect(root.sh("systemctl is-enabled albatross-exporter").said).toBe("enabled\n");
    const dropIn = "/usr/share/albatross-exporter/socket-activation.conf";
    expect(existsSync(root.path(dropIn))).toBe(true);
    root.sh(`install -D -m 644 -t /etc/systemd/system/albatross-exporter.service.d ${dropIn}`);
    holds();
    root.sh("rm -r /etc/systemd/system/albatross-exporter.service.d");
  });

  test("is upgraded with the configuration as it was left, removed, and purged", () => {
    appendFileSync(root.path(CONFIG), "# mine\n");
    expect(root.sh(`dpkg --install --force-confdef /${file}`)).toMatchObject({ status: 0 });
    expect(readFileSync(root.path(CONFIG), "utf8")).toMatch(/# mine\n$/);
    const left = () =>
      root.sh(
        "ls -d /etc/albatross-exporter/* /usr/lib/albatross-exporter /var/lib/albatross-exporter 2>/dev/null || true",
      ).said;
    expect(root.sh("dpkg --remove albatross-exporter")).toMatchObject({ status: 0 });
    expect(left()).toBe(`${CONFIG}\n/var/lib/albatross-exporter\n`);
    expect(root.sh("dpkg --purge albatross-exporter")).toMatchObject({ status: 0 });
    expect(left()).toBe("");
    expect(root.sh("systemctl is-enabled albatross-exporter").status).not.toBe(0);
  });

  test("says on a host without Albatross how the user gets into its group later", () => {
    expect(
      root.sh("groupdel albatross; deluser --system albatross-exporter || userdel albatross-exporter"),
    ).toMatchObject({ status: 0 });
    const { status, said } = root.sh(`dpkg --install /${file}`);
    expect(status).toBe(0);
    expect(said).toContain("no group albatross");
    const advice = /^ +(usermod .*) && systemctl restart /m.exec(said)?.[1];
    expect(
      root.sh(`groupadd --system albatross; ${advice}; id --name --groups albatross-exporter`).said,
    ).toContain("albatross-exporter albatross");
  });
});
