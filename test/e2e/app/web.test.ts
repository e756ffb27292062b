import { spawn } from "node:child_process";
import { once } from "node:events";
import { rename, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { request } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { hashSync } from "bcryptjs";
import { describe, expect, onTestFinished, test } from "vitest";
import { make } from "../../support/certificates.ts";
import { MAIN, Serving, startSimulatedHost, temporaryFolder, until } from "../../support/serving.ts";

const CONFIG = 'web: { listen_addresses: ["127.0.0.1:0"] }\n';

describe("with a web configuration", () => {
  test("only users are served, over TLS; a broken one is refused at a reload and at the start", async () => {
    const folder = await temporaryFolder();
    const server = await make("localhost", { names: [{ type: "dns", value: "localhost" }] });
    const file = join(folder, "web.yaml");
    const web = (password: string) =>
      `tls_server_config: { cert_file: server.crt, key_file: server.key }\nbasic_auth_users: { alice: ${hashSync(password, 4)} }\n`;
    await writeFile(join(folder, "server.crt"), server.pem);
    await writeFile(join(folder, "server.key"), server.key);
    await writeFile(file, web("secret"));
    const serving = await Serving.start(folder, CONFIG, ["--web.config.file", file]);
    expect(serving.url).toMatch(/^https:/);
    const status = (password: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        const auth = `alice:${password}`;
        const options = { ca: server.pem, servername: "localhost", agent: false, auth };
        request(`${serving.url}/-/ready`, options, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .once("error", reject)
          .end();
      });
    expect(await status("secret")).toBe(200);
    expect(await status("guess")).toBe(401);

    await writeFile(file, web("new"));
    await until(
      "the new password",
      () => status("new"),
      (code) => code === 200,
    );
    expect(await status("secret")).toBe(401);

    await writeFile(file, "basic_auth_user: {}\n");
    serving.signal("SIGHUP");
    await serving.logged("configuration not reloaded: the one before stays in force");
    expect(await status("new")).toBe(200);
    serving.signal("SIGTERM");
    expect(await serving.exited).toBe(0);

    const second = await Serving.launch(folder, CONFIG, ["--web.config.file", file]);
    expect(await second.exited).toBe(1);
    expect(second.otherLines).toEqual([
      `${file}:1:1: basic_auth_user: unknown key, did you mean basic_auth_users? allowed: tls_server_config, http_server_config, basic_auth_users, rate_limit`,
    ]);
  });
});

describe("without a web configuration", () => {
  const ALL = "everybody who reaches this machine may read everything here";
  const ACTS =
    "\nscaler: { mode: execute, policies: [{ match: web, mode: execute, clone: { arguments: [] } }] }\n";

  test.each([
    [":0", "", [], ALL],
    ["0.0.0.0:0", "", [], ALL],
    ["0.0.0.0:0", ACTS, [], `${ALL}, and this program acts on its hosts`],
    ["0.0.0.0:0", ACTS, ["--scaler.dry-run"], ALL],
    ["127.0.0.1:0", ACTS, [], null],
  ])("a start on %s %j %j says who may read: %s", async (address, scaler, flags, expected) => {
    const config = `web: { listen_addresses: ["${address}"] }${scaler}`;
    const serving = await Serving.start(await temporaryFolder(), config, flags);
    await serving.logged("serving metrics");
    serving.signal("SIGTERM");
    await serving.exited;
    const said = serving.events
      .map(({ msg }) => String(msg))
      .filter((msg) => msg.startsWith("no --web.config"));
    const text = `no --web.config.file: without TLS and users ${expected}`;
    expect(said).toEqual(expected === null ? [] : [text]);
  });
});

test("the command line puts collectors on and off, and lets POST /-/reload read the file again", async () => {
  const folder = await temporaryFolder();
  await startSimulatedHost(folder, 1);
  const config = `targets: [{ name: demo, socket_dir: ${folder} }]\n${CONFIG}exporter: { collectors: { process: false } }\n`;
  const flags = ["--no-collector.cpu", "--collector.process", "--web.enable-lifecycle"];
  const serving = await Serving.start(folder, config, flags);
  const metrics = await until(
    "the VM",
    () => serving.get("/metrics"),
    (text) => text.includes("albatross_vm_memory_resident_bytes{"),
  );
  expect(metrics).not.toContain("albatross_vm_cpu_seconds_total");
  expect(metrics).toContain("albatross_vm_context_switches_total{");
  const memory = await serving.get("/metrics?collect[]=memory");
  expect(memory).toContain("albatross_vm_memory_resident_bytes{");
  expect(memory).toContain("albatross_up{");
  expect(memory).not.toContain("albatross_vm_context_switches_total{");
  expect(await serving.get("/metrics?collect[]=cpu")).toContain("the collector cpu is off");

  const reload = () => fetch(`${serving.url}/-/reload`, { method: "POST" });
  expect((await reload()).status).toBe(200);
  await writeFile(serving.configFile, "tragets: []\n");
  const refused = await reload();
  expect(refused.status).toBe(500);
  expect(await refused.text()).toContain("config.yaml:1:1: tragets: unknown key, did you mean targets?");
});

test("sockets of systemd are served, TCP and unix, and nothing else", async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "config.yaml"), CONFIG);
  const path = join(folder, "web.sock");
  const tcp = createServer().listen(0, "127.0.0.1");
  const servers = [tcp, createServer().listen(path)];
  await Promise.all(servers.map((server) => once(server, "listening")));
  const { port } = tcp.address() as AddressInfo;
  const fds = servers.map((server) => (server as unknown as { _handle: { fd: number } })._handle.fd);
  // as systemd: the process that is started is the one that LISTEN_PID names
  const words = 'LISTEN_PID=$$ LISTEN_FDS=2 exec "$0" "$@"';
  const flags = ["--config.file", join(folder, "config.yaml"), "--web.systemd-socket"];
  const child = spawn("/bin/sh", ["-c", words, process.execPath, MAIN, ...flags], {
    stdio: ["ignore", "ignore", "pipe", ...fds],
    env: { ...process.env, STATE_DIRECTORY: folder },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const exited = once(child, "exit");
  let log = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    log += text;
  });
  await until(
    "both",
    async () => log,
    (text) => text.split("serving metrics").length === 3,
  );
  // closing removes a socket by its name
  await rename(path, `${path}.kept`);
  for (const server of servers) server.close();
  expect((await fetch(`http://127.0.0.1:${port}/-/ready`)).status).toBe(200);
  const status = await new Promise((resolve, reject) => {
    const get = httpRequest({ socketPath: `${path}.kept`, path: "/-/ready", agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    get.once("error", reject).end();
  });
  expect(status).toBe(200);
  child.kill("SIGTERM");
  expect(await exited).toEqual([0, null]);
});

test("without sockets of systemd it says what to do, and ends with 1", async () => {
  const serving = await Serving.launch(await temporaryFolder(), CONFIG, ["--web.systemd-socket"]);
  expect(await serving.exited).toBe(1);
  expect(serving.otherLines).toEqual([
    "albatross-exporter: --web.systemd-socket: systemd handed over no socket; have a .socket unit of the service's name start it, or leave the flag out",
  ]);
});
