import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hashSync } from "bcryptjs";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Made, make } from "../../support/certificates.ts";
import { MAIN, Serving, startSimulatedHost, temporaryFolder, until } from "../../support/serving.ts";

/** A web configuration with TLS, clients' certificates where `clients` has a CA, and the user alice. */
async function webConfig(folder: string, clients?: Made): Promise<string> {
  const server = await make("localhost", { names: [{ type: "dns", value: "localhost" }] });
  const file = join(folder, "web.yaml");
  const auth = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.crt\n";
  const tls = `tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n${clients ? auth : ""}`;
  await writeFile(join(folder, "server.crt"), server.pem);
  await writeFile(join(folder, "server.key"), server.key);
  if (clients) await writeFile(join(folder, "clients.crt"), clients.pem);
  await writeFile(file, `${tls}basic_auth_users: { alice: ${hashSync("secret", 4)} }\n`);
  await writeFile(join(folder, "password"), "secret\n");
  return file;
}

/** The program with these arguments, and $ALBATROSS_EXPORTER_PASSWORD where it is given. */
function start(args: readonly string[], password?: string) {
  const env = { ...process.env, ...(password && { ALBATROSS_EXPORTER_PASSWORD: password }) };
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "pipe"], env });
  onTestFinished(() => void child.kill("SIGKILL"));
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      said[name] += text;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { child, said, ended };
}

describe("record from an exporter with a web configuration", () => {
  test("asks as the user of the URL, with a password from a file or the environment and certificates", async () => {
    const folder = await temporaryFolder();
    await startSimulatedHost(folder, 1, 200);
    const client = await make("client");
    const web = await webConfig(folder, client);
    const config = `targets: [{ name: demo, socket_dir: ${folder} }]\nweb: { listen_addresses: ["127.0.0.1:0"] }\n`;
    const serving = await Serving.start(folder, config, ["--web.config.file", web]);
    const { port } = new URL(serving.url);
    await writeFile(join(folder, "client.key"), client.key);
    const file = (name: string) => join(folder, name);
    const certificate = ["--tls.cert", file("clients.crt"), "--tls.key", file("client.key")];
    const trust = ["--tls.ca", file("server.crt"), ...certificate];
    const url = (user = "") => ["record", "--url", `https://${user}localhost:${port}`, "--duration", "1s"];

    const trace = file("trace.ndjson");
    const secret = ["--password-file", file("password")];
    expect(await start([...url("alice@"), ...trust, ...secret, "-o", trace]).ended).toBe(0);
    expect(await readFile(trace, "utf8")).toContain('"host":"demo"');
    expect(await start([...url("alice@"), ...trust, "--host", "demo"], "secret").ended).toBe(0);

    for (const [args, password, words] of [
      [[...url("alice@"), ...trust], "guess", "answered 401 to /api/v1/stream: Unauthorized: "],
      [[...url(), ...trust], "secret", "answered 401 to /api/v1/stream: Unauthorized: "],
      [
        [...url("alice@"), ...trust],
        undefined,
        "the password of alice is missing; allowed: --password-file FILE",
      ],
      [[...url("alice@"), ...certificate], "secret", "(--tls.ca FILE says what to check its certificate by)"],
      [
        [...url("alice@"), "--tls.ca", file("server.crt")],
        "secret",
        `cannot reach https://localhost:${port}: `,
      ],
      [
        [...url("alice@"), "--tls.cert", file("clients.crt")],
        "secret",
        "--tls.cert and --tls.key need each other",
      ],
      [[...url("alice@"), "--tls.ca", file("none")], "secret", `${file("none")}: no such file`],
    ] as const) {
      const { said, ended } = start(args, password);
      expect(await ended).toBe(1);
      expect(said.stderr).toContain(words);
      expect(said.stderr).not.toContain("secret");
    }
    const { said, ended } = start([...url("alice:secret@"), ...trust]);
    expect(await ended).toBe(2);
    expect(said.stderr).toContain("the password not in it but in --password-file");
  });
});

test("demo runs its exporter with a web configuration, and asks it as a user of it", async () => {
  const folder = await temporaryFolder();
  const web = await webConfig(folder);
  const flags = ["demo", "--port", "0", "--web.config.file", web, "--tls.ca", join(folder, "server.crt")];
  const { child, said, ended } = start(flags, "secret");
  await until(
    "a group's line",
    async () => said.stdout,
    (text) => /user:web\b.*%/.test(text),
  );
  expect(said.stdout).toMatch(/https:\/\/localhost:\d+\/metrics/);
  expect(said.stdout).not.toContain("no answer");
  child.kill("SIGINT");
  expect(await ended).toBe(0);

  const guessing = start(flags, "guess");
  expect(await guessing.ended).toBe(1);
  expect(guessing.said.stderr).toContain("the exporter answers 401: Unauthorized: ");
});
