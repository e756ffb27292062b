/**
 * Makes the pictures of the page in docs/ from a run: an hour of two simulated hosts and an exporter that reads one of them
 * and acts on it, forty times as fast as time goes but for its end, which all pictures show. Takes three minutes, and
 * needs Chromium.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium, type Page } from "playwright-core";
import { Exporter } from "../src/app/exporter.ts";
import type { Clock } from "../src/clock.ts";
import { loadConfig } from "../src/config/load.ts";
import { createLogging } from "../src/log.ts";
import { SimulatedHost } from "../src/simulator/host.ts";
import { loadScenario } from "../src/simulator/scenarioFile.ts";
import { buildInfo } from "../src/version.ts";
import { OPEN } from "../src/web/access.ts";

const SPEED = 40;
const FAST_MS = 62 * 60_000;
/** As fast as time goes: an evaluation and an answer of albatrossd that a busy machine makes no later than they are due. */
const SLOW_MS = 80_000;
const DOCS = fileURLToPath(new URL("../docs", import.meta.url));
const MOST_BYTES = 150_000;

/** Each picture, how it is looked at, and how much of it is shown. */
const PICTURES = [
  { file: "page.webp", path: "/", width: 1280, height: 1096, colorScheme: "light" },
  { file: "page-dark.webp", path: "/", width: 1280, height: 1096, colorScheme: "dark" },
  { file: "page-phone.webp", path: "/", width: 360, height: 1420, colorScheme: "light" },
  {
    file: "page-group.webp",
    path: "/groups/rack1/user:web",
    width: 1280,
    height: 1180,
    colorScheme: "light",
  },
] as const;

const SCENARIO = `interval: 10s
seed: 12
policies:
  - { path: ":", bridges: [service] }
  - { path: "user:", cpuids: [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11], bridges: [service] }
vms:
  - name: user:web
    cpuids: [0]
    share_load_with_clones: true
    load:
      sum:
        - ramp: { from: 55, to: 215, start: 8m, over: 18m }
        - ramp: { from: 0, to: -125, start: 38m, over: 6m }
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
  - name: user:db
    cpus: 2
    cpuids: [6, 7]
    load: { sum: [{ sine: { mean: 52, amplitude: 22, period: 25m } }, { noise: { amplitude: 4 } }] }
  - name: user:mail
    cpuids: [8]
    load: { noise: { mean: 12, amplitude: 7, every: 40s } }
  - { name: ":hello", cpuids: [9], load: 3 }
`;

function config(folder: string): string {
  return `targets:
  - { name: rack1, socket_dir: ${folder}/rack1, os: linux, page_size: 4096 }
  - { name: rack2, socket_dir: /run/albatross-rack2, os: linux, page_size: 4096 }
web: { listen_addresses: ["127.0.0.1:0"] }
log: { level: error }
scaler:
  mode: execute
  state_file: ${folder}/scaler-state.json
  decision_log: ${folder}/decisions.ndjson
  defaults: { scale_up_cooldown_period: 4m, scale_down_cooldown_period: 5m, clone: { arguments: [] } }
  policies:
    - { match: "user:web", mode: execute }
    - { match: "user:shop", mode: execute, max_clones: 1 }
    - { match: "user:*" }
`;
}

/** A clock on which an hour passes in one and a half minutes, then time as it goes; it ends at the machine's time. */
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
  const scenario = loadScenario("screenshots", SCENARIO);
  const settings = loadConfig("screenshots", config(folder));
  for (const given of [scenario, settings]) if (!given.ok) throw new Error(JSON.stringify(given.problems));
  if (!scenario.ok || !settings.ok) return;
  const host = new SimulatedHost(scenario.scenario, { socketDir: join(folder, "rack1"), clock });
  const logging = createLogging(settings.config.log);
  const access = { current: () => OPEN };
  const exporter = new Exporter({
    ...{ config: settings.config, access, clock, logging, build: buildInfo() },
    reload: async () => undefined,
  });
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    await host.start();
    await exporter.start();
    const [url = ""] = exporter.urls;
    await new Promise((resolve) => clock.after(FAST_MS + SLOW_MS, () => resolve(null)));
    for (const { file, path, ...look } of PICTURES) {
      const image = await picture(await browser.newPage({ deviceScaleFactor: 1.5 }), url + path, look);
      if (image.length > MOST_BYTES) throw new Error(`${file} has ${image.length} bytes`);
      writeFileSync(join(DOCS, file), image);
      console.log(`docs/${file}: ${image.length} bytes`);
    }
  } finally {
    await browser.close();
    await exporter.stop();
    await host.stop();
    rmSync(folder, { recursive: true, force: true });
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
