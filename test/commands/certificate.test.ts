import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { parse } from "yaml";
import { askedBy, readCertificates, readHolder } from "../../src/client/certificates.ts";
import { runCommandLine } from "../../src/commands/program.ts";
import { formatName } from "../../src/wire/names.ts";
import { type Made, make, PemFolder, policyOf } from "../support/certificates.ts";

const DAY_MS = 86_400_000;

let folder: PemFolder;
let root: Made;
let user: Made;
let said: string[];
let errors: string[];

beforeEach(async () => {
  folder = new PemFolder();
  root = await make("test CA");
  user = await make("user", { issuer: root, command: policyOf(10) });
  folder.write("ca.pem", root.pem);
  [said, errors] = [[], []];
  const bare = (text: unknown) => String(text).replaceAll(`${folder.path}/`, "");
  vi.spyOn(console, "log").mockImplementation((text) => void said.push(bare(text)));
  vi.spyOn(console, "error").mockImplementation((text) => void errors.push(bare(text)));
});

afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = 0;
  folder.remove();
});

const at = (name: string) => join(folder.path, name);

/** Runs the command with the issuer; resolves to its exit code. */
async function run(issuer: Made, ...args: readonly string[]): Promise<number> {
  const { certificate, key } = folder.holder("issuer", issuer);
  return runCommandLine(["certificate", "--issuer.certificate", certificate, "--issuer.key", key, ...args]);
}

async function madeIn(file: string) {
  const ca = await readCertificates(at("ca.pem"));
  return readHolder({ certificate: at(file), key: at(file.replace(".pem", ".key")) }, ca);
}

describe("a certificate is made that the endpoint takes for", () => {
  test.each([
    ["subscribe", [], "user:", "stats subscribe"],
    ["subscribe", ["--name", "Web"], "user:web", "stats subscribe"],
    ["info", [], "user:", "unikernel info"],
    ["policy", [], "user:", "policy info"],
  ])("%s %j", async (use, more, name, command) => {
    expect(await run(user, "--for", use, ...more, "-o", at("out.pem"))).toBe(0);
    const holder = await madeIn("out.pem");
    const asked = askedBy(holder);
    expect([formatName(asked.name), `${asked.command.class} ${asked.command.command}`]).toEqual([
      name,
      command,
    ]);
    expect(statSync(at("out.key")).mode & 0o777).toBe(0o600);
    const days = (holder.certificate.notAfterMs - Date.now()) / DAY_MS;
    expect(days).toBeGreaterThan(89.9);
    expect(days).toBeLessThan(90.1);
  });

  test("openssl, too", { tags: ["process"] }, async () => {
    await run(user, "--for", "info", "-o", at("out.pem"));
    const args = ["verify", "-CAfile", at("ca.pem"), "-untrusted", at("out.pem"), at("out.pem")];
    expect(execFileSync("openssl", args, { encoding: "utf8" })).toBe(`${at("out.pem")}: OK\n`);
  });
});

test("what it allows is printed, until when, and how it is configured", async () => {
  const untilMs = Math.floor(Date.now() / 1000) * 1000 + 30 * DAY_MS;
  const issuer = await make("user", { issuer: root, command: policyOf(10), untilMs });
  expect(await run(issuer, "--for", "info", "--valid", "60d", "-o", at("metal.pem"))).toBe(0);
  expect(said.join("\n")).toBe(`metal.pem: a certificate for info of user:, with its key in metal.key
It allows to read what unikernels user: has: memory, CPUs, image digests, arguments; nothing else.
It is good until ${new Date(untilMs).toISOString()}, when its issuer expires.
Each use puts the policy of issuer.pem for user: in force on the host again (10 unikernels; 512 MB; cpuids 0, 1; bridges service; no block devices): the target needs enforces_policy: true.

In the configuration, beside those for the other two:
  tls:
    certificates:
      - info: { certificate: metal.pem, key: metal.key }`);
  expect(said.join("\n")).not.toContain("PRIVATE");
});

test("an issuer's key that everyone may read is warned of", async () => {
  const { certificate } = folder.holder("issuer", user);
  const key = folder.write("open.key", user.key, 0o644);
  const issuer = ["--issuer.certificate", certificate, "--issuer.key", key];
  expect(await runCommandLine(["certificate", ...issuer, "--for", "info", "-o", at("out.pem")])).toBe(0);
  expect(errors).toEqual(["open.key: everyone on this machine may read it: chmod 600, or 640 (warning)"]);
});

test("the CA's subscribe to the root, and put no policy in force", async () => {
  expect(await run(root, "--for", "subscribe", "-o", at("all.pem"))).toBe(0);
  expect(said[0]).toBe("all.pem: a certificate for subscribe of :, with its key in all.key");
  expect(said.join("\n")).not.toContain("enforces_policy");
});

test("how it is configured is YAML, whatever the file is called", async () => {
  expect(await run(root, "--for", "info", "-o", at("my, own: #1.pem"))).toBe(0);
  const yaml = said.join("\n").split("In the configuration, beside those for the other two:\n")[1] ?? "";
  const own = { certificate: "my, own: #1.pem", key: "my, own: #1.key" };
  expect(parse(yaml)).toEqual({ tls: { certificates: [{ info: own }] } });
});

describe("nothing is written, and it is said why:", () => {
  test.each<[string, string[], number, string]>([
    ["a name for policies", ["--for", "policy", "--name", "web"], 2, "policies are of a path"],
    ["a name that is none", ["--for", "info", "--name", "user:web"], 2, "allowed: a label of 1 to 63"],
    ["the path's own sign", ["--for", "info", "--name", "."], 2, "allowed: a label of 1 to 63"],
    ["another use", ["--for", "destroy"], 2, "Allowed choices are subscribe, info, policy"],
    ["too short a time", ["--for", "info", "--valid", "10s"], 2, "allowed: a duration such as 90d"],
  ])("%s", async (_, args, code, text) => {
    const written = vi.spyOn(process.stderr, "write").mockImplementation((chunk) => {
      errors.push(String(chunk));
      return true;
    });
    expect(await run(user, ...args, "-o", at("out.pem"))).toBe(code);
    written.mockRestore();
    expect(errors.join("")).toContain(text);
    expect(existsSync(at("out.pem"))).toBe(false);
  });

  test.each(["out.pem", "out.key"])("%s is there", async (name) => {
    folder.write(name, "precious");
    expect(await run(user, "--for", "info", "-o", at("out.pem"))).toBe(1);
    expect(errors).toEqual([`albatross-exporter: ${name} is there, and is not overwritten`]);
    expect(readFileSync(at(name), "utf8")).toBe("precious");
    expect(["out.pem", "out.key"].filter((one) => existsSync(at(one)))).toEqual([name]);
  });

  test.each([
    ["a dangling link", "out", "something else is there"],
    ["too long a name", "x".repeat(251), "its path is too long"],
  ])("the key's place is free, the certificate's is not: %s", async (_, name, why) => {
    if (name === "out") symlinkSync("nowhere", at("out.cert"));
    const before = readdirSync(folder.path);
    expect(await run(user, "--for", "info", "-o", at(`${name}.cert`))).toBe(1);
    expect(errors).toEqual([
      `albatross-exporter: ${name}.cert cannot be written: ${why}; nothing is left behind`,
    ]);
    expect(readdirSync(folder.path)).toEqual([...before, "issuer.key", "issuer.pem"].sort());
  });

  test("a folder that is not there", async () => {
    expect(await run(user, "--for", "info", "-o", at("none/out.pem"))).toBe(1);
    expect(errors).toEqual([
      "albatross-exporter: none/out.key cannot be written: no such file or directory; nothing is left behind",
    ]);
  });

  test("an issuer that has expired", async () => {
    const expired = await make("user", { issuer: root, command: policyOf(1), untilMs: Date.now() - 1000 });
    expect(await run(expired, "--for", "info", "-o", at("out.pem"))).toBe(1);
    expect(errors).toEqual(["albatross-exporter: issuer.pem has expired: it can issue nothing any more"]);
  });

  test("an issuer that is not valid yet", async () => {
    const fromMs = Math.ceil(Date.now() / 1000) * 1000 + DAY_MS;
    const early = await make("user", { issuer: root, command: policyOf(1), fromMs });
    expect(await run(early, "--for", "info", "-o", at("out.pem"))).toBe(1);
    const from = new Date(fromMs).toISOString();
    expect(errors[0]).toContain(
      `issuer.pem is not valid before ${from}: by this machine's clock it can issue`,
    );
    expect(existsSync(at("out.pem"))).toBe(false);
  });
});

describe("check-config reads certificates", () => {
  async function check(yaml: string): Promise<number> {
    return runCommandLine(["check-config", folder.write("config.yaml", yaml)]);
  }

  const target = (more: string) =>
    `targets:\n  - name: metal\n    tls: { address: "metal:1025", ca: "${at("ca.pem")}", issuer: { certificate: "${at("user.pem")}", key: "${at("user.key")}" } }\n${more}`;

  test("and says what they reach and do", async () => {
    folder.holder("user", user);
    expect(await check(target("    enforces_policy: true\n"))).toBe(0);
    expect(said).toEqual([
      "metal: subscribes to user: by metal:1025",
      "metal: puts the policy of user.pem for user: in force again at each question: 10 unikernels; 512 MB; cpuids 0, 1; bridges service; no block devices",
      "config.yaml: configuration is valid",
    ]);
    expect(errors).toEqual([]);
  });

  test("and what is wrong with them, by place", async () => {
    expect(await check(target("    enforces_policy: true\n"))).toBe(1);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(
      /^config\.yaml:3:\d+: targets\[0\]\.tls\.issuer: user\.pem: no such file or directory$/,
    );
    errors.length = 0;
    folder.holder("user", user);
    expect(await check(target(""))).toBe(1);
    expect(errors[0]).toMatch(
      /^config\.yaml:2:5: targets\[0\]\.enforces_policy: each question puts the policy of user\.pem/,
    );
  });

  test("that have expired, expire soon, or whose key everyone may read", async () => {
    const soon = await make("user", {
      issuer: root,
      command: policyOf(1),
      untilMs: Date.now() + 13 * DAY_MS,
    });
    folder.holder("user", soon);
    folder.write("user.key", soon.key, 0o644);
    expect(await check(target("    enforces_policy: true\n"))).toBe(0);
    expect(errors.map((line) => line.replace(/.*?: (?=targets)/, "").replace(/at 20\S+/, "at TIME"))).toEqual(
      [
        'targets[0].tls.issuer: user.pem: the certificate "user" expires at TIME (warning)',
        "targets[0].tls.issuer.key: everyone on this machine may read it: chmod 600, or 640 (warning)",
      ],
    );
    errors.length = 0;
    folder.holder(
      "user",
      await make("user", { issuer: root, command: policyOf(1), untilMs: Date.now() - 1000 }),
    );
    expect(await check(target("    enforces_policy: true\n"))).toBe(1);
    expect(errors[0]).toMatch(
      /targets\[0\]\.tls\.issuer: user\.pem: the certificate "user" has expired at 20/,
    );
  });

  const ACTING = (match: string) => `scaler:
  mode: execute
  policies: [{ match: "${match}", mode: execute, clone: { arguments: [] } }]
`;

  test("against what acts", async () => {
    folder.holder("user", user);
    expect(await check(target(`    enforces_policy: true\n${ACTING("user:web")}`))).toBe(0);
    expect(await check(target(`    enforces_policy: true\n${ACTING("other:web")}`))).toBe(1);
    expect(errors[0]).toMatch(
      /scaler\.policies\[0\]\.mode: acts on other:web of metal, whose issuer reaches only user:; allowed: mode: dry_run$/,
    );
    errors.length = 0;
    folder.holder("user", root);
    expect(await check(target(""))).toBe(0);
    expect(await check(target(ACTING(":web")))).toBe(1);
    expect(errors[0]).toMatch(
      /mode: acts on :web of metal, whose issuer's certificate has no policy; allowed: mode: dry_run, or allow_root: true for the target$/,
    );
    errors.length = 0;
    expect(await check(target(`    allow_root: true\n${ACTING(":web")}`))).toBe(0);
    for (const use of ["subscribe", "info", "policy"]) {
      expect(await run(user, "--for", use, "-o", at(`${use}.pem`))).toBe(0);
    }
    const uses = ["subscribe", "info", "policy"].map(
      (use) => `${use}: { certificate: "${at(`${use}.pem`)}", key: "${at(`${use}.key`)}" }`,
    );
    const certificates = `targets:\n  - name: metal\n    tls: { address: "metal:1025", ca: "${at("ca.pem")}", certificates: [{ ${uses.join(", ")} }] }\n    enforces_policy: true\n`;
    expect(await check(`${certificates}${ACTING("user:web")}`)).toBe(1);
    expect(errors[0]).toMatch(
      /policies\[0\]\.mode: acts on user:web of metal, whose certificates only read; allowed: mode: dry_run$/,
    );
    errors.length = 0;
    expect(await check(certificates)).toBe(0);
    const two = `${certificates}  - name: other\n`;
    expect(await check(`${two}${ACTING("other:web")}`)).toBe(0);
    expect(errors).toEqual([]);
    expect(await check(`${two}${ACTING("user:web")}`)).toBe(0);
    expect(errors[0]).toMatch(
      /policies\[0\]\.mode: acts on user:web of metal, whose certificates only read; .*\(warning\)$/,
    );
  });

  test("and that no two targets subscribe to the same", async () => {
    folder.holder("user", user);
    const both = (address: string) => {
      const again = target("    enforces_policy: true\n").replace("targets:\n", "");
      return `${target("    enforces_policy: true\n")}${again.replace("metal\n", "other\n").replace("metal:1025", address)}`;
    };
    expect(await check(both("other:1025"))).toBe(0);
    expect(await check(both("Metal:1025"))).toBe(1);
    expect(errors.map((line) => line.replace(/^.*?: /, ""))).toEqual([
      'targets[1].tls.address: is the one of targets[0] too: slot "user:" is there twice; allowed: slots that share no unikernel (":" holds every other, "user:" holds "user:web" and "user:sub:")',
    ]);
  });

  test("and that they hold one policy for a path, not two by turns", async () => {
    const greater = { ...policyOf(20).policy, cpuids: [10, 9] };
    const newer = await make("user", { issuer: root, command: { ...policyOf(20), policy: greater } });
    for (const [use, issuer] of Object.entries({ subscribe: user, info: user, policy: newer }))
      expect(await run(issuer, "--for", use, "-o", at(`${use}.pem`))).toBe(0);
    said.length = 0;
    const files = ["subscribe", "info", "policy"].map(
      (use) => `${use}: { certificate: ${use}.pem, key: ${use}.key }`,
    );
    const tls = `{ address: "metal:1025", ca: ca.pem, certificates: [{ ${files.join(", ")} }] }`;
    expect(await check(`targets:\n  - { name: metal, tls: ${tls}, enforces_policy: true }\n`)).toBe(0);
    expect(said[2]).toMatch(/in force again at each question: 20 unikernels; 512 MB; cpuids 9, 10; bridges /);
    expect(errors.join()).toMatch(
      /tls: puts the policy of policy.pem for user: in force, and then another, of info.pem: each undoes the other \(warning\)$/,
    );
  });

  test("and that what is allowed is asked for", async () => {
    folder.holder("user", user);
    expect(await check(target("    enforces_policy: true\n    allow_root: true\n"))).toBe(0);
    expect(errors[0]).toMatch(
      /allow_root: has no effect: the certificates do not act at the root \(warning\)$/,
    );
    errors.length = 0;
    folder.holder("user", root);
    expect(await check(target("    enforces_policy: true\n    allow_root: true\n"))).toBe(0);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/enforces_policy: has no effect: the certificates hold no policy \(warning\)$/);
  });

  test.each([
    ["*", true],
    ["u*b", true],
    ["user:*", true],
    ["user:sub:w?b", true],
    ["user:sub:web", true],
    ["[a-z]:x", true],
    ["user:web", false],
    ["user:sub:sub:*", false],
    ["o*", false],
    [":w*", false],
    ["user:sub", false],
  ])("a policy for %s may act on user:sub: is %s", async (match, may) => {
    const sub = await make("sub", { issuer: user, command: policyOf(10) });
    folder.holder("user", sub, user);
    expect(await check(target(`    enforces_policy: true\n${ACTING(match)}`))).toBe(may ? 0 : 1);
    const text = `mode: acts on ${match} of metal, whose issuer reaches only user:sub:; allowed: mode: dry_run`;
    expect(errors.some((line) => line.endsWith(text))).toBe(!may);
  });

  test("from the configuration's folder", async () => {
    folder.holder("user", user);
    const yaml = target("    enforces_policy: true\n").replaceAll(`${folder.path}/`, "");
    expect(await check(yaml)).toBe(0);
    expect(said[1]).toContain("metal: puts the policy of user.pem for user:");
  });
});
