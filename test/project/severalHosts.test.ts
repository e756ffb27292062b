import "reflect-metadata"; // before @peculiar/x509
import { execFileSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { X509Certificate } from "@peculiar/x509";
import { expect, test } from "vitest";
import { issue, readCertificates, readHolder } from "../../src/client/certificates.ts";
import { loadConfig } from "../../src/config/load.ts";
import { CERTIFICATE_EXTENSION } from "../../src/wire/messages.ts";
import { formatName } from "../../src/wire/names.ts";
import { infoIn } from "../simulator/recordings.ts";
import { startHost, vm } from "../simulator/support.ts";
import { dialTls } from "../simulator/tlsClient.ts";
import { INFO } from "../support/certificates.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { certificateExtensions } from "../wire/support/vectors.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const readme = readFileSync(`${ROOT}/README.md`, "utf8");
const section = readme.slice(readme.indexOf("\n## Several hosts\n"), readme.indexOf("\n## Configuration\n"));

function blocks(language: string): string[] {
  const all = section.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"));
  return [...all].map(([, code = ""]) => code);
}

/** A host whose CA lies in the folder where the README's commands have been run. */
async function intermediateMade() {
  // what openssl makes in a moment is valid from then on
  const clock = new FakeClock(Date.now() + 60_000);
  const running = await startHost({ vms: [vm("user:web"), vm("other:web")] }, clock, true);
  const at = (name: string) => join(running.tlsFolder, name);
  writeFileSync(at("user.cnf"), blocks("ini")[0] ?? "");
  const [intermediate = "", leaves = ""] = blocks("sh");
  const run = (lines: string) =>
    execFileSync("sh", ["-euc", lines], { cwd: running.tlsFolder, encoding: "utf8", stdio: "pipe" });
  expect(run(intermediate)).toBe("user.pem: OK\n");
  const program = `${process.execPath} --import ${import.meta.resolve("tsx")} ${ROOT}/src/main.ts`;
  return { ...running, at, makeLeaves: () => run(leaves.replace("albatross-exporter", program)) };
}

test("an intermediate for a path is made by the README's commands, with Albatross' own bytes", {
  tags: ["process"],
}, async () => {
  const { at } = await intermediateMade();
  const made = new X509Certificate(readFileSync(at("user.pem"), "utf8"));
  const value = made.getExtension(CERTIFICATE_EXTENSION)?.value ?? new ArrayBuffer();
  const written = certificateExtensions.find(({ name }) => name === "policy-add");
  expect(Buffer.from(value).toString("hex")).toBe(written?.hex);
  expect(statSync(at("user.key")).mode & 0o777).toBe(0o600);
});

test("the README's targets are right, with nothing to warn of", () => {
  expect(blocks("yaml")).toHaveLength(2);
  for (const yaml of blocks("yaml"))
    expect(loadConfig("config.yaml", yaml)).toMatchObject({ ok: true, warnings: [] });
});

test("its leaves are made by the README's commands, and read what they are for", {
  tags: ["process"],
}, async () => {
  const { at, makeLeaves, ...running } = await intermediateMade();
  makeLeaves();
  const results: unknown[] = [];
  for (const use of ["subscribe", "info", "policy"]) {
    const [pem, key] = [`${use}.pem`, `${use}.key`].map((file) => readFileSync(at(file), "utf8"));
    const client = await dialTls(running, { pem: pem ?? "", key: key ?? "" });
    const [{ header, payload } = { header: null, payload: null }] = await client.count(1);
    results.push(payload?.type === "success" && payload.result, header && formatName(header.name));
  }
  expect(results).toEqual(["string", "user:", "unikernel_info", "user:", "policies", "user:"]);
});

test("it issues leaves for its path, whose policy each question puts in force", {
  tags: ["process"],
}, async () => {
  const { at, ...running } = await intermediateMade();
  const files = { certificate: at("user.pem"), key: at("user.key") };
  const holder = await readHolder(files, await readCertificates(at("ca.pem")));
  const leaf = await issue(holder, { label: null, command: INFO }, Date.now(), 600_000);
  const client = await dialTls(running, { pem: leaf.certificates, key: leaf.key });
  await client.end();
  expect(infoIn(client.messages[0] ?? null)).toMatchObject([{ name: "user:web" }]);
  expect(running.requests.map(({ command, name }) => [command, name])).toEqual([
    ["policy_add", "user:"],
    ["info", "user:"],
  ]);
});
