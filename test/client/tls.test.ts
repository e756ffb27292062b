import { createServer, type Server } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { infoRequest, policyRequest, subscribeRequest } from "../../src/client/connection.ts";
import type { Line, Put } from "../../src/client/endpoint.ts";
import { TlsEndpoint } from "../../src/client/tls.ts";
import { VmmdClient } from "../../src/client/vmmd.ts";
import type { TlsConfig } from "../../src/config/target.ts";
import { formatName, parseName, ROOT } from "../../src/wire/names.ts";
import { INFO, type Made, make, POLICY_INFO, policyOf, SUBSCRIBE } from "../support/certificates.ts";
import { eventually, settle } from "../support/eventually.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { exchangeBytes } from "../wire/support/vectors.ts";
import { chainAsTold, TlsHost } from "./support/tlsHost.ts";

const SETTINGS = { subscribe: [], enforcesPolicy: true, allowRoot: true };

let host: TlsHost;
let clock: FakeClock;
/** An intermediate for `user:`. */
let user: Made;

beforeEach(async () => {
  clock = new FakeClock(Date.now());
  host = await new TlsHost().start();
  user = await make("user", { issuer: host.ca, command: policyOf(10) });
});

afterEach(() => host.stop());

async function endpointOf(tls: TlsConfig, settings = SETTINGS): Promise<TlsEndpoint> {
  const endpoint = new TlsEndpoint(tls, settings, clock);
  await endpoint.refresh();
  return endpoint;
}

const withIssuer = (made: Made, ...above: Made[]) =>
  endpointOf(host.config({ issuer: host.folder.holder("issuer", made, ...above) }));

const withRoot = (made: Made, allowRoot: boolean) =>
  endpointOf(host.config({ issuer: host.folder.holder("issuer", made) }), { ...SETTINGS, allowRoot });

const never = new AbortController().signal;

async function codeOf(dialling: Promise<Line>): Promise<string> {
  return dialling.then(
    () => "a line",
    (error) => error.code ?? String(error),
  );
}

/** Connects, and shows the certificate. */
async function put(endpoint: TlsEndpoint, what: Put): Promise<Line> {
  const line = await endpoint.dial("vmmd", what, never);
  line.socket.resume();
  await line.finish();
  return line;
}

describe("one connection per command, which stands in the leaf:", () => {
  test.each([
    ["subscribe", subscribeRequest(parseName("user:")), ".", SUBSCRIBE],
    ["subscribe to one", subscribeRequest(parseName("user:web")), "web", SUBSCRIBE],
    ["info", infoRequest(parseName("user:"), "info"), ".", INFO],
    ["info about one", infoRequest(parseName("user:web"), "info"), "web", INFO],
    ["policies", policyRequest(parseName("user:")), ".", POLICY_INFO],
  ])("%s", async (_, request, commonName, command) => {
    const line = await put(await withIssuer(user), request);
    await eventually("a visit", () => host.visits.length === 1);
    expect(host.visits[0]).toMatchObject({ names: chainAsTold(commonName, "user", "test CA"), command });
    line.socket.destroy();
  });
});

test("the CA itself asks at the root, without an intermediate", async () => {
  const endpoint = await withIssuer(host.ca);
  const line = await put(endpoint, infoRequest(ROOT, "info"));
  await eventually("a visit", () => host.visits.length === 1);
  expect(host.visits[0]).toMatchObject({ names: [".", "test CA"], command: INFO });
  line.socket.destroy();
});

describe("what issues without a policy", () => {
  const destroy = { name: parseName(":web"), command: { class: "unikernel", command: "destroy" } } as const;
  const TEXT =
    "/issuer.pem has no policy: what it issues may do anything at the root of the host, so it only reads without allow_root: true";

  test.each([
    ["the CA", () => withRoot(host.ca, false)],
    ["a plain intermediate", async () => withRoot(await make("plain", { issuer: host.ca }), false)],
  ])("only reads: %s", async (_, make) => {
    const endpoint = await make();
    (await put(endpoint, infoRequest(ROOT, "info"))).socket.destroy();
    await eventually("a visit", () => host.visits.length === 1);
    const connections = host.connections;
    expect(await codeOf(endpoint.dial("vmmd", destroy, never))).toBe("TLS_ROOT");
    expect(host.connections).toBe(connections);
    const refusal = endpoint.whyNotActing([]);
    expect({ ...refusal, text: refusal?.text.replace(host.folder.path, "") }).toEqual({
      reason: "read_only",
      text: TEXT,
    });
    expect(endpoint.whyNotActing(["user"])?.reason).toBe("path");
  });

  test("acts at the root where that is allowed", async () => {
    const endpoint = await withRoot(host.ca, true);
    expect(endpoint.whyNotActing([])).toBe(null);
    (await put(endpoint, destroy)).socket.destroy();
    await eventually("a visit", () => host.visits.length === 1);
    expect(host.visits[0]).toMatchObject({ names: ["web", "test CA"], command: destroy.command });
  });
});

test("a leaf is used for ten minutes, then another is made", async () => {
  const endpoint = await withIssuer(user);
  const serials = async () => {
    const before = host.visits.length;
    (await put(endpoint, infoRequest(parseName("user:"), "info"))).socket.destroy();
    await eventually("a visit", () => host.visits.length > before);
    return host.visits.at(-1)?.serial;
  };
  const first = await serials();
  clock.advance(9 * 60_000);
  expect(await serials()).toBe(first);
  clock.advance(60_000);
  expect(await serials()).not.toBe(first);
});

test.each([
  ["user:web:", "a path below"],
  [":user", "the unikernel of the path's name"],
  ["user:.", "a name that would be the path"],
])("an issuer for user: is not asked for a leaf for %s, %s", async (name) => {
  const endpoint = await withIssuer(user);
  expect(endpoint.reaches(parseName(name))).toBe(false);
  expect(await codeOf(endpoint.dial("vmmd", infoRequest(parseName(name), "info"), never))).toBe("TLS_PATH");
  expect(host.connections).toBe(0);
});

describe("the server", () => {
  /** Whether the client has shown its certificate, and why it has not. */
  async function refused(shown: (ca: Made) => Promise<readonly [Made, ...Made[]]>): Promise<string> {
    await host.stop();
    host = await new TlsHost().start(shown);
    const endpoint = await withIssuer(host.ca);
    const code = await codeOf(endpoint.dial("vmmd", infoRequest(ROOT, "info"), never));
    await settle();
    expect(host.connections).toBe(1);
    expect(host.visits).toEqual([]);
    return `${code}: ${endpoint.describe("vmmd", code)}`
      .replaceAll(host.folder.path, "")
      .replace(/:\d{5}\b/, "");
  }

  test("of another CA is not told who we are", async () => {
    expect(
      await refused(async () => [await make("server", { issuer: await make("test CA"), isCa: false })]),
    ).toBe(
      "CERT_SIGNATURE_FAILURE: the certificate of 127.0.0.1 is not issued by the CA of /ca.pem (CERT_SIGNATURE_FAILURE)",
    );
  });

  const POSING =
    "TLS_SERVER: 127.0.0.1 shows a certificate that the CA has not issued for a server: another holder of a certificate may pose as the host; nothing was sent";

  test("whose certificate a tenant has issued is not told who we are", async () => {
    const posing = async (ca: Made) => {
      const tenant = await make("tenant", { issuer: ca, command: policyOf(1) });
      return [await make("server", { issuer: tenant, isCa: false }), tenant] as const;
    };
    expect(await refused(posing)).toBe(POSING);
  });

  test("that is a tenant's leaf is not told who we are", async () => {
    expect(await refused(async (ca) => [await make("web", { issuer: ca, command: INFO, isCa: false })])).toBe(
      POSING,
    );
  });

  test("whose certificate is a client's is not told who we are, nor that its CA is another", async () => {
    const client = { isCa: false, purposes: ["1.3.6.1.5.5.7.3.2"] };
    expect(await refused(async (ca) => [await make("server", { issuer: ca, ...client })])).toBe(
      "INVALID_PURPOSE: the certificate of 127.0.0.1, or its CA's, says that it is for something else than this (INVALID_PURPOSE)",
    );
  });

  test("whose certificate has expired is not told who we are", async () => {
    const expired = { isCa: false, untilMs: Date.now() - 1000 };
    expect(await refused(async (ca) => [await make("server", { issuer: ca, ...expired })])).toMatch(
      /^CERT_HAS_EXPIRED: the certificate of 127.0.0.1, or its CA's, has expired by this machine's clock, 20/,
    );
  });
});

describe("nothing of ours is sent before it is asked for:", () => {
  test("an open connection has not shown its certificate", async () => {
    const endpoint = await withIssuer(user);
    const line = await endpoint.dial("vmmd", infoRequest(parseName("user:"), "info"), never);
    await settle();
    expect(host.visits).toEqual([]);
    await line.finish();
    await eventually("a visit", () => host.visits.length === 1);
    line.socket.destroy();
  });

  test("one that is given up never does", async () => {
    const endpoint = await withIssuer(user);
    const line = await endpoint.dial("vmmd", infoRequest(parseName("user:"), "info"), never);
    line.socket.destroy();
    await settle();
    expect(host.visits).toEqual([]);
  });
});

describe("a host that says nothing is given up", () => {
  let silent: Server;

  beforeEach(async () => {
    silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  });

  afterEach(() => silent.close());

  test("in the handshake after 5 s", async () => {
    const { port } = silent.address() as { port: number };
    const address = { text: "silent:1025", host: "127.0.0.1", port };
    const endpoint = await endpointOf(host.config({ address, issuer: host.folder.holder("issuer", user) }));
    const dialling = codeOf(endpoint.dial("vmmd", infoRequest(parseName("user:"), "info"), never));
    const accepted = new Promise((resolve) => silent.once("connection", resolve));
    await accepted;
    await eventually("its timer", () => clock.pendingTimers === 1);
    await settle();
    clock.advance(5_000);
    expect(await dialling).toBe("HANDSHAKE_TIMEOUT");
    expect(endpoint.describe("vmmd", "HANDSHAKE_TIMEOUT")).toBe(
      "silent:1025 takes the connection, but does not answer the TLS handshake within 5 s",
    );
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("recorded replies are read:", () => {
  async function client(made: Made) {
    return new VmmdClient({ endpoint: await withIssuer(made), maxFrameBytes: 1e6, clock });
  }

  test.each([
    ["tls-info-root", ":", ["user:web2", "user:web"]],
    ["tls-user-info2", "user:web", ["user:web"]],
  ])("%s", async (exchange, name, names) => {
    host.serve = ({ socket }) => void socket.end(exchangeBytes(exchange, "s2c"));
    const vmmd = await client(name === ":" ? host.ca : user);
    const found = await vmmd.unikernels(parseName(name));
    expect(found.map((one) => formatName(one.name))).toEqual(names);
  });
});
