import { join } from "node:path";
import { expect, onTestFinished, vi } from "vitest";
import { Target } from "../../../src/client/target.ts";
import type { TlsConfig } from "../../../src/config/target.ts";
import { targetsJson } from "../../../src/web/api.ts";
import { groupsQuery } from "../../../src/web/groups.ts";
import { landingPage } from "../../../src/web/page.ts";
import { parseName } from "../../../src/wire/names.ts";
import { config, exposition, seriesOf } from "../../exporter/records.ts";
import { type Running, startHost, vm } from "../../simulator/support.ts";
import { issuerOf } from "../../simulator/tlsClient.ts";
import { type Made, PemFolder, policyOf } from "../../support/certificates.ts";
import { PATIENCE_MS, settle } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fakeClock.ts";
import { readable, webDeps } from "../../support/web.ts";
import { RecordingLog, RecordingSink, tlsTargetConfig } from "./host.ts";

export const NOW_MS = Date.parse("2026-06-01T12:00:00Z");
const POLICY = { name: parseName("user:"), policy: policyOf(8).policy };

/** A simulated host, and a target that reaches it by its TLS endpoint. */
export class Scene {
  readonly clock = new FakeClock(NOW_MS);
  readonly log = new RecordingLog();
  readonly sink = new RecordingSink();
  readonly folder = new PemFolder();
  readonly running: Running;
  target!: Target;

  private constructor(running: Running) {
    this.running = running;
  }

  static async start(hostClockMs = NOW_MS): Promise<Scene> {
    const scenario = { policies: [POLICY], vms: [vm("user:web"), vm("small:a")] };
    const scene = new Scene(await startHost(scenario, new FakeClock(hostClockMs), true));
    onTestFinished(async () => {
      await scene.target?.stop();
      scene.folder.remove();
    });
    return scene;
  }

  get folders(): readonly string[] {
    return [this.folder.path, this.running.tlsFolder];
  }

  get ca(): Promise<Made> {
    return issuerOf(this.running, "ca");
  }

  file(name: string): string {
    return join(this.running.tlsFolder, name);
  }

  reach(tls: Partial<TlsConfig> = {}, allowUncheckedPath = true): void {
    const [, port = ""] = (this.running.host.tlsAddress ?? "").split(":");
    const user = { certificate: this.file("issuer-user.pem"), key: this.file("issuer-user.key") };
    const address = { text: "metal:1025", host: "127.0.0.1", port: Number(port) };
    const issued = { address, ca: this.file("ca.pem"), issuer: user, certificates: null };
    const config = tlsTargetConfig({ ...issued, ...tls }, { allowUncheckedPath, allowRoot: true });
    this.target = new Target(config, this.sink, this.clock, this.log, { random: () => 0 });
    this.target.start();
  }
}

interface Seen {
  readonly target: Target;
  readonly log: RecordingLog;
  readonly clock: FakeClock;
  /** where its files are */
  readonly folders: readonly string[];
}

export interface Told {
  readonly info: string | null;
  /** reasons in albatross_info_errors_total */
  readonly infoErrors: readonly string[];
  readonly subscription: string | null;
  /** in albatross_stats_disconnects_total */
  readonly disconnects: readonly string[];
}

/** What API and metrics say, and with the same words log and page; files without their folders. */
async function told({ target, log, folders }: Seen): Promise<Told> {
  const snapshot = target.snapshot();
  const [api] = targetsJson([snapshot]) as [
    { info_error: string | null; subscriptions: { last_error: string | null }[] },
  ];
  const info = api.info_error;
  const subscription = api.subscriptions[0]?.last_error ?? null;
  const { text } = landingPage(webDeps({ targets: () => [snapshot] }).deps, groupsQuery({}));
  const page = readable(text);
  if (info !== null) {
    expect(log.fields).toContainEqual(expect.objectContaining({ reason: info }));
    expect(page).toContain(`cannot be read ${info}`);
  }
  if (subscription !== null) {
    expect(log.lines).toContain(`warn: ${subscription}`);
    expect(page).toContain(subscription);
  }
  expect(page).toContain(snapshot.up ? "metal up" : `Host metal is down ${subscription ?? info ?? ""}`);
  const metrics = await exposition({ targets: [snapshot] }, config([target.config]));
  const reasons = (metric: string) =>
    seriesOf(metrics, `${metric}{`).flatMap((line) => /reason="(\w+)"} [1-9]/.exec(line)?.[1] ?? []);
  const bare = (text: string | null) =>
    folders
      .reduce((rest, folder) => rest?.replaceAll(`${folder}/`, "") ?? null, text)
      // newer OpenSSL has another name for the same alerts
      ?.replaceAll("SSL/TLS_ALERT", "SSLV3_ALERT") ?? null;
  return {
    info: bare(info),
    infoErrors: reasons("albatross_info_errors_total"),
    subscription: bare(subscription),
    disconnects: reasons("albatross_stats_disconnects_total"),
  };
}

/** Waits until it is told so; seconds pass meanwhile, if `hasTime`. */
export async function expectTold(seen: Seen, wanted: Told, hasTime = false): Promise<void> {
  const check = async () => {
    if (hasTime) seen.clock.advance(1_000);
    await settle();
    expect(await told(seen)).toEqual(wanted);
  };
  await vi.waitFor(check, { timeout: PATIENCE_MS, interval: 10 });
}

export const both = (text: string, infoErrors: string, disconnects: string | null = infoErrors): Told => ({
  info: text,
  infoErrors: [infoErrors],
  subscription: text,
  disconnects: disconnects === null ? [] : [disconnects],
});

export const WELL: Told = { info: null, infoErrors: [], subscription: null, disconnects: [] };
