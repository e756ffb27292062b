/**
 * Each refusal, closing and failure of albatross-tls-endpoint: what comes over the wire, and what log, metrics, API and
 * page say. What is refused of an action is an outcome of it: test/client/tlsActing.test.ts, test/scaler/overTls.test.ts.
 * The simulated endpoint sends whole frames only: an answer that stops in the middle is in test/client/tlsTarget.test.ts.
 */
import dns from "node:dns";
import { readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { TlsConfig } from "../../src/config/target.ts";
import type { Refusal } from "../../src/simulator/certificates.ts";
import type { Fault } from "../../src/simulator/faults.ts";
import { subscriber } from "../simulator/support.ts";
import { issuerOf } from "../simulator/tlsClient.ts";
import { INFO, type Made, make, policyOf, SUBSCRIBE, type Wish } from "../support/certificates.ts";
import { eventually, PATIENCE_MS, settle } from "../support/eventually.ts";
import { both, expectTold, NOW_MS, Scene, type Told, WELL } from "./support/tlsScene.ts";

/** What the simulated endpoint does otherwise than albatross-tls-endpoint would with certificates of ours. */
const endpoint = vi.hoisted(() => ({
  refusal: null as Refusal | null,
  server: null as ((ca: Made) => Promise<readonly [Made, ...Made[]]>) | null,
}));

vi.mock("../../src/simulator/certificates.ts", async (load) => {
  const real = await load<typeof import("../../src/simulator/certificates.ts")>();
  const makeAuthority: typeof real.makeAuthority = async (folder, policies) => {
    const made = await real.makeAuthority(folder, policies);
    const shown = await endpoint.server?.(await issuerOf({ tlsFolder: folder }, "ca"));
    if (shown === undefined) return made;
    const chain = shown.map(({ pem }) => pem).join("");
    return { ...made, server: { ...made.server, chain, key: shown[0].key } };
  };
  const orderOf: typeof real.orderOf = (...given) => endpoint.refusal ?? real.orderOf(...given);
  return { ...real, makeAuthority, orderOf };
});

afterEach(() => {
  [endpoint.refusal, endpoint.server] = [null, null];
  vi.restoreAllMocks();
});

const HOUR_MS = 3_600_000;

interface Row {
  readonly hostClockMs?: number;
  readonly tls?: (scene: Scene) => Promise<Partial<TlsConfig>>;
  readonly told: Told;
}

const REFUSED = "metal:1025 refuses the certificate as not valid now";
const BOTH_VALID = `${REFUSED}: by this machine's clock, 2026-06-01T12:00:00Z, all its certificates are: the clock here or that of the host is wrong`;

describe("after the handshake comes", () => {
  test.each<[string, Row]>([
    [
      "alert 45: a certificate has expired",
      {
        tls: async ({ ca, folder }) =>
          folder.leaves({ issuer: await ca, fromMs: 0, untilMs: NOW_MS - HOUR_MS }),
        told: both(
          `${REFUSED}: subscribe.pem has expired at 2026-06-01T11:00:00Z: put a new one in its place`,
          "certificate",
        ),
      },
    ],
    [
      "alert 45: a certificate is not valid yet",
      {
        tls: async ({ ca, folder }) =>
          folder.leaves({ issuer: await ca, fromMs: NOW_MS + HOUR_MS, untilMs: NOW_MS + 2 * HOUR_MS }),
        told: both(
          `${REFUSED}: subscribe.pem is valid from 2026-06-01T13:00:00Z on, and it is 2026-06-01T12:00:00Z here`,
          "certificate",
        ),
      },
    ],
    [
      "alert 45: the host's clock is a day ahead",
      { hostClockMs: NOW_MS + 24 * HOUR_MS, told: both(BOTH_VALID, "certificate") },
    ],
    [
      "alert 45: the host's clock is two hours behind",
      { hostClockMs: NOW_MS - 2 * HOUR_MS, told: both(BOTH_VALID, "certificate") },
    ],
    [
      "alert 42: another CA's certificate",
      {
        tls: async (scene) => {
          const foreign = await make("another CA", { fromMs: 0 });
          const cas = `${readFileSync(scene.file("ca.pem"), "utf8")}${foreign.pem}`;
          const user = await make("user", { issuer: foreign, command: policyOf(8), fromMs: 0 });
          return { ca: scene.folder.write("both.pem", cas), issuer: scene.folder.holder("foreign", user) };
        },
        told: both(
          "metal:1025 does not accept the certificate (ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE): it trusts another CA than the CA of both.pem",
          "certificate",
        ),
      },
    ],
    [
      "a failure: more runs than the certificate's policy allows",
      {
        tls: async (scene) => {
          const full = await make("small", { issuer: await scene.ca, command: policyOf(0), fromMs: 0 });
          return { issuer: scene.folder.holder("full", full) };
        },
        told: {
          info: 'albatrossd refuses the policy of full.pem for small: with "host [unikernel: small:]: command failed unikernel would exceed running unikernel limit set by policy to 0, running 1": does more run there than it allows?',
          infoErrors: ["certificate"],
          // albatross-stats knows no policies
          subscription: null,
          disconnects: [],
        },
      },
    ],
  ])("%s", async (_, { hostClockMs, tls, told }) => {
    const scene = await Scene.start(hostClockMs);
    scene.reach(await tls?.(scene));
    await expectTold(scene, told);
  });

  const ONLY_ITS_LOG = "only the endpoint's log says why";
  const NOT_ACCEPTED = "metal:1025 does not accept the certificate";

  // certificates that are as they should be get none of these from the simulator
  test.each<[string, number, string, string, string?]>([
    [
      "alert 48, unknown_ca",
      48,
      `${NOT_ACCEPTED} (ERR_SSL_TLSV1_ALERT_UNKNOWN_CA): it trusts another CA than the CA of ca.pem`,
      "certificate",
    ],
    [
      "alert 116, certificate_required",
      116,
      `${NOT_ACCEPTED} (ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED): ${ONLY_ITS_LOG}`,
      "certificate",
    ],
    [
      "alert 43, unsupported_certificate",
      43,
      `${NOT_ACCEPTED} (ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE): ${ONLY_ITS_LOG}`,
      "certificate",
    ],
    [
      "alert 80, internal_error",
      80,
      `metal:1025 ends the connection (ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR): ${ONLY_ITS_LOG}`,
      "lost",
      "refused",
    ],
  ])("%s", async (_, alert, text, infoErrors, disconnects = infoErrors) => {
    const scene = await Scene.start();
    endpoint.refusal = { why: "a test", alert };
    scene.reach();
    await expectTold(scene, both(text, infoErrors, disconnects));
  });

  const closed = (service: string) =>
    `metal:1025 closes the connection without a reason: ${ONLY_ITS_LOG}; likely: ${service} or the endpoint ended in the middle, or this Albatross is older than 2.7`;

  test("a close without a reason", async () => {
    const scene = await Scene.start();
    endpoint.refusal = { why: "a test", alert: null };
    scene.reach();
    await expectTold(scene, {
      info: closed("albatrossd"),
      infoErrors: ["no_reply"],
      subscription: closed("albatross-stats"),
      disconnects: ["refused"],
    });
  });

  test("a failure: a daemon is down", async () => {
    const scene = await Scene.start();
    rmSync(scene.running.vmmdPath);
    rmSync(scene.running.statPath);
    scene.reach();
    await expectTold(scene, {
      info: "metal:1025 answers, but cannot reach albatrossd: is that running on the host?",
      infoErrors: ["unreachable"],
      subscription: "metal:1025 answers, but cannot reach albatross-stats: is that running on the host?",
      disconnects: ["refused"],
    });
  });

  test("a failure: albatrossd ends in the middle", async () => {
    const scene = await Scene.start();
    await scene.running.host.misbehave({ type: "vmmd_close", command: "info" });
    scene.reach();
    await expectTold(scene, {
      ...WELL,
      info: "albatrossd closes the connection without a reply: did it end in the middle?",
      infoErrors: ["no_reply"],
    });
  });

  test("a failure of another kind", async () => {
    const scene = await Scene.start();
    await scene.running.host.misbehave({ type: "vmmd_fail", text: "no way", command: "info" });
    scene.reach();
    await expectTold(scene, {
      ...WELL,
      info: "albatrossd says: no way",
      infoErrors: ["failure"],
    });
  });

  test("nothing", async () => {
    const scene = await Scene.start();
    await scene.running.host.misbehave({ type: "no_reply" });
    await scene.running.host.misbehave({ type: "vmmd_no_reply", command: "info" });
    scene.reach();
    const text = (what: string) => `${what} within 10 s`;
    const wanted = {
      ...both("", "timeout"),
      info: text("albatrossd does not answer"),
      subscription: text("the subscription was not acknowledged"),
    };
    await expectTold(scene, wanted, true);
  });
});

describe("before a handshake is done comes", () => {
  test.each<[string, Fault["type"] & `tls_${string}`, string]>([
    [
      "nobody: the endpoint does not run",
      "tls_gone",
      "nobody listens on metal:1025: is albatross-tls-endpoint running?",
    ],
    [
      "a close",
      "tls_close",
      "metal:1025 breaks the connection off (ECONNRESET): was the endpoint restarted, or does a firewall or something else answer there?",
    ],
    [
      "nothing",
      "tls_no_reply",
      "metal:1025 takes the connection, but does not answer the TLS handshake within 5 s",
    ],
  ])("%s", async (_, type, text) => {
    const scene = await Scene.start();
    await scene.running.host.misbehave({ type } as Fault);
    scene.reach();
    await expectTold(scene, both(text, "unreachable", null), type === "tls_no_reply");
  });

  test.each<[string, string | null, string]>([
    [
      "no connection",
      null,
      "metal:1025 does not take the connection within 5 s: is the host up, does a firewall drop it?",
    ],
    [
      "no way",
      "EHOSTUNREACH",
      "there is no way to metal:1025 (EHOSTUNREACH): is the host up, is its address right?",
    ],
    ["no address", "ENOTFOUND", "the name of metal:1025 is not known (ENOTFOUND)"],
  ])("%s", async (_, code, text) => {
    const scene = await Scene.start();
    // a name that is looked up in vain takes as long as a host that drops everything
    vi.spyOn(dns, "lookup").mockImplementation(((...given: unknown[]) => {
      const done = given.at(-1) as (error: Error) => void;
      if (code !== null) process.nextTick(done, Object.assign(new Error(code), { code }));
    }) as typeof dns.lookup);
    scene.reach({ address: { text: "metal:1025", host: "metal.example", port: 1025 } });
    await expectTold(scene, both(text, "unreachable", null), code === null);
  });

  const NO_TLS = "metal:1025 does not speak TLS 1.3";

  test.each<[string, (made: Made) => Server, string]>([
    [
      "an older TLS",
      ({ pem, key }) => createTlsServer({ cert: pem, key, maxVersion: "TLSv1.2" }),
      `${NO_TLS} (ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION): is it albatross-tls-endpoint?`,
    ],
    [
      "no TLS",
      () =>
        createTcpServer((socket) =>
          socket.on("error", () => undefined).end("HTTP/1.1 400 Bad Request\r\n\r\n"),
        ),
      `${NO_TLS} (ERR_SSL_WRONG_VERSION_NUMBER): is it albatross-tls-endpoint?`,
    ],
  ])("%s", async (_, serverOf, text) => {
    const scene = await Scene.start();
    const server = serverOf(await make("server", { issuer: await scene.ca }));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    scene.reach({ address: { text: "metal:1025", host: "127.0.0.1", port } });
    await expectTold(scene, both(text, "unreachable", null));
  });

  const BY_OUR_CLOCK = "by this machine's clock, 2026-06-01T12:00:00Z";
  const POSING =
    "metal:1025 shows a certificate that the CA has not issued for a server: another holder of a certificate may pose as the host; nothing was sent";

  // their times are checked by this machine's real clock
  test.each<[string, (ca: Made) => Promise<readonly [Made, ...Made[]]>, string]>([
    [
      "a server's certificate that has expired",
      async (issuer) => [await make("server", { issuer, isCa: false, untilMs: Date.now() - 1_000 })],
      `the certificate of metal:1025, or its CA's, has expired ${BY_OUR_CLOCK}`,
    ],
    [
      "a server's certificate that is not valid yet",
      async (issuer) => [await make("server", { issuer, isCa: false, fromMs: Date.now() + HOUR_MS })],
      `the certificate of metal:1025, or its CA's, is not valid yet ${BY_OUR_CLOCK}`,
    ],
    [
      "another CA's certificate of a server",
      async () => [await make("server", { issuer: await make("another CA"), isCa: false })],
      "the certificate of metal:1025 is not issued by the CA of ca.pem (UNABLE_TO_VERIFY_LEAF_SIGNATURE)",
    ],
    [
      "a client's certificate as the server's",
      async (issuer) => [await make("server", { issuer, isCa: false, purposes: ["1.3.6.1.5.5.7.3.2"] })],
      "the certificate of metal:1025, or its CA's, says that it is for something else than this (INVALID_PURPOSE)",
    ],
    [
      "a server's certificate that a tenant has issued",
      async (issuer) => {
        const tenant = await make("tenant", { issuer, command: policyOf(1) });
        return [await make("server", { issuer: tenant, isCa: false }), tenant];
      },
      POSING,
    ],
    [
      "a tenant's own as the server's certificate",
      async (issuer) => [await make("web", { issuer, command: INFO, isCa: false })],
      POSING,
    ],
  ])("%s", async (_, server, text) => {
    endpoint.server = server;
    const scene = await Scene.start();
    scene.reach();
    await expectTold(scene, both(text, "certificate", null));
    expect(scene.running.requests).toEqual([]);
  });

  test("a server's certificate of another name, which Albatross does not look at", async () => {
    endpoint.server = async (issuer) => [await make("elsewhere.example", { issuer, isCa: false })];
    const scene = await Scene.start();
    scene.reach();
    await eventually("a subscription", () => scene.target.snapshot().up);
    await eventually("info", () => scene.target.snapshot().infoReadable === true);
    await expectTold(scene, WELL);
  });
});

describe("a subscription that is acknowledged is ended", () => {
  const CLOSED =
    "albatross-stats closed the subscription: another client took it, or albatross-stats was restarted";

  test.each<[string, (scene: Scene) => Promise<unknown>, string, string]>([
    [
      "by a failure: another client takes it",
      ({ running }) => subscriber(running.statPath, "user:"),
      CLOSED,
      "closed",
    ],
    [
      "by a failure: albatross-stats is restarted",
      ({ running }) => running.host.misbehave({ type: "stat_gone" }),
      CLOSED,
      "closed",
    ],
    [
      "without a word: the endpoint is restarted",
      ({ running }) => running.host.misbehave({ type: "tls_gone" }),
      "metal:1025 closes the connection without a reason: only the endpoint's log says why; likely: albatross-stats or the endpoint ended in the middle, or this Albatross is older than 2.7",
      "lost",
    ],
    [
      "by its silence",
      async () => undefined,
      "no statistics for 30 s, the daemon seems to have forgotten",
      "watchdog",
    ],
  ])("%s", async (_, happens, text, reason) => {
    const scene = await Scene.start();
    scene.reach();
    await eventually("a subscription", () => scene.target.snapshot().up);
    await eventually("info", () => scene.target.snapshot().infoReadable === true);
    await happens(scene);
    const wanted = { ...WELL, subscription: text, disconnects: [reason] };
    await expectTold(scene, wanted, reason === "watchdog");
  });
});

test("a subscription that is lost again and again is not displaced: nobody else wants it", async () => {
  const scene = await Scene.start();
  scene.reach();
  const until = (isUp: boolean) =>
    vi.waitFor(async () => {
      scene.clock.advance(isUp ? 1_000 : 0);
      await settle();
      expect(scene.target.snapshot().up).toBe(isUp);
    }, PATIENCE_MS);
  for (let times = 0; times < 3; times++) {
    await until(true);
    const end = await scene.running.host.misbehave({ type: "tls_gone" });
    await until(false);
    await end();
  }
  const [subscription] = scene.target.snapshot().subscriptions;
  expect(subscription).toMatchObject({ state: "backoff", disconnects: { lost: 3, closed: 0 } });
});

test("what would crash albatross-stats, unless nobody can tell, is not asked", async () => {
  const scene = await Scene.start();
  scene.reach({}, false);
  await expectTold(scene, {
    ...WELL,
    subscription:
      "with these certificates it cannot be asked whether a unikernel :user runs, with which a subscription at user: would crash albatross-stats; set allow_unchecked_path: true if there never is such a unikernel",
  });
});

describe("what the endpoint would refuse by alert 42 or a close is read in the file, and nothing is sent:", () => {
  const hex = (text: string): Wish => ({ command: undefined, extension: Buffer.from(text, "hex") });

  test.each<[string, Wish, string, string?]>([
    [
      "tls-critical",
      { isCritical: true },
      "the certificate's Albatross extension is critical, which the endpoint refuses; allowed: one that is not",
    ],
    [
      "tls-version6",
      hex("3009020106a304b3020500"),
      "the certificate's Albatross extension cannot be read: version: expected 5, found 6 (at byte 2)",
    ],
    [
      "tls-version4",
      hex("3009020104a304b3020500"),
      "the certificate's Albatross extension cannot be read: version: expected 5, found 4 (at byte 2)",
    ],
    [
      "tls-unknown-tag",
      hex("3009020105a304b6020500"),
      "the certificate's Albatross extension cannot be read: unikernel command: there is no unikernel command [22] (at byte 7)",
    ],
    ["tls-noext", { command: undefined }, "the certificate has no Albatross extension: it allows nothing"],
    [
      "tls-forbidden",
      { command: { class: "policy", command: "remove" } },
      "is a certificate for policy remove; allowed: one for stats subscribe",
    ],
    [
      "tls-forbidden2",
      { command: { class: "stats", command: "initial" } },
      "is a certificate for stats initial; allowed: one for stats subscribe",
    ],
    ["tls-badname", {}, 'the common name "we_b" is no label', "we_b"],
    ["tls-pathcn", {}, 'the common name "user:web" is no label', "user:web"],
    [
      "tls-inter-cmd",
      {},
      "an issuer's Albatross extension is unikernel info, which the endpoint refuses; allowed: a policy",
    ],
  ])("%s", async (exchange, wish, text, commonName = ".") => {
    const scene = await Scene.start();
    const ca = await scene.ca;
    const above =
      exchange === "tls-inter-cmd" ? [await make("user", { issuer: ca, command: INFO, fromMs: 0 })] : [];
    const usual = { issuer: above[0] ?? ca, fromMs: 0, isCa: false };
    const tls = await scene.folder.leaves(usual, ...above);
    scene.folder.holder(
      "subscribe",
      await make(commonName, { ...usual, command: SUBSCRIBE, ...wish }),
      ...above,
    );
    scene.reach(tls);
    await expectTold(scene, {
      ...WELL,
      info: `subscribe.pem: ${text}`,
      infoErrors: ["certificate"],
    });
    expect(scene.running.host.connectionCount).toBe(0);
  });
});
