import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { SimulatedHost } from "../../src/simulator/host.ts";
import { rootPolicy, vmSpec } from "../../src/simulator/model.ts";
import { ROUTES } from "../../src/web/routes.ts";
import { parseName } from "../../src/wire/names.ts";
import { issuerOf } from "../simulator/tlsClient.ts";
import { make, policyOf } from "../support/certificates.ts";
import { FakeClock } from "../support/fakeClock.ts";
import type { Scrape } from "./support/exposition.ts";
import { Lab } from "./support/lab.ts";

const INTERVAL_MS = 1_000;
const MEMORY_MB = 512;
/** Among the arguments of unikernels. */
const SECRET = "hunter2";
const HOSTS = ["far", "farther", "near"] as const;

/** Two hosts that are reached by TLS and one by its sockets, each with a group in `user:`; and the exporter of all. */
async function threeHosts(scaler = "") {
  const lab = await Lab.make(new FakeClock(Date.now()));
  const policy = { ...rootPolicy().policy, unikernels: 4, memory: MEMORY_MB };
  const scenario = {
    intervalMs: INTERVAL_MS,
    policies: [rootPolicy(), { name: parseName("user:"), policy }],
    vms: [
      vmSpec({
        name: parseName("user:web"),
        load: { type: "constant", percent: 95 },
        shareLoadWithClones: true,
        arguments: [`--token=${SECRET}`],
      }),
    ],
  };
  const hosts = new Map<string, SimulatedHost>();
  for (const name of HOSTS) hosts.set(name, await lab.simulate(name, scenario, name !== "near"));
  const targets = HOSTS.map((name) => {
    const sure = "allow_unchecked_path: true";
    if (name === "near") return { name, settings: `subscribe: ['user:'], ${sure}` };
    const file = (end: string) => join(lab.socketDir(name), "tls", end);
    const issuer = `{ certificate: ${file("issuer-user.pem")}, key: ${file("issuer-user.key")} }`;
    const tls = `{ address: "${hosts.get(name)?.tlsAddress}", ca: ${file("ca.pem")}, issuer: ${issuer} }`;
    return { name, settings: `tls: ${tls}, enforces_policy: true, ${sure}` };
  });
  await lab.serve(targets, { scaler });
  const host = (name: (typeof HOSTS)[number]): SimulatedHost => {
    const found = hosts.get(name);
    if (found === undefined) throw new Error(`no host ${name}`);
    return found;
  };
  return { lab, host };
}

/** Messages of each host so far. */
async function heard(lab: Lab): Promise<number[]> {
  const scrape = await lab.scrape();
  const labels = { subscription: "user:" };
  return HOSTS.map((host) => scrape.value("albatross_stats_messages_total", { host, ...labels }) ?? 0);
}

test("an issuer is replaced while samples come, by good files and by wrong ones, and no host loses a sample", async () => {
  const { lab, host } = await threeHosts();
  const folder = join(lab.socketDir("far"), "tls");
  const ca = await issuerOf({ tlsFolder: folder }, "ca");
  await lab.passUntil("samples", ({ text }) => text.includes("albatross_vm_cpu_usage_percent{"));
  const [before, beforeUs] = [await heard(lab), lab.clock.nowUs()];

  for (const round of [1, 2, 3]) {
    const issuer = await make("user", { issuer: ca, command: policyOf(4, MEMORY_MB + round) });
    writeFileSync(join(folder, "issuer-user.pem"), issuer.pem);
    if (round === 2) {
      await lab.passUntil("the wrong key", () => lab.logged("error").length > 0);
      expect(lab.logged("error")).toEqual(["new certificates cannot be used: those before stay in use"]);
    }
    writeFileSync(join(folder, "issuer-user.key"), issuer.key);
    const isInForce = (memoryMb: number) => memoryMb === MEMORY_MB + round;
    await lab.passUntil("the new certificate's policy on the host", (scrape) => {
      const labels = { host: "far", path: "user" };
      return isInForce((scrape.value("albatross_policy_memory_limit_bytes", labels) ?? 0) / 2 ** 20);
    });
  }

  const ticks = Math.floor(lab.clock.nowUs() / 1e6) - Math.floor(beforeUs / 1e6);
  expect(ticks).toBeGreaterThan(60);
  await expect.poll(() => heard(lab)).toEqual(before.map((count) => count + ticks));

  // its next subscription shows the new certificate
  await host("far").misbehave({ type: "close", slot: null });
  const connects = { host: "far", subscription: "user:" };
  await lab.passUntil(
    "another subscription",
    (scrape) => scrape.value("albatross_stats_connects_total", connects) === 2,
  );
  const [again = 0] = await heard(lab);
  await lab.passUntil("its samples", ({ text }) => text !== "");
  await lab.pass(5_000);
  await expect.poll(async () => (await heard(lab))[0]).toBeGreaterThan(again + 2);
});

/** Keys of `scaler` for groups that act soon. */
const ACTING = `mode: execute, poll_interval: 3s, max_scale_ups_per_tick: 5, defaults: { scale_up_trigger_ticks: 2, scale_down_trigger_ticks: 2, cooldown_period: 10s, warmup_period: 0s, clone: { arguments: ["--password=${SECRET}"] } }, policies: [{ match: "user:web", mode: execute }]`;

test("one scaler carries out on all of them what it decides", async () => {
  const { lab, host } = await threeHosts(ACTING);
  const names = () => HOSTS.map((name) => host(name).vmNames);
  const hasClone = (isThere: boolean) => () =>
    names().every((vms) => vms.includes("user:web-clone-1") === isThere);
  const stream = await listen(lab);
  await lab.passUntil("a clone on each", hasClone(true), { withinMs: 120_000 });
  for (const name of HOSTS) host(name).setLoad("user:web", 5);
  await lab.passUntil("no clone on any", hasClone(false), { withinMs: 300_000 });
  expect(names()).toEqual(HOSTS.map(() => ["user:web"]));
  expect(lab.logged("error")).toEqual([]);

  const shown = [JSON.stringify(lab.log), stream.text, ...(await responses(lab)), ...kept(lab)];
  stream.end();
  expect(shown[1]).toContain("user:web-clone-1");
  const files = ["ca.key", "ca.pem", "issuer-user.key", "issuer-user.pem"];
  const pem = ["far", "farther"].flatMap((host) =>
    files.flatMap((file) =>
      readFileSync(join(lab.socketDir(host), "tls", file), "utf8")
        .trim()
        .split("\n"),
    ),
  );
  // the last line of one is anything's
  const lines = pem.filter((line) => line.length > 20);
  expect(lines.length).toBeGreaterThan(30);
  for (const text of shown)
    expect([SECRET, "PRIVATE KEY", ...lines].filter((line) => text.includes(line))).toEqual([]);
});

/** Every response but the stream's, whose end never comes. */
async function responses(lab: Lab): Promise<string[]> {
  const paths = ROUTES.map(({ path }) => path).filter((path) => path !== STREAM);
  const all = ["/", "/groups/far/user:web", "/metrics", ...paths];
  return Promise.all(
    all.map(async (path) => {
      const response = await fetch(`${lab.url}${path}`);
      expect(response.status, path).toBe(200);
      return response.text();
    }),
  );
}

const STREAM = "/api/v1/stream";

/** What comes on the stream from now on. */
async function listen(lab: Lab) {
  const ending = new AbortController();
  const response = await fetch(`${lab.url}${STREAM}`, { signal: ending.signal });
  const heard = { text: "", end: () => ending.abort() };
  const read = async () => {
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) heard.text += decoder.decode(chunk, { stream: true });
  };
  read().catch(() => undefined);
  onTestFinished(heard.end);
  return heard;
}

/** State, records, logs and images. */
function kept(lab: Lab): string[] {
  const files = readdirSync(lab.folder, { recursive: true, withFileTypes: true }).filter(
    (file) => file.isFile() && HOSTS.every((host) => !file.parentPath.startsWith(lab.socketDir(host))),
  );
  expect(files.map(({ name }) => name)).toEqual(expect.arrayContaining(["state.json", "decisions.log"]));
  return files.map(({ parentPath, name }) => readFileSync(join(parentPath, name), "latin1"));
}

test("certificates for another path are taken by a reload, and what was known of the path before is forgotten", async () => {
  const { lab, host } = await threeHosts();
  const folder = join(lab.socketDir("far"), "tls");
  const ca = await issuerOf({ tlsFolder: folder }, "ca");
  const has = (name: string, path: string) => (scrape: Scrape) =>
    scrape.text.includes(`albatross_vm_cpu_usage_percent{host="${name}",path="${path}",vm="web"}`);
  await lab.passUntil("samples", has("far", "user"));
  host("far").addVm({ name: "other:web", load: 5 });
  const other = await make("other", { issuer: ca, command: policyOf(4, MEMORY_MB) });
  writeFileSync(join(folder, "issuer-user.pem"), other.pem);
  writeFileSync(join(folder, "issuer-user.key"), other.key);
  await lab.passUntil("the refusal", () => lab.logged("error").length > 0);
  expect(has("far", "user")(await lab.scrape())).toBe(true);

  await lab.reload();
  const scrape = await lab.passUntil("samples of the other path", has("far", "other"));
  expect(has("far", "user")(scrape)).toBe(false);
  expect(scrape.value("albatross_stats_connects_total", { host: "near", subscription: "user:" })).toBe(1);
  expect(scrape.value("albatross_stats_connects_total", { host: "far", subscription: "other:" })).toBe(1);
});

test("an issuer that expires while an action runs: nothing is sent twice, and a new one tells what came of it", async () => {
  const { lab, host } = await threeHosts(ACTING);
  const folder = join(lab.socketDir("far"), "tls");
  const ca = await issuerOf({ tlsFolder: folder }, "ca");
  const replace = async (untilMs?: number) => {
    const wish = { issuer: ca, command: policyOf(4, MEMORY_MB), ...(untilMs !== undefined && { untilMs }) };
    const issuer = await make("user", wish);
    writeFileSync(join(folder, "issuer-user.pem"), issuer.pem);
    writeFileSync(join(folder, "issuer-user.key"), issuer.key);
  };
  for (const name of HOSTS) host(name).setLoad("user:web", 50);
  await replace(lab.clock.wallMs() + 75_000);
  await lab.pass(60_000);
  // the create is sent within 10 s, the certificate expires 5 s later, and the reply is late
  await host("far").misbehave({ type: "vmmd_slow", everyMs: 120_000, command: "create" });
  host("far").setLoad("user:web", 95);
  const creates = () => lab.requests("far").filter(({ command }) => command === "create").length;
  const errors = { host: "far", reason: "certificate" };
  await lab.passUntil("a create", () => creates() > 0);
  // the question for policies may be refused before that for info is
  const isRefused = (one: Scrape) =>
    (one.value("albatross_info_errors_total", errors) ?? 0) > 0 &&
    one.value("albatross_info_up", { host: "far" }) === 0;
  const scrape = await lab.passUntil("a refusal", isRefused, { withinMs: 120_000 });
  for (const name of ["farther", "near"])
    expect(scrape.value("albatross_info_up", { host: name }), name).toBe(1);
  const what = { operation: "create", outcome: "verified", reason: "done" };
  const done = (one: Scrape) =>
    one.value("albatross_scaler_actions_total", { host: "far", path: "user", group: "web", ...what });
  await lab.pass(60_000);
  expect(done(await lab.scrape())).toBe(0);
  expect(creates()).toBe(1);

  await replace();
  await lab.passUntil("the create to be known", (one) => done(one) === 1, { withinMs: 120_000 });
  expect(creates()).toBe(1);
  expect(host("far").vmNames).toEqual(["user:web", "user:web-clone-1"]);
});
