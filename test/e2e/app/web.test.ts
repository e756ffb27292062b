import { writeFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { hashSync } from "bcryptjs";
import { describe, expect, test } from "vitest";
import { issue } from "../../support/certificates.ts";
import { Serving, startSimulatedHost, temporaryFolder, until } from "../../support/serving.ts";

const CONFIG = 'web: { listen_addresses: ["127.0.0.1:0"] }\n';

describe("with a web configuration", () => {
  test("only users are served, over TLS; a broken one is refused at a reload and at the start", async () => {
    const folder = await temporaryFolder();
    const server = await issue("localhost", { sans: [{ type: "dns", value: "localhost" }] });
    const file = join(folder, "web.yaml");
    const web = (password: string) =>
      `tls_server_config: { cert_file: server.crt, key_file: server.key }\nbasic_auth_users: { alice: ${hashSync(password, 4)} }\n`;
    await writeFile(join(folder, "server.crt"), server.cert);
    await writeFile(join(folder, "server.key"), server.key);
    await writeFile(file, web("secret"));
    const serving = await Serving.start(folder, CONFIG, ["--web.config.file", file]);
    expect(serving.url).toMatch(/^https:/);
    const status = (password: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        const auth = `alice:${password}`;
        const options = { ca: server.cert, servername: "localhost", agent: false, auth };
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
  const OPEN = /^no --web.config.file: .* everybody who reaches this machine may read everything here$/;

  test.each([
    [":0", true],
    ["0.0.0.0:0", true],
    ["127.0.0.1:0", false],
  ])("a start on %s says who may read: %s", async (address, expected) => {
    const config = `web: { listen_addresses: ["${address}"] }\n`;
    const serving = await Serving.start(await temporaryFolder(), config);
    await serving.logged("serving metrics");
    serving.signal("SIGTERM");
    await serving.exited;
    const said = serving.events.filter(({ msg }) => OPEN.test(String(msg)));
    expect(said).toHaveLength(expected ? 1 : 0);
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
