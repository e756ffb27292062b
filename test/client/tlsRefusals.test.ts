import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Target } from "../../src/client/target.ts";
import type { TargetConfig, TlsConfig } from "../../src/config/target.ts";
import { targetsJson } from "../../src/web/api.ts";
import { groupsQuery } from "../../src/web/groups.ts";
import { landingPage } from "../../src/web/page.ts";
import { parseName } from "../../src/wire/names.ts";
import { config, exposition, seriesOf } from "../exporter/records.ts";
import { type Running, startHost, subscriber, vm } from "../simulator/support.ts";
import { issuerOf } from "../simulator/tlsClient.ts";
import { eventually } from "../support/eventually.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { readable, webDeps } from "../support/web.ts";
import { INFO, type Made, make, PemFolder, POLICY_INFO, policyOf, SUBSCRIBE } from "./support/ca.ts";
import { RecordingLog, RecordingSink } from "./support/host.ts";

const HOUR_MS = 3_600_000;
const NOW_MS = Date.parse("2026-06-01T12:00:00Z");
const POLICY = { name: parseName("user:"), policy: policyOf(8).policy };

/** A simulated host, and a target that reaches it by its TLS endpoint. */
class Scene {
  readonly clock = new FakeClock(NOW_MS);
  readonly log = new RecordingLog();
  readonly sink = new RecordingSink();
  readonly folder = new PemFolder();
  readonly running: Running;
  target: Target | null = null;

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

  get ca(): Promise<Made> {
    return issuerOf(this.running, "ca");
  }

  file(name: string): string {
    return join(this.running.tlsFolder, name);
  }

  /** A PEM file of those given. */
  holder(name: string, made: Made, ...above: Made[]) {
    return this.folder.holder(name, made, ...above);
  }

  async reach(tls: Partial<TlsConfig> = {}): Promise<Target> {
    const [, port = ""] = (this.running.host.tlsAddress ?? "").split(":");
    const user = { certificate: this.file("issuer-user.pem"), key: this.file("issuer-user.key") };
    const address = { text: "metal:1025", host: "127.0.0.1", port: Number(port) };
    const config: TargetConfig = {
      name: "metal",
      subscribe: [],
      statsIntervalMs: "auto",
      os: "linux",
      pageSizeBytes: 4096,
      allowUncheckedPath: true,
      enforcesPolicy: true,
      allowRoot: true,
      displacedRetryMs: 300_000,
      maxFrameBytes: { stat: 1024 * 1024, vmmd: 64 * 1024 * 1024 },
      socketDir: null,
      tls: { address, ca: this.file("ca.pem"), issuer: user, certificates: null, ...tls },
    };
    this.target = new Target(config, this.sink, this.clock, this.log, { random: () => 0 });
    this.target.start();
    const { target } = this;
    await eventually("an answer, or why there is none", () => target.snapshot().infoReadable !== null);
    return target;
  }

  /** Certificates made beforehand, for the CA's own path. */
  async leaves(times: { readonly fromMs?: number; readonly untilMs?: number }) {
    const made = async (name: string, command: typeof INFO) =>
      this.holder(name, await make(".", { issuer: await this.ca, command, isCa: false, ...times }));
    const entry = {
      subscribe: await made("subscribe", SUBSCRIBE),
      info: await made("info", INFO),
      policy: await made("policy", POLICY_INFO),
    };
    return { issuer: null, certificates: [entry] };
  }
}

/** What log, metrics, page and API say; files without their folders. */
async function told(scene: Scene, target: Target) {
  const subscriptionError = () => target.snapshot().subscriptions[0]?.lastError ?? null;
  await eventually("what the subscription says", () => subscriptionError() !== null);
  const [api] = targetsJson([target.snapshot()]) as [
    { info_error: string | null; subscriptions: { last_error: string }[] },
  ];
  const bare = (text: string) =>
    text.replaceAll(`${scene.folder.path}/`, "").replaceAll(`${scene.running.tlsFolder}/`, "");
  const logged = scene.log.fields.flatMap((fields) => ("reason" in fields ? [String(fields.reason)] : []));
  expect(logged[0] ?? null).toBe(api.info_error);
  expect(scene.log.lines).toContain(`warn: ${subscriptionError()}`);
  const page = readable(
    landingPage(webDeps({ targets: () => [target.snapshot()] }).deps, groupsQuery({})).text,
  );
  expect(page).toContain(api.info_error === null ? " read valid for" : `cannot be read ${api.info_error}`);
  // twice: what is wrong now, as it is, and in the table of hosts
  expect(page.split(String(subscriptionError())).length).toBeGreaterThan(target.snapshot().up ? 1 : 2);
  const metrics = await exposition({ targets: [target.snapshot()] }, config([target.config]));
  const reasons = (metric: string) =>
    seriesOf(metrics, `${metric}{`).flatMap((line) => /reason="(\w+)"} [1-9]/.exec(line)?.[1] ?? []);
  return {
    info: bare(api.info_error ?? ""),
    infoErrors: reasons("albatross_info_errors_total"),
    subscription: bare(api.subscriptions[0]?.last_error ?? ""),
    disconnects: reasons("albatross_stats_disconnects_total"),
  };
}

interface Row {
  readonly hostClockMs?: number;
  readonly tls: (scene: Scene) => Promise<Partial<TlsConfig>>;
  /** of both */
  readonly text: string;
}

const REFUSED = "metal:1025 refuses the certificate as not valid now";
const BOTH_VALID = `${REFUSED}: by this machine's clock, 2026-06-01T12:00:00Z, all its certificates are: the clock here or that of the host is wrong`;

describe("what the endpoint says is told in plain words:", () => {
  test.each<[string, Row]>([
    [
      "alert 45, a certificate that has expired",
      {
        tls: (scene) => scene.leaves({ fromMs: 0, untilMs: NOW_MS - HOUR_MS }),
        text: `${REFUSED}: subscribe.pem has expired at 2026-06-01T11:00:00Z: put a new one in its place`,
      },
    ],
    [
      "alert 45, a certificate that is not valid yet",
      {
        tls: (scene) => scene.leaves({ fromMs: NOW_MS + HOUR_MS, untilMs: NOW_MS + 2 * HOUR_MS }),
        text: `${REFUSED}: subscribe.pem is valid from 2026-06-01T13:00:00Z on, and it is 2026-06-01T12:00:00Z here`,
      },
    ],
    [
      "alert 45, since the host's clock is a day ahead",
      { hostClockMs: NOW_MS + 24 * HOUR_MS, tls: async () => ({}), text: BOTH_VALID },
    ],
    [
      "alert 45, since the host's clock is two hours behind",
      { hostClockMs: NOW_MS - 2 * HOUR_MS, tls: async () => ({}), text: BOTH_VALID },
    ],
    [
      "alert 42, another CA's certificate",
      {
        tls: async (scene) => {
          const foreign = await make("another CA", { fromMs: 0 });
          const both = `${readFileSync(scene.file("ca.pem"), "utf8")}${foreign.pem}`;
          const user = await make("user", { issuer: foreign, command: policyOf(8), fromMs: 0 });
          return { ca: scene.folder.write("both.pem", both), issuer: scene.holder("foreign", user) };
        },
        text: "metal:1025 does not accept the certificate (ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE): it trusts another CA than the CA of both.pem",
      },
    ],
  ])("%s", async (_, { hostClockMs, tls, text }) => {
    const scene = await Scene.start(hostClockMs);
    const target = await scene.reach(await tls(scene));
    // newer OpenSSL has another name for the same alerts
    const json = JSON.stringify(await told(scene, target)).replaceAll("SSL/TLS_ALERT", "SSLV3_ALERT");
    const said = JSON.parse(json);
    expect(said).toEqual({
      info: text,
      infoErrors: ["certificate"],
      subscription: text,
      disconnects: ["certificate"],
    });
  });

  test("a failure of the daemon, since more runs than the certificate's policy allows", async () => {
    const scene = await Scene.start();
    const full = await make("small", { issuer: await scene.ca, command: policyOf(0), fromMs: 0 });
    const target = await scene.reach({ issuer: scene.holder("full", full) });
    expect(target.snapshot().infoError?.replaceAll(`${scene.folder.path}/`, "")).toBe(
      'albatrossd refuses the policy of full.pem for small: with "host [unikernel: small:]: command failed unikernel would exceed running unikernel limit set by policy to 0, running 1": does more run there than it allows?',
    );
    expect(target.snapshot().infoErrors).toMatchObject({ failure: 2 });
  });

  test("a daemon that is down", async () => {
    const scene = await Scene.start();
    rmSync(scene.running.vmmdPath);
    rmSync(scene.running.statPath);
    const target = await scene.reach();
    expect(await told(scene, target)).toEqual({
      info: "metal:1025 answers, but cannot reach albatrossd: is that running on the host?",
      infoErrors: ["unreachable"],
      subscription: "metal:1025 answers, but cannot reach albatross-stats: is that running on the host?",
      disconnects: ["refused"],
    });
  });

  test.each<["tls_gone" | "tls_close", string]>([
    ["tls_gone", "nobody listens on metal:1025: is albatross-tls-endpoint running?"],
    [
      "tls_close",
      "metal:1025 breaks the connection off (ECONNRESET): does a firewall answer there, or something else than albatross-tls-endpoint?",
    ],
  ])("no handshake: %s", async (type, text) => {
    const scene = await Scene.start();
    await scene.running.host.misbehave({ type });
    const target = await scene.reach();
    const said = await told(scene, target);
    expect(said).toEqual({ info: text, infoErrors: ["unreachable"], subscription: text, disconnects: [] });
  });

  test("a subscription that another client takes", async () => {
    const scene = await Scene.start();
    const target = await scene.reach();
    await eventually("a subscription", () => target.snapshot().up);
    await subscriber(scene.running.statPath, "user:");
    expect(await told(scene, target)).toMatchObject({
      subscription:
        "albatross-stats closed the subscription: another client took it, or albatross-stats was restarted",
      disconnects: ["closed"],
    });
  });
});
