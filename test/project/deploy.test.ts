import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { defaultConfig } from "../../src/config/load.ts";
import { requireProgram } from "../support/requireProgram.ts";

const DEPLOY = fileURLToPath(new URL("../../deploy", import.meta.url));
const read = (name: string) => readFileSync(`${DEPLOY}/${name}`, "utf8");

describe("prometheus.yml", () => {
  test.skipIf(!requireProgram("promtool"))("is valid for Prometheus", () => {
    const { status, stdout, stderr } = spawnSync(
      "promtool",
      ["check", "config", `${DEPLOY}/prometheus.yml`],
      {
        encoding: "utf8",
      },
    );
    expect({ status, said: stdout + stderr }).toMatchObject({
      status: 0,
      said: expect.stringContaining("SUCCESS"),
    });
  });

  test("scrapes where the program listens by default", () => {
    const { web } = defaultConfig();
    const [job] = parse(read("prometheus.yml")).scrape_configs;
    expect(job.static_configs[0].targets).toEqual([`localhost:${web.listenAddresses[0]?.port}`]);
    expect(job.metrics_path ?? "/metrics").toBe(web.telemetryPath);
  });
});

describe("albatross-exporter.service", () => {
  const unit = read("albatross-exporter.service");

  test("runs as a user of its own in group albatross, reloads on SIGHUP and has a state directory", () => {
    for (const line of [
      "User=albatross-exporter",
      "SupplementaryGroups=albatross",
      "ExecReload=/bin/kill -HUP $MAINPID",
      "StateDirectory=albatross-exporter",
      "NoNewPrivileges=yes",
      "ProtectSystem=strict",
    ]) {
      expect(unit.split("\n")).toContain(line);
    }
  });

  test("gives the program more time to end than it takes", () => {
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(5);
  });
});

test("the image is built on a Node that the program runs on, and does not run as root", () => {
  const dockerfile = read("Dockerfile");
  const majors = [...dockerfile.matchAll(/^FROM node:(\d+)/gm)].map(([, major]) => Number(major));
  expect(majors.length).toBe(2);
  expect(Math.min(...majors)).toBeGreaterThanOrEqual(20);
  expect(dockerfile).toMatch(/^USER node$/m);
});
