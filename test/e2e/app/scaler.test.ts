import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { Serving, startSimulatedHost, temporaryFolder, until } from "../../support/serving.ts";

interface Told {
  readonly time: string;
  readonly group: string;
  readonly decision: string;
  readonly reason: string;
  readonly clone: string | null;
}

/** Two VMs at 50 %: too busy for this policy. */
function configFor(folder: string, policy = ""): string {
  return `targets: [{ name: demo, socket_dir: ${folder}, stats_interval: 500ms }]
web: { listen_addresses: ["127.0.0.1:0"] }
scaler:
  poll_interval: 1200ms
  state_file: ${folder}/state/scaler.json
  decision_log: ${folder}/state/decisions.ndjson
  max_scale_ups_per_tick: 2
  defaults: { scale_up_threshold_percent: 40, scale_down_threshold_percent: 10, scale_up_trigger_ticks: 2, cooldown_period: 1h, warmup_period: 0s }
  policies: [{ match: "load:vm-1"${policy} }]
`;
}

function decisionsIn(folder: string): Told[] {
  const text = readFileSync(`${folder}/state/decisions.ndjson`, "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

function kinds(told: readonly Told[], group = "vm-1"): string[] {
  return told.filter((one) => one.group === group).map(({ decision, reason }) => `${decision} ${reason}`);
}

async function decisions(serving: Serving, query = ""): Promise<Told[]> {
  return JSON.parse(await serving.get(`/api/v1/decisions${query}`)).data;
}

async function reason(serving: Serving): Promise<string | undefined> {
  const groups: { group: string; scaler: Told | null }[] = JSON.parse(
    await serving.get("/api/v1/groups"),
  ).data;
  return groups.find(({ group }) => group === "vm-1")?.scaler?.reason;
}

const COUNTED =
  'albatross_scaler_decisions_total{host="demo",path="load",group="vm-1",decision="scale_up",reason="overloaded",mode="dry_run"}';

test("a decision is the same in log, file, API and metrics, and outlives the process", async () => {
  const folder = await temporaryFolder();
  await startSimulatedHost(folder, 2);
  const config = configFor(folder);
  const first = await Serving.start(folder, config);

  await until(
    "a cooldown",
    () => reason(first),
    (now) => now === "cooldown",
  );
  const expected = ["hold pending_up", "scale_up overloaded", "hold cooldown"];
  // the decision log is written off the tick
  await until(
    "the decision log's lines",
    async () => kinds(decisionsIn(folder)),
    (lines) => lines.length >= expected.length,
  );
  expect(kinds(decisionsIn(folder))).toEqual(expected);
  expect(kinds(await decisions(first, "?group=load:vm-1")).reverse()).toEqual(expected);
  expect(kinds(await decisions(first), "vm-2")).toEqual(["hold no_policy"]);
  expect(
    first.events
      .filter(({ msg }) => String(msg).startsWith("scale"))
      .map((e) => `${e["decision"]} ${e["reason"]}`),
  ).toEqual(expected);
  expect(await first.metric(COUNTED)).toBe(1);
  const until1 = await first.metric(
    'albatross_scaler_cooldown_until_timestamp_seconds{host="demo",path="load",group="vm-1",direction="up"}',
  );

  // the stream tells when groups are evaluated
  const stream = await fetch(`${first.url}/api/v1/stream`);
  let text = "";
  for await (const chunk of stream.body ?? []) {
    text += Buffer.from(chunk).toString();
    if (text.includes('"event":"tick"}\n')) break;
  }
  expect(text).toMatch(/^\{"time":"[^"]+","event":"tick"\}$/m);

  first.signal("SIGKILL");
  await first.exited;
  const second = await Serving.start(folder, config);
  await until(
    "an evaluation",
    () => reason(second),
    (now) => now !== undefined,
  );
  expect(await reason(second)).toBe("cooldown");
  expect(second.events).toContainEqual(
    expect.objectContaining({ msg: "scaler state loaded", groups: 2, vms: 2 }),
  );
  const until2 = await second.metric(
    'albatross_scaler_cooldown_until_timestamp_seconds{host="demo",path="load",group="vm-1",direction="up"}',
  );
  expect(Math.abs((until2 ?? 0) - (until1 ?? 0))).toBeLessThan(0.1);
  expect(kinds(decisionsIn(folder))).toEqual(expected);

  // a reload pauses it, another policy's cooldown over
  await writeFile(second.configFile, configFor(folder, ", paused: true, cooldown_period: 1s"));
  second.signal("SIGHUP");
  // the decision is outstanding, so that nothing would be decided either
  await until(
    "the end of the cooldown",
    () => reason(second),
    (now) => now === "outstanding",
  );
  expect(await second.metric('albatross_scaler_paused{host="demo",path="load",group="vm-1"}')).toBe(1);

  second.signal("SIGTERM");
  expect(await second.exited).toBe(0);
  const state = JSON.parse(readFileSync(`${folder}/state/scaler.json`, "utf8"));
  expect(state.groups.find(({ group }: { group: string }) => group === "vm-1")).toMatchObject({
    outstanding: { decision: "scale_up", clone: "vm-1-clone-1" },
    last_hold: "outstanding",
  });
});

test("a state file that cannot be read is set aside, and the program runs", async () => {
  const folder = await temporaryFolder();
  await startSimulatedHost(folder, 1);
  const config = configFor(folder);
  await writeFile(`${folder}/broken.json`, '{"version":1');
  const serving = await Serving.start(folder, config.replace("state/scaler.json", "broken.json"));
  expect(serving.events).toContainEqual(
    expect.objectContaining({ level: "error", msg: "scaler state damaged: starting afresh" }),
  );
  expect(await serving.metric("albatross_scaler_state_damaged_total")).toBe(1);
  await until(
    "a state file",
    () => serving.metric("albatross_scaler_state_writes_total"),
    (writes) => (writes ?? 0) > 0,
  );
  expect(JSON.parse(readFileSync(`${folder}/broken.json`, "utf8")).version).toBe(2);
});

test("a second program on the folder of the state does not start; after the first was killed one does", async () => {
  const folder = await temporaryFolder();
  await startSimulatedHost(folder, 1);
  const config = configFor(folder);
  const first = await Serving.start(folder, config);
  const second = await Serving.launch(folder, config);
  expect(await second.exited).toBe(1);
  expect(second.events).toContainEqual(
    expect.objectContaining({
      level: "error",
      msg: expect.stringContaining(`another albatross-exporter keeps its state in ${folder}/state`),
    }),
  );
  first.signal("SIGKILL");
  await first.exited;
  const third = await Serving.start(folder, config);
  third.signal("SIGTERM");
  expect(await third.exited).toBe(0);
});

test.each([
  ["is open", "vmmd_no_reply", "action sent"],
  ["has ended, for its record is written till the end", "vmmd_fail", "action failed"],
] as const)("a reload without policies keeps the folder where an action %s", async (_, type, logged) => {
  const folder = await temporaryFolder();
  const host = await startSimulatedHost(folder, 1);
  const how = type === "vmmd_fail" ? { type, text: "no" } : { type, carriedOut: true };
  await host.misbehave({ command: "create", ...how });
  const acts = ", mode: execute, clone: { arguments: [] }";
  const config = configFor(folder, acts).replace("scaler:", "scaler:\n  mode: execute");
  const first = await Serving.start(folder, config);
  await first.logged(logged);
  await writeFile(first.configFile, config.replace(/policies:.*/, "policies: []"));
  first.signal("SIGHUP");
  await first.logged("configuration reloaded");
  const second = await Serving.launch(folder, config);
  expect(await second.exited).toBe(1);
});

test("a reload that moves the state into a folder in use is refused, and the one before goes on", async () => {
  const folder = await temporaryFolder();
  await startSimulatedHost(folder, 1);
  await Serving.start(folder, configFor(folder));
  const other = await temporaryFolder();
  const config = configFor(folder).replaceAll(`${folder}/state`, `${other}/state`);
  const serving = await Serving.start(other, config);
  await writeFile(serving.configFile, configFor(folder));
  serving.signal("SIGHUP");
  await serving.logged("configuration not reloaded: the one before stays in force");
  expect(await serving.metric("albatross_exporter_config_last_reload_successful")).toBe(0);
  // its own folder by another name is not in use
  await writeFile(serving.configFile, config.replaceAll("/state/", "/./state/"));
  serving.signal("SIGHUP");
  await serving.logged("configuration reloaded");
});
