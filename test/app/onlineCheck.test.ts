import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { checkOnline } from "../../src/app/onlineCheck.ts";
import { systemClock } from "../../src/clock.ts";
import { loadConfig } from "../../src/config/load.ts";
import { SimulatedHost } from "../../src/simulator/host.ts";
import { vmSpec } from "../../src/simulator/model.ts";
import { parseName } from "../../src/wire/names.ts";
import { answering } from "../support/prometheusStub.ts";
import { scenarioOf } from "../support/simulated.ts";

/** A host with a group and its clone, and the folder of its sockets. */
async function host(): Promise<string> {
  const socketDir = mkdtempSync(join(tmpdir(), "online-"));
  onTestFinished(() => rmSync(socketDir, { recursive: true, force: true }));
  const names = ["user:web", "user:web-clone-1", "user:db", ":hello"];
  const vms = names.map((name) => vmSpec({ name: parseName(name) }));
  const simulated = new SimulatedHost(scenarioOf({ vms }), { socketDir, clock: systemClock() });
  await simulated.start();
  onTestFinished(() => simulated.stop());
  return socketDir;
}

async function checked(socketDir: string, url: string, policies: readonly string[]) {
  const text = `
targets: [{ name: box, socket_dir: ${socketDir} }]
scaler: { prometheus: { url: "${url}" }, policies: [${policies.join(", ")}] }`;
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
  const { passed, lines } = await checked(await host(), url, [
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
  const { passed, lines } = await checked(await host(), url, [
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
  const { passed, lines } = await checked("/nowhere", url, [load("user:web", query), load("user:*", query)]);
  expect(lines).toEqual([
    'user:web  q{h="box",g="web"}  20  10 %  ok: below 40 %, as 1 member of box user:web',
    `user:*  ${query}  -  -  not asked: no target that answers lists a group of this policy`,
  ]);
  expect(passed).toBe(true);
});
