import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Stack, startStack } from "../../scripts/stack/stack.ts";
import { vmSpec } from "../../src/simulator/model.ts";
import { parseName } from "../../src/wire/names.ts";
import { requireProgram } from "../support/requireProgram.ts";
import { until } from "../support/serving.ts";
import { scenarioOf } from "../support/simulated.ts";

/** An hour takes half a minute: groups are evaluated every half second, and cool down for five seconds. */
const SPEED = 120;
const HOSTS = ["a", "b"];
const PRIMARY = "user:web";

function scenario() {
  const web = {
    name: parseName(PRIMARY),
    load: { type: "constant", percent: 50 },
    shareLoadWithClones: true,
  } as const;
  return scenarioOf({ intervalMs: 200, vms: [vmSpec(web)] });
}

const SCALER = {
  mode: "execute",
  policies: [
    {
      match: PRIMARY,
      mode: "execute",
      warmup_period: "0s",
      adopt_clones: false,
      clone: { arguments: ["--id={id}"] },
    },
  ],
};

const installed = [requireProgram("prometheus"), requireProgram("prometheus-alertmanager")];

describe.skipIf(installed.includes(false))("two groups on two hosts, watched by Prometheus", () => {
  let stack: Stack;
  beforeAll(async () => {
    const hosts = Object.fromEntries(HOSTS.map((name) => [name, scenario()]));
    stack = await startStack({ hosts, speed: SPEED, scaler: SCALER, program: "built" });
  });
  afterAll(() => stack?.stop());

  /** The value of a query by host, as soon as it holds for both. */
  async function both(query: string, holds: (value: number) => boolean): Promise<void> {
    await until(
      query,
      async () => (await stack.query(query)).map(({ labels, value }) => [labels["host"], value] as const),
      (found) => HOSTS.every((host) => found.some(([name, value]) => name === host && holds(value))),
    );
  }
  const setLoad = (percent: number) => {
    for (const host of HOSTS) stack.hosts[host]?.setLoad(PRIMARY, percent);
  };
  const counted = (operation: string) =>
    `albatross_scaler_actions_total{operation="${operation}",outcome="verified"}`;

  test("grow when they are overloaded, share the load, shrink when they are idle, and all of it is counted", async () => {
    await both('albatross_scaler_group_state{reason="normal"}', (value) => value === 1);
    // at 0 from the first scrape on, so that Prometheus sees the first action
    await both(`sum by (host) (${counted("create")})`, (value) => value === 0);

    setLoad(150);
    await both(counted("create"), (value) => value === 1);
    await both("albatross_group_clones", (value) => value === 1);
    await both("albatross_group_cpu_usage_percent", (value) => value > 60 && value < 90);
    for (const host of HOSTS) expect(stack.hosts[host]?.vmNames).toEqual([PRIMARY, `${PRIMARY}-clone-1`]);

    setLoad(10);
    await both(counted("destroy"), (value) => value === 1);
    await both("albatross_group_clones", (value) => value === 0);
    for (const host of HOSTS) expect(stack.hosts[host]?.vmNames).toEqual([PRIMARY]);

    const all = await stack.query("albatross_scaler_actions_total > 0");
    const told = all.map(({ labels, value }) => [
      labels["operation"],
      labels["outcome"],
      labels["reason"],
      value,
    ]);
    expect(told.sort()).toEqual([
      ["create", "verified", "done", 1],
      ["create", "verified", "done", 1],
      ["destroy", "verified", "done", 1],
      ["destroy", "verified", "done", 1],
    ]);
    const decided = await stack.query(
      'sum(albatross_scaler_decisions_total{decision!="hold",mode="execute"})',
    );
    expect(decided.map(({ value }) => value)).toEqual([4]);
  });
});
