/** The worked examples of docs/load-from-promql.md, with windows of seconds in place of minutes. */
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { requireProgram } from "../support/requireProgram.ts";
import { Serving, temporaryFolder, until } from "../support/serving.ts";
import { Application } from "./support/application.ts";
import { Command } from "./support/command.ts";
import { Prometheus } from "./support/prometheus.ts";
import { apiDecisions, decided, loadedVm, startSimulated } from "./support/scaling.ts";

const file = fileURLToPath(new URL("../../docs/load-from-promql.md", import.meta.url));
const sections = readFileSync(file, "utf8").split(/^## /m);

/** The blocks of code of one language in the section that begins so, in seconds. */
function blocks(title: string, language: string): string[] {
  const section = sections.find((text) => text.startsWith(title)) ?? "";
  const found = section.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"));
  return Array.from(found, ([, code = ""]) =>
    code.replaceAll("[2m]", "[10s]").replaceAll("interval: 15s", "interval: 1s"),
  );
}

/** A line of `check-config --online`, its value and percent apart. */
function parts(line: string) {
  const [, before = "", value = "", percent = "", verdict = ""] =
    /^(.*) {2}([\d.]+) {2}([\d.]+) % {2}(.*)$/m.exec(line) ?? [];
  return { value: Number(value), percent: Number(percent), words: [before, verdict] };
}

interface Example {
  readonly title: string;
  /** percent of a CPU on each host */
  readonly hosts: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly serve?: (app: Application) => void;
  /** Prometheus scrapes the exporter */
  readonly isScraped?: boolean;
  /** what comes of it */
  readonly decision: Readonly<Record<string, unknown>>;
}

const EXAMPLES: readonly Example[] = [
  {
    title: "Requests from a load balancer's exporter",
    hosts: { box1: { "user:web": 50 } },
    serve: (app) =>
      app
        .rate('haproxy_backend_http_requests_total{proxy="web"}', 300)
        .rate('haproxy_backend_http_requests_total{proxy="db"}', 5_000),
    decision: { decision: "scale_up", reason: "overloaded", clone: "web-clone-1", step: 2 },
  },
  {
    title: "The length of a queue",
    hosts: { box1: { "user:worker": 95, "user:worker-clone-1": 95 } },
    serve: (app) => app.set('rabbitmq_queue_messages_ready{queue="user-worker",vhost="/"}', 30),
    decision: { decision: "hold", reason: "at_min" },
  },
  {
    title: "The mean of a group's CPU over all hosts",
    hosts: { box1: { "user:web": 99 }, box2: { "user:web": 41 } },
    isScraped: true,
    decision: { decision: "hold", reason: "normal" },
  },
];

test("every example of the page is run here", () => {
  const titles = sections.filter((text) => /^```text\n/m.test(text)).map((text) => text.split("\n", 1)[0]);
  expect(EXAMPLES.map(({ title }) => title)).toEqual(titles);
});

describe.skipIf(!requireProgram("prometheus"))("with a real Prometheus", () => {
  test.each(EXAMPLES)("$title", async ({ title, hosts, serve, isScraped = false, decision }) => {
    const folder = await temporaryFolder();
    const app = await Application.start();
    serve?.(app);
    const targets: string[] = [];
    for (const [host, vms] of Object.entries(hosts)) {
      const specs = Object.entries(vms).map(([name, percent]) => loadedVm(name, percent, { cpus: 1 }));
      await startSimulated(join(folder, host), specs, 500);
      targets.push(`{ name: ${host}, socket_dir: ${join(folder, host)}, os: linux }`);
    }
    const head = (listen: string) =>
      `targets: [${targets.join(", ")}]\nweb: { listen_addresses: ["${listen}"] }\n`;
    const timing =
      "scaler:\n  poll_interval: 1s\n  max_scale_ups_per_tick: 9\n  defaults: { warmup_period: 0s, scale_down_trigger_ticks: 2 }\n";
    const yaml = blocks(title, "yaml").map((text) => text.replace("scaler:\n", timing));
    const scaling = yaml.find((text) => text.startsWith("scaler:")) ?? "";
    const rules = yaml.find((text) => text.startsWith("groups:"));
    const ruleFile = join(folder, "load.rules.yml");
    if (rules !== undefined) await writeFile(ruleFile, rules);

    // the exporter that is scraped reads the hosts all the time; its policies come with a reload
    const exporter = isScraped ? await Serving.start(folder, head("127.0.0.1:0")) : null;
    const jobs = exporter === null ? { app: app.address } : { albatross: new URL(exporter.url).host };
    const prometheus = await Prometheus.start(folder, jobs, {
      interval: "1s",
      ...(rules !== undefined && { rules: ruleFile }),
    });
    const listen = exporter === null ? "127.0.0.1:0" : new URL(exporter.url).host;
    const config = head(listen) + scaling.replace("http://127.0.0.1:9090", prometheus.url);
    await writeFile(join(folder, "config.yaml"), config);

    const [line = ""] = blocks(title, "text");
    const expected = parts(line);
    const asked = await until(
      line,
      async () =>
        parts((await new Command(["check-config", "--online", join(folder, "config.yaml")]).ended).stdout),
      ({ value }) => Math.abs(value - expected.value) < expected.value / 10,
    );
    expect(asked.words).toEqual(expected.words);
    expect(Math.abs(asked.percent - expected.percent)).toBeLessThan(expected.percent / 10);

    const serving = exporter ?? (await Serving.start(folder, config));
    if (exporter !== null) {
      exporter.signal("SIGHUP");
      await exporter.logged("configuration reloaded");
    }
    await decided(serving, { host: "box1", ...decision });
    const told = (await apiDecisions(serving)).find((one) => one.reason === decision["reason"]);
    expect(Math.abs((told?.load ?? 0) - expected.value)).toBeLessThan(expected.value / 10);
  });
});
