import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { type ConfigFiles, writeConfigs } from "../../scripts/stack/configs.ts";
import { loadConfigFile } from "../../src/config/load.ts";
import { requireProgram } from "../support/requireProgram.ts";
import { temporaryFolder } from "../support/serving.ts";

const SPEED = 60;

let files: ConfigFiles;
beforeEach(async () => {
  const folder = await temporaryFolder();
  const places = {
    folder,
    hosts: { east: `${folder}/east` },
    exporter: "127.0.0.1:1001",
    alertmanager: "127.0.0.1:1002",
    receiverUrl: "http://127.0.0.1:1003",
  };
  const scaler = { policies: [{ match: "user:web" }], defaults: { max_clones: 5 } };
  files = await writeConfigs(places, { speed: SPEED, scaler });
});

const read = (file: string) => parse(readFileSync(file, "utf8"));

test("the exporter's scaler ticks faster, with the policies and defaults that were asked for", () => {
  const loaded = loadConfigFile(files.exporter);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  expect(loaded.config).toMatchObject({
    targets: [{ name: "east", socketDir: expect.stringMatching(/\/east$/) }],
    web: { listenAddresses: [{ host: "127.0.0.1", port: 1001 }] },
    scaler: {
      pollIntervalMs: 1000,
      defaults: { cooldownPeriodMs: 10_000, deathTimeoutMs: 15_000, warmupPeriodMs: 2000, maxClones: 5 },
      policies: [{ match: "user:web", cooldownPeriodMs: 10_000 }],
    },
  });
  expect(loaded.warnings).toEqual([]);
});

test("Prometheus scrapes faster, and the exporter here", () => {
  expect(read(files.prometheus)).toMatchObject({
    scrape_configs: [
      { job_name: "albatross", scrape_interval: "250ms", static_configs: [{ targets: ["127.0.0.1:1001"] }] },
    ],
    alerting: { alertmanagers: [{ static_configs: [{ targets: ["127.0.0.1:1002"] }] }] },
  });
});

test("Alertmanager waits less and sends to the receiver here", () => {
  const { route, receivers } = read(files.alertmanager);
  expect(route).toMatchObject({ group_wait: "500ms", group_interval: "5s", repeat_interval: "1440s" });
  expect(receivers[0].webhook_configs[0].url).toBe("http://127.0.0.1:1003/pager");
});

describe("the programs take what was written:", { tags: ["process"] }, () => {
  test.skipIf(!requireProgram("promtool"))("Prometheus, with its rules", () => {
    const { status, stdout } = spawnSync("promtool", ["check", "config", files.prometheus], {
      encoding: "utf8",
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining("2 rule files found") });
  });

  test.skipIf(!requireProgram("amtool"))("Alertmanager", () => {
    const { status } = spawnSync("amtool", ["check-config", files.alertmanager]);
    expect(status).toBe(0);
  });
});
