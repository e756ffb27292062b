/** The shipped configuration files, changed no more than it takes to run them here and faster. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseDocument, stringify } from "yaml";
import { configFile } from "../../src/config/sections.ts";
import { thisMachine } from "../../src/config/target.ts";
import { formatDuration } from "../../src/config/units.ts";
import { divideDuration, mapScalars, speedUpRules } from "../fastRules.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Where the example sends its notifications. */
const EXAMPLE_RECEIVER = "http://localhost:5001";

/** Where everything is; addresses are `host:port`. */
export interface Places {
  readonly folder: string;
  /** name of a host to the directory of its sockets */
  readonly hosts: Readonly<Record<string, string>>;
  readonly exporter: string;
  readonly alertmanager: string;
  readonly receiverUrl: string;
}

/** What is wanted beside the defaults. */
export interface Wishes {
  readonly speed: number;
  /** more settings of a host as a target, by its name */
  readonly targets?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** over the defaults of the section `scaler` */
  readonly scaler?: Readonly<Record<string, unknown>>;
}

/** Paths of what was written. */
export interface ConfigFiles {
  readonly exporter: string;
  readonly prometheus: string;
  readonly alertmanager: string;
}

/** Writes the configuration of all three programs to `places.folder`, with time `speed` times as fast. */
export async function writeConfigs(places: Places, wishes: Wishes): Promise<ConfigFiles> {
  const { speed } = wishes;
  const rulesFolder = join(places.folder, "rules");
  await mkdir(rulesFolder);
  for (const name of await readdir(join(ROOT, "alerts"))) {
    if (name.endsWith(".rules.yml")) {
      await writeFile(join(rulesFolder, name), speedUpRules(await shipped(`alerts/${name}`), speed));
    }
  }
  const texts = {
    exporter: exporterConfig(places, wishes),
    prometheus: prometheusConfig(await shipped("deploy/prometheus.yml"), places, speed),
    alertmanager: alertmanagerConfig(await shipped("alerts/alertmanager.yml"), places, speed),
  };
  const file = (name: string) => join(places.folder, `${name}.yml`);
  for (const [name, text] of Object.entries(texts)) await writeFile(file(name), text);
  return {
    exporter: file("exporter"),
    prometheus: file("prometheus"),
    alertmanager: file("alertmanager"),
  };
}

function shipped(file: string): Promise<string> {
  return readFile(join(ROOT, file), "utf8");
}

/** The defaults with every duration of the scaler divided, and `scaler` over them. */
function exporterConfig(
  { folder, hosts, exporter }: Places,
  { speed, targets = {}, scaler: { defaults = {}, ...scaler } = {} }: Wishes,
): string {
  const { pollIntervalMs, defaults: slow } = configFile(thisMachine).schema.parse({}).scaler;
  const faster = (ms: number) => formatDuration(Math.max(1, Math.round(ms / speed)));
  return stringify({
    targets: Object.entries(hosts).map(([name, socketDir]) => ({
      name,
      socket_dir: socketDir,
      os: "linux",
      page_size: 4096,
      ...targets[name],
    })),
    web: { listen_addresses: [exporter] },
    log: { level: "warn" },
    scaler: {
      poll_interval: faster(pollIntervalMs),
      state_file: join(folder, "scaler-state.json"),
      decision_log: join(folder, "decisions.ndjson"),
      ...scaler,
      defaults: {
        cooldown_period: faster(slow.cooldownPeriodMs),
        death_timeout: faster(slow.deathTimeoutMs),
        warmup_period: faster(slow.warmupPeriodMs),
        ...(defaults as object),
      },
    },
  });
}

function prometheusConfig(text: string, { folder, exporter, alertmanager }: Places, speed: number): string {
  const faster = mapScalars(text, (key, value) =>
    /^(scrape|evaluation)_(interval|timeout)$/.test(key) ? divideDuration(value, speed) : value,
  );
  const document = parseDocument(faster);
  document.setIn(["rule_files"], [join(folder, "rules", "*.rules.yml")]);
  document.setIn(["scrape_configs", 0, "static_configs"], [{ targets: [exporter] }]);
  document.setIn(["alerting", "alertmanagers"], [{ static_configs: [{ targets: [alertmanager] }] }]);
  return document.toString();
}

function alertmanagerConfig(text: string, { receiverUrl }: Places, speed: number): string {
  return mapScalars(text, (key, value) => {
    if (key === "url") return value.replace(EXAMPLE_RECEIVER, receiverUrl);
    return /^(group_wait|group_interval|repeat_interval|resolve_timeout)$/.test(key)
      ? divideDuration(value, speed)
      : value;
  });
}
