import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";

const ROOT = new URL("../../", import.meta.url);
const read = (path: string) => parse(readFileSync(new URL(path, ROOT), "utf8"));

describe("the provisioned data source", () => {
  const { apiVersion, datasources } = read("grafana/provisioning/datasources/albatross.yml");
  const [source] = datasources;

  it("is one Prometheus, asked by Grafana's server, which takes nobody else's place", () => {
    expect(apiVersion).toBe(1);
    expect(datasources).toHaveLength(1);
    expect(source).toMatchObject({ type: "prometheus", access: "proxy", isDefault: false });
  });

  it("knows how often the shipped configuration scrapes", () => {
    const [job] = read("deploy/prometheus.yml").scrape_configs;
    expect(source.jsonData.timeInterval).toBe(job.scrape_interval);
  });
});

describe("the provisioned dashboards", () => {
  const { apiVersion, providers } = read("grafana/provisioning/dashboards/albatross.yml");

  it("come from files in one folder, which docs/grafana.md names", () => {
    expect(apiVersion).toBe(1);
    expect(providers).toMatchObject([{ type: "file", folder: "Albatross" }]);
    const documentation = readFileSync(new URL("docs/grafana.md", ROOT), "utf8");
    expect(documentation).toContain(providers[0].options.path);
  });
});
