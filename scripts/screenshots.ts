/**
 * Makes the pictures of the page in docs/ from a run: an hour of two simulated hosts, one of them reached by TLS, and an
 * exporter that reads both, acts on one and asks what stands here for Prometheus, twenty times as fast as time goes but for
 * its end, which all pictures show. Takes five minutes, and needs Chromium.
 */
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium, type Page } from "playwright-core";
import { Exporter } from "../src/app/exporter.ts";
import type { Clock } from "../src/clock.ts";
import { loadConfig } from "../src/config/load.ts";
import { createLogging } from "../src/log.ts";
import { SimulatedHost, type SimulatedHostOptions } from "../src/simulator/host.ts";
import { loadScenario } from "../src/simulator/scenarioFile.ts";
import { buildInfo } from "../src/version.ts";
import { OPEN } from "../src/web/access.ts";

const SPEED = 20;
const FAST_MS = 62 * 60_000;
/** As fast as time goes: an evaluation and an answer of albatrossd that a busy machine makes no later than they are due. */
const SLOW_MS = 80_000;
const DOCS = fileURLToPath(new URL("../docs", import.meta.url));
const MOST_BYTES = 150_000;

const EXPECTED = "3 things need somebody";

/** Each picture, how it is looked at, and how much of it is shown. */
const PICTURES = [
  { file: "page.webp", path: "/", width: 1280, height: 1121, colorScheme: "light" },
  { file: "page-dark.webp", path: "/", width: 1280, height: 1121, colorScheme: "dark" },
  { file: "page-phone.webp", path: "/", width: 360, height: 1420, colorScheme: "light" },
  {
    file: "page-group.webp",
    path: "/groups/rack1/user:web",
    width: 1280,
    height: 1180,
    colorScheme: "light",
  },
  { file: "page-hosts.webp", path: "/#hosts", width: 1280, height: 414, colorScheme: "light" },
] as const;

const HEAD = `interval: 10s
seed: 12
policies:
  - { path: ":", bridges: [service] }
  - { path: "user:", cpuids: [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11], bridges: [service] }
vms:`;
const RACK1 = `${HEAD}
  - name: user:web
    cpuids: [0]
    share_load_with_clones: true
    load:
      sum:
        - ramp: { from: 30, to: 118, start: 8m, over: 18m }
        - ramp: { from: 0, to: -68, start: 38m, over: 6m }
        - noise: { amplitude: 5, every: 20s }
  - name: user:shop
    cpuids: [3]
    share_load_with_clones: true
    load:
      sum:
        - ramp: { from: 60, to: 190, start: 25m, over: 30m }
        - noise: { amplitude: 6, every: 30s }
  - { name: user:shop-clone-1, cpuids: [4] }
  - name: user:auth
    cpuids: [5]
    load:
      sum:
        - steps: [{ at: 0s, percent: 48 }, { at: 50m, percent: 94 }]
        - noise: { amplitude: 4, every: 20s }
  - name: user:mail
    cpuids: [8]
    load: { noise: { mean: 12, amplitude: 7, every: 40s } }
  - { name: ":hello", cpuids: [9], load: 3 }
`;
const RACK3 = `${HEAD}
  - name: user:db
    cpus: 2
    cpuids: [6, 7]
    load: { sum: [{ sine: { mean: 52, amplitude: 22, period: 25m } }, { noise: { amplitude: 4 } }] }
`;

/** What user:web is asked for per second at this time of the scenario, which loads its members' CPUs half as much. */
function requestsPerSecond(passedMs: number): number {
  const ramp = (startMin: number, overMin: number) =>
    Math.min(1, Math.max(0, (passedMs / 60_000 - startMin) / overMin));
  const ripple = 6 * Math.sin(passedMs / 47_000) + 5 * Math.sin(passedMs / 19_000);
  return 110 + 320 * ramp(8, 18) - 250 * ramp(38, 6) + ripple;
}

/** Answers each query with the load of the moment, as Prometheus does. */
function prometheusOf(clock: Clock): Server {
  const startUs = clock.nowUs();
  return createServer((_request, response) => {
    const load = requestsPerSecond((clock.nowUs() - startUs) / 1000).toFixed(1);
    const result = [{ metric: {}, value: [Date.now() / 1000, load] }];
    response.end(JSON.stringify({ status: "success", data: { resultType: "vector", result } }));
  });
}

function config(folder: string, tlsAddress: string | null, prometheusPort: number): string {
  const issuer = `{ certificate: ${folder}/tls/issuer-user.pem, key: ${folder}/tls/issuer-user.key }`;
  return `targets:
  - { name: rack1, socket_dir: ${folder}/rack1, os: linux, page_size: 4096 }
  - { name: rack2, socket_dir: /run/albatross-rack2, os: linux, page_size: 4096 }
  - name: rack3
    tls: { address: "${tlsAddress}", ca: ${folder}/tls/ca.pem, issuer: ${issuer} }
    enforces_policy: true
    allow_unchecked_path: true
web: { listen_addresses: ["127.0.0.1:0"] }
log: { level: error }
scaler:
  mode: execute
  state_file: ${folder}/scaler-state.json
  decision_log: ${folder}/decisions.ndjson
  prometheus: { url: "http://127.0.0.1:${prometheusPort}", timeout: 30s }
  defaults: { scale_up_cooldown_period: 4m, scale_down_cooldown_period: 5m, clone: { arguments: [] } }
  policies:
    - match: "user:web"
      mode: execute
      load: { query: 'sum(rate(http_requests_total{unikernel="$group"}[2m]))', capacity_per_member: 200 }
    - { match: "user:shop", mode: execute, max_clones: 1 }
    - { match: "user:*" }
`;
}

/** A clock on which an hour passes in three minutes, then time as it goes; it ends at the machine's time. */
function fastClock(): Clock {
  const startMs = performance.now();
  const wallMs = Date.now() + FAST_MS / SPEED - FAST_MS;
  const passedMs = () => {
    const realMs = performance.now() - startMs;
    return Math.min(realMs * SPEED, FAST_MS) + Math.max(0, realMs - FAST_MS / SPEED);
  };
  return {
    nowUs: () => Math.round(passedMs() * 1000),
    wallMs: () => Math.round(wallMs + passedMs()),
    after(delayMs, callback) {
      const fastMs = Math.min(delayMs, Math.max(0, FAST_MS - passedMs()));
      const timer = setTimeout(callback, fastMs / SPEED + (delayMs - fastMs));
      return () => clearTimeout(timer);
    },
  };
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "albatross-screenshots-"));
  const clock = fastClock();
  const rack1 = host(RACK1, { socketDir: join(folder, "rack1"), clock });
  const tls = { address: { host: "127.0.0.1", port: 0 }, folder: join(folder, "tls") };
  const rack3 = host(RACK3, { socketDir: join(folder, "rack3"), clock, tls });
  const prometheus = prometheusOf(clock);
  let exporter: Exporter | null = null;
  try {
    await Promise.all([rack1.start(), rack3.start(), once(prometheus.listen(0, "127.0.0.1"), "listening")]);
    const { port } = prometheus.address() as AddressInfo;
    const settings = loadConfig("screenshots", config(folder, rack3.tlsAddress, port));
    if (!settings.ok) throw new Error(JSON.stringify(settings.problems));
    exporter = new Exporter({
      config: settings.config,
      access: { current: () => OPEN },
      clock,
      logging: createLogging(settings.config.log),
      build: buildInfo(),
      reload: async () => undefined,
    });
    await exporter.start();
    const [url = ""] = exporter.urls;
    await new Promise((resolve) => clock.after(FAST_MS + SLOW_MS, () => resolve(null)));
    await takePictures(url);
  } finally {
    await exporter?.stop();
    await Promise.all([rack1.stop(), rack3.stop()]);
    prometheus.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function host(text: string, options: SimulatedHostOptions): SimulatedHost {
  const scenario = loadScenario("screenshots", text);
  if (!scenario.ok) throw new Error(JSON.stringify(scenario.problems));
  return new SimulatedHost(scenario.scenario, options);
}

async function takePictures(url: string): Promise<void> {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const front = await (await fetch(url)).text();
    if (!front.includes(EXPECTED))
      throw new Error(
        "this machine was too busy, and more has gone wrong than the pictures are to show: try again",
      );
    for (const { file, path, ...look } of PICTURES) {
      const image = await picture(await browser.newPage({ deviceScaleFactor: 1.5 }), url + path, look);
      if (image.length > MOST_BYTES) throw new Error(`${file} has ${image.length} bytes`);
      writeFileSync(join(DOCS, file), image);
      console.log(`docs/${file}: ${image.length} bytes`);
    }
  } finally {
    await browser.close();
  }
}

type Look = { readonly width: number; readonly height: number; readonly colorScheme: "light" | "dark" };

async function picture(page: Page, url: string, { width, height, colorScheme }: Look): Promise<Buffer> {
  await page.emulateMedia({ colorScheme });
  await page.setViewportSize({ width, height });
  await page.goto(url);
  await page.bringToFront();
  const chrome = await page.context().newCDPSession(page);
  const { data } = await chrome.send("Page.captureScreenshot", { format: "webp", quality: 80 });
  await page.close();
  return Buffer.from(data, "base64");
}

await main();
