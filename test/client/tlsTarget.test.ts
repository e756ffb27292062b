import { createServer } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Target } from "../../src/client/target.ts";
import type { TargetConfig, TlsConfig } from "../../src/config/target.ts";
import { policiesReply, successString, unikernelInfoReply } from "../../src/simulator/messages.ts";
import { targetsJson } from "../../src/web/api.ts";
import { groupsQuery } from "../../src/web/groups.ts";
import { landingPage } from "../../src/web/page.ts";
import { encodeFrame } from "../../src/wire/framing.ts";
import { encodeMessage, type Message, type Policy, statsMessage } from "../../src/wire/messages.ts";
import { parseName } from "../../src/wire/names.ts";
import { INFO, type Made, make, POLICY_INFO, policyOf, SUBSCRIBE } from "../support/certificates.ts";
import { eventually, settle } from "../support/eventually.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { makeInfo, makeStats } from "../support/stats.ts";
import { readable, webDeps } from "../support/web.ts";
import { RecordingLog, RecordingSink, tlsTargetConfig } from "./support/host.ts";
import { TlsHost, type Visit } from "./support/tlsHost.ts";
import { expectTold, WELL } from "./support/tlsScene.ts";

let host: TlsHost;
let clock: FakeClock;
let sink: RecordingSink;
let log: RecordingLog;
let user: Made;
let targets: Target[];
/** What the host says that the path's policy is. */
let hostPolicy: Policy;

beforeEach(async () => {
  clock = new FakeClock(Date.now());
  [sink, log, targets] = [new RecordingSink(), new RecordingLog(), []];
  host = await new TlsHost().start();
  user = await make("user", { issuer: host.ca, command: policyOf(10) });
  host.serve = serve;
  hostPolicy = policyOf(10).policy;
});

afterEach(async () => {
  await Promise.all(targets.map((target) => target.stop()));
  await host.stop();
});

const NAMES: Readonly<Record<string, string>> = { ".": "user:", web: "user:web" };

/** As the real endpoint: names relative to the path, sequence 0 but for "subscribed". */
function serve({ socket, command, names }: Visit): void {
  const header = { version: 5, sequence: 0, name: parseName(NAMES[names[0] ?? ""] ?? ":") } as const;
  const frame = (message: Message) => encodeFrame(encodeMessage(message));
  if (command.class === "stats") {
    socket.write(frame(successString({ ...header, sequence: 7 }, "subscribed")));
    socket.write(frame(statsMessage(parseName(":web"), makeStats())));
  } else if (command.class === "unikernel") {
    socket.end(frame(unikernelInfoReply(header, [{ name: parseName(":web"), info: makeInfo() }])));
  } else {
    socket.end(frame(policiesReply(header, [{ name: parseName(":"), policy: hostPolicy }])));
  }
}

type Over = Partial<Omit<TargetConfig, "tls" | "socketDir">> & { tls?: Partial<TlsConfig> };

/** A target with an issuer for `user:` unless said otherwise. */
function makeTarget(over: Over = {}): Target {
  const holder = host.folder.holder("user", user);
  const { tls, ...settings } = over;
  const config = tlsTargetConfig(host.config({ issuer: holder, ...tls }), settings);
  const target = new Target(config, sink, clock, log, { random: () => 0 });
  targets.push(target);
  return target;
}

async function started(over: Over = {}): Promise<Target> {
  const target = makeTarget(over);
  target.start();
  await eventually("an answer, or why there is none", () => target.snapshot().infoReadable !== null);
  return target;
}

const stateOf = (target: Target) =>
  target.snapshot().subscriptions.map((one) => `${one.subscription} ${one.state}`);

test("an issuer's path is subscribed to, and asked about", async () => {
  const target = await started();
  await eventually("a sample", () => sink.samples.length > 0);
  await eventually("the policies", () => sink.policyLists.length > 0);
  expect(stateOf(target)).toEqual(["user: receiving"]);
  expect(sink.samples.map(({ host, name }) => [host, name])).toEqual([["metal", "user:web"]]);
  expect(sink.infos.map(({ names }) => names)).toEqual([["user:web"]]);
  expect(sink.policyLists.flat().map(({ name }) => name.path)).toEqual([["user"]]);
  expect(host.visits.map(({ command }) => command).sort((a, b) => (a.class < b.class ? -1 : 1))).toEqual([
    POLICY_INFO,
    SUBSCRIBE,
    INFO,
  ]);
  expect(target.snapshot()).toMatchObject({ up: true, infoReadable: true, infoError: null });
});

test("a unikernel in it is subscribed to alone", async () => {
  const target = await started({ subscribe: ["user:web"], allowUncheckedPath: false });
  await eventually("a sample", () => sink.samples.length > 0);
  expect(stateOf(target)).toEqual(["user:web receiving"]);
  expect(host.visits.filter(({ command }) => command.class === "stats").map(({ names }) => names[0])).toEqual(
    ["web"],
  );
});

test("a path needs the operator's word, since a unikernel of its name cannot be asked for", async () => {
  const target = await started({ allowUncheckedPath: false });
  await eventually("the verdict", () => stateOf(target)[0] === "user: blocked");
  expect(target.snapshot().subscriptions[0]?.lastError).toBe(
    "with these certificates it cannot be asked whether a unikernel :user runs, with which a subscription at user: would " +
      "crash albatross-stats; set allow_unchecked_path: true if there never is such a unikernel",
  );
  expect(target.snapshot().infoReadable).toBe(true);
  expect(host.visits.some(({ command }) => command.class === "stats")).toBe(false);
});

test("certificates made beforehand are shown, each for its question", async () => {
  const target = await started({ tls: await host.folder.leaves({ issuer: user }, user) });
  await eventually("a sample", () => sink.samples.length > 0);
  expect(stateOf(target)).toEqual(["user: receiving"]);
  expect(sink.infos.map(({ names }) => names)).toEqual([["user:web"]]);
});

test("files that are not there yet are read when they are, and said once", async () => {
  const { key } = host.folder.holder("later", user);
  const certificate = `${host.folder.path}/later-still.pem`;
  const target = await started({ tls: { issuer: { certificate, key } } });
  const problem = `${certificate}: no such file or directory`;
  expect(target.snapshot()).toMatchObject({ infoReadable: false, infoError: problem, subscriptions: [] });
  expect(target.snapshot().infoErrors.certificate).toBe(1);
  clock.advance(30_000);
  await eventually("another look", () => target.snapshot().infoErrors.certificate === 2);
  host.folder.write("later-still.pem", user.pem);
  await eventually("its timer", () => clock.pendingTimers > 0);
  clock.advance(30_000);
  await eventually("a sample", () => sink.samples.length > 0);
  expect(log.lines).toEqual([
    "warn: unikernel info cannot be read; its metrics are left out",
    "info: certificates read",
    "info: unikernel info can be read again",
    "info: subscribed",
  ]);
});

test("a host that does not answer is given up, and costs another nothing", async () => {
  let isTaken = false;
  const mute = createServer((socket) => {
    isTaken = true;
    socket.resume();
  });
  await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
  const { port } = mute.address() as { port: number };
  const silent = makeTarget({
    name: "silent",
    tls: { address: { text: "silent:1", host: "127.0.0.1", port } },
  });
  silent.start();
  await started();
  await eventually("a sample", () => sink.samples.length > 0);
  expect(silent.snapshot()).toMatchObject({ up: false, infoReadable: null });
  await eventually("the connection", () => isTaken);
  await settle();
  clock.advance(5_000);
  await eventually("it is given up", () => silent.snapshot().infoReadable !== null);
  expect(silent.snapshot().infoError).toBe(
    "silent:1 takes the connection, but does not answer the TLS handshake within 5 s",
  );
  expect(silent.snapshot().infoErrors).toMatchObject({ unreachable: 1 });
  await silent.stop();
  await new Promise((resolve) => mute.close(resolve));
});

test.each([
  ["a part of an answer and no more", 1, 10_000, "albatrossd does not answer within 10 s"],
  ["an answer in parts that has no end", 7, 60_000, "albatrossd does not answer within 60 s"],
])("%s is given up", async (_, parts, limitMs, info) => {
  // the length of a frame, and the first of its 256 bytes
  const answer = Buffer.from([0, 0, 1, 0, 0x30, 0x81, 0xfd]);
  const asked: Visit[] = [];
  host.serve = (visit) => void (visit.command.class === "unikernel" ? asked.push(visit) : serve(visit));
  const target = makeTarget();
  target.start();
  await eventually("the question", () => asked.length === 1);
  const timers = vi.spyOn(clock, "after");
  for (let part = 0; part < parts; part++) {
    if (part > 0) clock.advance(9_000);
    const before = timers.mock.calls.length;
    asked[0]?.socket.write(answer.subarray(part, part + 1));
    await eventually("the part", () => timers.mock.calls.length > before);
  }
  clock.advance(limitMs - (parts - 1) * 9_000);
  const seen = { target, log, clock, folders: [host.folder.path] };
  await expectTold(seen, { ...WELL, info, infoErrors: ["timeout"] });
});

test("an albatrossd that closes is not taken for an old one", async () => {
  host.serve = ({ socket }) => void socket.end();
  const target = await started();
  expect(target.snapshot().infoErrors).toMatchObject({ no_reply: 2 });
  const text = (service: string) =>
    `127.0.0.1:${host.port} closes the connection without a reason: only the endpoint's log says why; likely: ` +
    `${service} or the endpoint ended in the middle, or this Albatross is older than 2.7`;
  expect(target.snapshot().infoError).toBe(text("albatrossd"));
  await eventually("the subscription's", () => target.snapshot().subscriptions[0]?.lastError !== null);
  expect(target.snapshot().subscriptions[0]).toMatchObject({
    lastError: text("albatross-stats"),
    disconnects: { refused: 1 },
  });
  for (const { command } of host.visits) expect([INFO, POLICY_INFO, SUBSCRIBE]).toContainEqual(command);
});

test("certificates are read again when they change, without a lost sample", async () => {
  const target = await started({ statsIntervalMs: 60_000 });
  await eventually("a sample", () => sink.samples.length === 1);
  const stream = host.visits.find(({ command }) => command.class === "stats");
  const untilMs = Math.floor(Date.now() / 1000) * 1000 + 86_400_000;
  user = await make("user", { issuer: host.ca, command: policyOf(10), untilMs });
  // the certificate comes first, and for a while the key is not its own
  const certificate = host.folder.write("user.pem", user.pem);
  clock.advance(30_000);
  const text = `${host.folder.path}/user.key: is not the key of ${certificate}`;
  await eventually("it is said", () => target.snapshot().certificateError === text);
  await eventually("the question is asked all the same", () => sink.infos.length === 2);
  expect(log.lines).toContain("error: new certificates cannot be used: those before stay in use");
  host.folder.holder("user", user);
  await eventually("its timer", () => clock.pendingTimers > 0);
  clock.advance(30_000);
  await eventually("the new one", () => target.snapshot().certificateError === null);
  await eventually("the next question", () => sink.infos.length === 3);
  const issuer = target.snapshot().certificates.find(({ use }) => use === "issuer");
  expect(issuer).toEqual({ certificate, use: "issuer", notAfterMs: untilMs });
  // the stream has gone on
  stream?.socket.write(encodeFrame(encodeMessage(statsMessage(parseName(":web"), makeStats()))));
  await eventually("another sample", () => sink.samples.length === 2);
  expect(target.snapshot().subscriptions[0]).toMatchObject({ state: "receiving", connects: 1 });
});

test("new certificates for another path are not used before a reload", async () => {
  const target = await started();
  const other = await make("other", { issuer: host.ca, command: policyOf(10) });
  host.folder.holder("user", other);
  await eventually("its timer", () => clock.pendingTimers > 0);
  clock.advance(30_000);
  await eventually("it is said", () => target.snapshot().certificateError !== null);
  expect(target.snapshot().certificateError).toBe(
    "the certificates are for other: now, they were for user:: reload the configuration",
  );
  expect([target.subscribed, target.isOutdated]).toEqual([["user:"], true]);
});

test("what the certificates expire is told by file, the server's own too", async () => {
  const target = await started();
  const told = target.snapshot().certificates.map(({ certificate, use }) => [certificate, use]);
  expect(told).toEqual([
    [host.caFile, "ca"],
    [`${host.folder.path}/user.pem`, "issuer"],
    ["server", "server"],
  ]);
});

test("a key that everyone may read is warned of", async () => {
  const { certificate } = host.folder.holder("open", user);
  const key = host.folder.write("open.key", user.key, 0o644);
  await started({ tls: { issuer: { certificate, key } } });
  expect(log.lines).toContain("warn: everyone on this machine may read this key: chmod 600, or 640");
  expect(log.fields).toContainEqual({ host: "metal", file: key });
});

test("a policy that is not the certificate's is warned of once, and shown as long as it is so", async () => {
  const target = await started();
  const shown = () => {
    const targets = [target.snapshot()];
    const [api] = targetsJson(targets) as [{ policy_difference: string | null }];
    const page = readable(landingPage(webDeps({ targets: () => targets }).deps, groupsQuery({})).text);
    return [api.policy_difference, /The policy on .*? undoes what the other set\./.exec(page)?.[0] ?? null];
  };
  await eventually("the policies", () => sink.policyLists.length === 1);
  expect(log.lines.filter((line) => line.includes("policy"))).toEqual([]);
  expect(shown()).toEqual([null, null]);
  const poll = async () => {
    const polls = sink.policyLists.length;
    await eventually("its timer", () => clock.pendingTimers > 0);
    clock.advance(30_000);
    await eventually("the policies", () => sink.policyLists.length > polls);
  };
  hostPolicy = policyOf(3).policy;
  for (let polls = 0; polls < 2; polls++) await poll();
  const of = (unikernels: number) =>
    `${unikernels} unikernels; 512 MB; cpuids 0, 1; bridges service; no block devices`;
  const difference = `user: has ${of(3)}; ${host.folder.path}/user.pem puts ${of(10)} in force again at each question`;
  expect(log.fields.filter((fields) => "difference" in fields)).toEqual([
    expect.objectContaining({ difference }),
  ]);
  expect(shown()).toEqual([
    difference,
    `The policy on metal is not its certificate's: somebody else changes it ${difference} What to do: Make a certificate with the policy that is wanted, or have nobody else set one: until then each undoes what the other set.`,
  ]);
  hostPolicy = policyOf(10).policy;
  await poll();
  expect(shown()).toEqual([null, null]);
});

test("no key and no leaf shows in log or snapshot", async () => {
  const target = await started();
  await eventually("a sample", () => sink.samples.length === 1);
  const shown = JSON.stringify([log.lines, log.fields, target.snapshot(), sink]);
  expect(shown).not.toMatch(/BEGIN|PRIVATE|CERTIFICATE-/);
  for (const line of user.key.split("\n").slice(1, -2)) expect(shown).not.toContain(line);
});
