import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Stack, startStack } from "../../scripts/stack/stack.ts";
import { type Scenario, type VmSpec, vmSpec } from "../../src/simulator/model.ts";
import { parseName } from "../../src/wire/names.ts";
import { requireProgram } from "../support/requireProgram.ts";
import { until } from "../support/serving.ts";
import { scenarioOf } from "../support/simulated.ts";

/** An hour takes a minute. */
const SPEED = 60;
const STATS_INTERVAL_MS = 200;

const everySecond = Array.from({ length: 90 }, (_, second) => 1_000 * (second + 1));

/** A VM by its full name, under a load in percent. */
function vm(name: string, percent = 20, more: Partial<VmSpec> = {}): VmSpec {
  return vmSpec({ name: parseName(name), load: { type: "constant", percent }, ...more });
}

function host(vms: readonly VmSpec[], more: Partial<Scenario> = {}): Scenario {
  const apart = vms.map((spec, core) => ({ ...spec, cpuids: [core] }));
  return scenarioOf({ intervalMs: STATS_INTERVAL_MS, vms: apart, ...more });
}

const HOSTS = {
  groups: host([
    vm("user:lone-clone-1"),
    vm("user:full", 97),
    vm("user:full-clone-1", 97),
    vm("user:held", 97),
    vm("user:busy", 97),
    vm("user:idle", 3),
    vm("user:idle-clone-1", 3),
    vm("user:cron", 5, { restartsAtMs: everySecond.filter((ms) => ms % 4_000 === 0) }),
  ]),
  // from the beginning: albatross-stats takes the subscription, and that is all
  silent: host([vm("user:web")], {
    events: [{ atMs: 0, action: { type: "misbehave", fault: { type: "silent" }, forMs: null } }],
  }),
  rival: host([vm("user:web")], {
    events: [
      {
        atMs: 2_000,
        action: { type: "misbehave", fault: { type: "rival", slot: ":", everyMs: null }, forMs: null },
      },
    ],
  }),
  blocked: host([vm(":user")]),
  damaged: host([vm("user:web")], {
    events: everySecond.map((atMs) => ({
      atMs,
      action: { type: "misbehave", fault: { type: "undecodable", slot: null }, forMs: null },
    })),
  }),
} satisfies Record<string, Scenario>;

const both = [requireProgram("prometheus"), requireProgram("prometheus-alertmanager")];

describe.skipIf(both.includes(false))("what really goes wrong", () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({
      hosts: HOSTS,
      targets: { silent: { stats_interval: "200ms" }, blocked: { subscribe: ["user:"] } },
      speed: SPEED,
      scaler: {
        policies: [
          { match: "user:full", max_clones: 1 },
          { match: "user:held", paused: true },
          { match: "*:*", adopt_clones: true },
        ],
        // no directory
        state_file: "/dev/null/scaler-state.json",
      },
      program: "built",
    });
    appendFileSync(join(stack.folder, "exporter.yml"), "no_such_key: 1\n");
    stack.exporter.signal("SIGHUP");
  });
  afterAll(() => stack?.stop());

  test.each([
    ["AlbatrossConfigReloadFailed", { severity: "warning" }],
    ["AlbatrossScalerStateFileFailing", { severity: "warning" }],
    ["AlbatrossHostDown", { host: "blocked" }],
    ["AlbatrossSubscriptionBlocked", { host: "blocked", subscription: "user:" }],
    ["AlbatrossSubscriptionDisplaced", { host: "rival", subscription: ":" }],
    ["AlbatrossStatsStale", { host: "silent", subscription: ":" }],
    ["AlbatrossVmRestartLoop", { host: "groups", path: "user", vm: "cron" }],
    ["AlbatrossGroupOrphaned", { host: "groups", path: "user", group: "lone" }],
    ["AlbatrossGroupOverloaded", { host: "groups", path: "user", group: "busy" }],
    ["AlbatrossGroupOverloadedAtMax", { host: "groups", path: "user", group: "full" }],
    ["AlbatrossGroupOverloadHeld", { host: "groups", path: "user", group: "held", reason: "paused" }],
    ["AlbatrossScaleUpOutstanding", { host: "groups", path: "user", group: "busy" }],
    ["AlbatrossScaleDownOutstanding", { host: "groups", path: "user", group: "idle" }],
    ["AlbatrossDecodeErrors", { host: "damaged", subscription: ":", reason: "message" }],
  ])("%s, with %j", async (alertname, labels) => {
    const wanted = Object.entries({ alertname, ...labels });
    const found = await until(
      alertname,
      async () =>
        (await stack.alerts()).find((one) => wanted.every(([name, value]) => one.labels[name] === value)),
      (alert) => alert !== undefined,
    );
    expect(found?.annotations["summary"]).not.toMatch(/<no value>|error/i);
  });

  test.each([
    ["AlbatrossGroupOverloadedAtMax", "full"],
    ["AlbatrossGroupOverloadHeld", "held"],
  ])("%s of %s is silent beside the page on the same overload", async (alertname, group) => {
    const hidden = await until(
      alertname,
      async () =>
        (await stack.alerts()).find(
          ({ labels }) => labels["alertname"] === alertname && labels["group"] === group,
        ),
      (alert) => alert?.status.state === "suppressed",
    );
    const causes = (await stack.alerts()).filter(({ fingerprint }) =>
      hidden?.status.inhibitedBy.includes(fingerprint),
    );
    expect(causes.map(({ labels }) => [labels["alertname"], labels["group"]])).toEqual([
      ["AlbatrossGroupOverloaded", group],
    ]);
  });

  test("AlbatrossExporterDown, and nothing else of its hosts", async () => {
    stack.exporter.signal("SIGKILL");
    const down = await until(
      "AlbatrossExporterDown",
      async () =>
        (await stack.alerts()).find(({ labels }) => labels["alertname"] === "AlbatrossExporterDown"),
      (alert) => alert !== undefined,
    );
    await until(
      "the alerts of its hosts to be inhibited",
      async () => (await stack.alerts()).filter(({ labels }) => labels["host"] !== undefined),
      (ofHosts) =>
        ofHosts.length > 0 &&
        ofHosts.every(({ status }) => status.inhibitedBy.includes(down?.fingerprint ?? "")),
    );
  });
});
