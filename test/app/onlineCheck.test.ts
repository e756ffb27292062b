import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { checkOnline } from "../../src/app/onlineCheck.ts";
import { systemClock } from "../../src/clock.ts";
import { loadConfig } from "../../src/config/load.ts";
import { SimulatedHost } from "../../src/simulator/host.ts";
import { rootPolicy, vmSpec } from "../../src/simulator/model.ts";
import { parseName } from "../../src/wire/names.ts";
import { answering, serve, success, vector } from "../support/prometheusStub.ts";
import { scenarioOf } from "../support/simulated.ts";

/** A host with a group and its clone: how it is reached by its sockets, and by TLS. */
async function host() {
  const socketDir = mkdtempSync(join(tmpdir(), "online-"));
  onTestFinished(() => rmSync(socketDir, { recursive: true, force: true }));
  const names = ["user:web", "user:web-clone-1", "user:db", ":hello"];
  const vms = names.map((name) => vmSpec({ name: parseName(name) }));
  const folder = join(socketDir, "tls");
  const policies = [rootPolicy(), { name: parseName("user:"), policy: rootPolicy().policy }];
  const simulated = new SimulatedHost(scenarioOf({ vms, policies }), {
    socketDir,
    clock: systemClock(),
    tls: { address: { host: "127.0.0.1", port: 0 }, folder },
  });
  await simulated.start();
  onTestFinished(() => simulated.stop());
  const issuer = `{ certificate: ${folder}/issuer-user.pem, key: ${folder}/issuer-user.key }`;
  const tls = `{ address: "${simulated.tlsAddress}", ca: ${folder}/ca.pem, issuer: ${issuer} }`;
  return { sockets: `socket_dir: ${socketDir}`, tls: `enforces_policy: true, tls: ${tls}` };
}

async function checked(target: string, url: string, policies: readonly string[], more = "") {
  const text = `
targets: [{ name: box, ${target} }]
scaler: { prometheus: { url: "${url}"${more} }, policies: [${policies.join(", ")}] }`;
  const result = loadConfig("config.yaml", text);
  if (!result.ok) expect.fail("refused");
  const lines: string[] = [];
  const passed = await checkOnline(result.config, systemClock(), (line) => lines.push(line));
  return { passed, lines };
}

const load = (match: string, query: string) =>
  `{ match: "${match}", load: { query: '${query}', capacity_per_member: 200 } }`;

test("each policy with load is a line: policy, query, value, percent, verdict", async () => {
  const answers: Record<string, string> = {
    'q{m=~"web|web-clone-1"}': "412.5",
    'd{ g="db"  }': "50",
    'h{p=""}': "100",
  };
  const url = await answering((query) => [answers[query] ?? "NaN"]);
  const { passed, lines } = await checked((await host()).sockets, url, [
    load("user:w*", 'q{m=~"$members"}'),
    load("*:db", 'd{ g="$group"  }'),
    '{ match: ":off" }',
    load("*", 'h{p="$path"}'),
  ]);
  expect(lines).toEqual([
    'user:w*  q{m=~"web|web-clone-1"}  412.5  103.1 %  ok: above 90 %, as 2 members of box user:web',
    '*:db  d{ g="db" }  50  25 %  ok: below 40 %, as 1 member of box user:db',
    '*  h{p=""}  100  50 %  ok: between 40 % and 90 %, as 1 member of box :hello',
  ]);
  expect(passed).toBe(true);
});

test("one that has no answer of one number fails the check, and the others are told all the same", async () => {
  const url = await answering((query) => (query === "two" ? ["1", "2"] : ["1"]));
  const { passed, lines } = await checked((await host()).sockets, url, [
    load("user:web", "two"),
    load("user:db", "one"),
  ]);
  expect(lines).toEqual([
    expect.stringMatching(/^user:web {2}two {2}- {2}- {2}FAILED \(several\): the answer has 2 samples, /),
    "user:db  one  1  0.5 %  ok: below 40 %, as 1 member of box user:db",
  ]);
  expect(passed).toBe(false);
});

test("without a host that answers match itself is the group, where it is one", async () => {
  const url = await answering((query) => [query === 'q{h="box",g="web"}' ? "20" : "NaN"]);
  const query = 'q{h="$host",g="$group"}';
  const { passed, lines } = await checked("socket_dir: /nowhere", url, [
    load("user:web", query),
    load("user:*", query),
  ]);
  expect(lines).toEqual([
    'user:web  q{h="box",g="web"}  20  10 %  ok: below 40 %, as 1 member of box user:web',
    `user:*  ${query}  -  -  not asked: no target that answers lists a group of this policy`,
  ]);
  expect(passed).toBe(true);
});

test("a target that is reached by TLS lists its groups, too", async () => {
  const url = await answering((query) => [query === 'q{m=~"web|web-clone-1"}' ? "300" : "NaN"]);
  const query = 'q{m=~"$members"}';
  const { lines } = await checked((await host()).tls, url, [load("user:w*", query), load(":*", query)]);
  expect(lines).toEqual([
    'user:w*  q{m=~"web|web-clone-1"}  300  75 %  ok: between 40 % and 90 %, as 2 members of box user:web',
    // the issuer is for another path
    `:*  ${query}  -  -  not asked: no target that answers lists a group of this policy`,
  ]);
});

test("a disabled policy is not asked, here as by the running program", async () => {
  const seen: string[] = [];
  const url = await answering((query) => {
    seen.push(query);
    return ["1"];
  });
  const off = load("user:web", "off").replace("{ ", "{ enabled: false, ");
  const paused = load("user:db", "paused").replace("{ ", "{ paused: true, ");
  const { passed, lines } = await checked((await host()).sockets, url, [off, paused]);
  expect([passed, lines[0]]).toEqual([true, "user:web  off  -  -  not asked: the policy is disabled"]);
  expect(seen).toEqual(["paused"]);
});

test("a configuration without a load says so", async () => {
  const { lines } = await checked("socket_dir: /nowhere", "http://127.0.0.1:1", ['{ match: "*" }']);
  expect(lines).toEqual(["no policy asks Prometheus for its load"]);
});

test("the time of a query begins when it is sent, however many policies there are", async () => {
  let open = 0;
  let most = 0;
  const url = await serve((_, response) => {
    most = Math.max(most, ++open);
    setTimeout(() => {
      open--;
      response.end(JSON.stringify(success(vector("1"))));
    }, 500);
  });
  // all of them take longer than one may
  const policies = Array.from({ length: 100 }, (_, i) => load(`user:vm${i}`, "q"));
  const { passed, lines } = await checked("socket_dir: /nowhere", url, policies, ", timeout: 2s");
  expect([passed, lines.length, most]).toEqual([true, 100, 20]);
});
