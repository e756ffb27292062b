import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NotifiedAlert } from "../../scripts/stack/receiver.ts";
import { type KnownAlert, type Stack, startStack } from "../../scripts/stack/stack.ts";
import { type Scenario, vmSpec } from "../../src/simulator/model.ts";
import { parseName } from "../../src/wire/names.ts";
import { requireProgram } from "../support/requireProgram.ts";
import { until } from "../support/serving.ts";
import { scenarioOf } from "../support/simulated.ts";

/** An hour takes a minute: the shipped rules, Alertmanager example, scrape interval and scaler defaults, divided. */
const SPEED = 60;
const STATS_INTERVAL_MS = 200;

const POLICIES = [
  { match: "user:web", host: "east", scale_up_threshold_percent: 60 },
  { match: "user:mirror", enabled: false },
  { match: ":hello" },
  { match: "user:web", host: "west" },
];

/** A host with these loads, by full name, in percent. */
function hostWith(loads: Readonly<Record<string, number>>): Scenario {
  const vms = Object.entries(loads).map(([name, percent]) =>
    vmSpec({ name: parseName(name), load: { type: "constant", percent } }),
  );
  return scenarioOf({ intervalMs: STATS_INTERVAL_MS, vms });
}

const both = [requireProgram("prometheus"), requireProgram("prometheus-alertmanager")];

describe.skipIf(both.includes(false))("an overload, in real Prometheus and Alertmanager", () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({
      hosts: {
        // above its policy's threshold; the same without a policy; above the default threshold; not scaled on purpose
        east: hostWith({ "user:web": 75, "user:db": 75, ":hello": 97, "user:mirror": 98 }),
        west: hostWith({ "user:web": 97 }),
      },
      speed: SPEED,
      scaler: { policies: POLICIES },
      program: "built",
    });
  });
  afterAll(() => stack?.stop());

  /** What a receiver was told of an alert last; null before. */
  const told = (receiver: string, labels: Readonly<Record<string, string>>): NotifiedAlert | null =>
    stack.notifications
      .filter((notification) => notification.receiver === receiver)
      .flatMap(({ alerts }) => alerts)
      .filter((alert) => Object.entries(labels).every(([name, value]) => alert.labels[name] === value))
      .at(-1) ?? null;

  const toldOf = (
    receiver: string,
    status: NotifiedAlert["status"],
    labels: Readonly<Record<string, string>>,
  ) =>
    until(
      `${receiver}: ${JSON.stringify(labels)} ${status}`,
      async () => told(receiver, labels),
      (alert) => alert?.status === status,
    );

  const OVERLOADED = { alertname: "AlbatrossGroupOverloaded" };

  test("arrives at the pager with the group's labels and figures, by the threshold that holds for the group", async () => {
    const web = await toldOf("pager", "firing", { ...OVERLOADED, host: "east", group: "web" });
    expect(web).toMatchObject({
      labels: { severity: "critical", job: "albatross", host: "east", path: "user", group: "web" },
      annotations: {
        summary: expect.stringMatching(/^user:web on east is overloaded: 7\d\.\d %$/),
        description: expect.stringMatching(
          /use 7\d\.\d % of their CPUs on average, above 60 %\. Clones: 0\. The scaler: \w+\. It called for web-clone-1\.$/,
        ),
        runbook_url: "docs/runbook.md#albatrossgroupoverloaded",
      },
    });
    const hello = await toldOf("pager", "firing", { ...OVERLOADED, host: "east", group: "hello" });
    expect(hello?.annotations["description"]).toMatch(/9\d\.\d % of their CPUs on average, above 90 %/);
    await toldOf("pager", "firing", { ...OVERLOADED, host: "west", group: "web" });
    expect(told("pager", { group: "db" })).toBeNull();
  });

  test("comes after its to-do, which names the clone", () => {
    const web = stack.notifications.flatMap(({ alerts }) =>
      alerts.filter(({ labels }) => labels["host"] === "east" && labels["group"] === "web"),
    );
    const names = web.map(({ labels }) => labels["alertname"]);
    expect(names.indexOf("AlbatrossScaleUpOutstanding")).toBeGreaterThanOrEqual(0);
    expect(names.indexOf("AlbatrossScaleUpOutstanding")).toBeLessThan(
      names.indexOf("AlbatrossGroupOverloaded"),
    );
    expect(web[0]?.annotations["summary"]).toBe("To do on east: create web-clone-1 for user:web");
  });

  test("is only noted for a group that is not scaled", async () => {
    const mirror = { alertname: "AlbatrossUnscaledGroupOverloaded", host: "east", group: "mirror" };
    const noted = await toldOf("notes", "firing", mirror);
    expect(noted?.labels["severity"]).toBe("info");
    expect(told("pager", { group: "mirror" })).toBeNull();
  });

  test("comes in one message for each group", () => {
    // On a busy machine the exporter may have been absent for what is five minutes here: that is of no group.
    const ofGroups = stack.notifications.filter(({ groupLabels }) => groupLabels["group"] !== undefined);
    expect(ofGroups.length).toBeGreaterThanOrEqual(4);
    for (const { alerts } of ofGroups) {
      const groups = alerts.map(({ labels }) => `${labels["host"]} ${labels["path"]} ${labels["group"]}`);
      expect(new Set(groups).size).toBe(1);
    }
  });

  test("is inhibited when its host goes down, which is told of instead", async () => {
    await stack.hosts["west"]?.misbehave({ type: "stat_gone" });
    const down = await toldOf("pager", "firing", { alertname: "AlbatrossHostDown", host: "west" });
    expect(down?.annotations["summary"]).toBe("Albatross host west is down");
    const find = async (name: string, host: string) =>
      (await stack.alerts()).find(({ labels }) => labels["alertname"] === name && labels["host"] === host);
    const cause = await find("AlbatrossHostDown", "west");
    const hidden = await until<KnownAlert | undefined>(
      "the overload to be inhibited",
      () => find("AlbatrossGroupOverloaded", "west"),
      (alert) => alert?.status.state === "suppressed",
    );
    expect(hidden?.status.inhibitedBy).toContain(cause?.fingerprint);
    await until<KnownAlert | undefined>(
      "the other host's overload, which is not",
      () => find("AlbatrossGroupOverloaded", "east"),
      (alert) => alert?.status.state === "active",
    );
  });

  test("is resolved when the load falls, at the pager too", async () => {
    for (const vm of ["user:web", ":hello"]) stack.hosts["east"]?.setLoad(vm, 5);
    await toldOf("pager", "resolved", { ...OVERLOADED, host: "east", group: "web" });
    await toldOf("pager", "resolved", { ...OVERLOADED, host: "east", group: "hello" });
    // Nothing was said about the groups of the host that is down meanwhile.
    expect(told("pager", { ...OVERLOADED, host: "west" })?.status).toBe("firing");
  });
});
