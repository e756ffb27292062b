import { describe, expect, it } from "vitest";
import type { TargetSnapshot } from "../../src/client/target.ts";
import type { Config } from "../../src/config/sections.ts";
import {
  Counts,
  config,
  DISTINCT_KINFO,
  DISTINCT_RUSAGE,
  device,
  everyField,
  exposition,
  policy,
  record,
  type SnapshotParts,
  SOLO5_INFO,
  stats,
  subscriptionSnapshot,
  target,
  targetSnapshot,
} from "./records.ts";

interface Scene extends SnapshotParts {
  readonly targets: readonly TargetSnapshot[];
  readonly config: Pick<Config, "targets" | "exporter">;
}

const receiving = subscriptionSnapshot(":", {
  messages: 1234,
  bytes: 561_470,
  connects: 2,
  lastMessageWallMs: Date.parse("2026-01-01T00:01:40.250Z"),
  intervalUs: 2_000_000,
});

const linux: Scene = {
  config: config([target("local", "linux")]),
  targets: [targetSnapshot("local", { subscriptions: [receiving] })],
  policies: [
    policy("local", "user", {
      unikernels: 10,
      memoryBytes: 4_294_967_296,
      blockBytes: 10_737_418_240,
      used: { unikernels: 9, memoryBytes: 301_989_888 },
    }),
  ],
  vms: [
    record("local", "", "hello", { stats: stats({ kinfoMem: DISTINCT_KINFO }) }),
    record("local", "user", "web", { stats: everyField, usagePercent: 97.5, info: SOLO5_INFO }),
    record("local", "user", "web-clone-1", { usagePercent: 52.5, restarts: 3 }),
  ],
  unserved: [{ vm: record("local", "user", "web-clone-2"), state: "missing" }],
};

const freebsd: Scene = {
  config: config([target("bsd", "freebsd", 16_384)]),
  targets: [targetSnapshot("bsd", { subscriptions: [receiving] })],
  policies: [policy("bsd", "", { memoryBytes: 4_294_967_296 })],
  vms: [
    record("bsd", "", "hello", { stats: stats({ kinfoMem: DISTINCT_KINFO }) }),
    record("bsd", "user:sub", "web", {
      stats: everyField,
      usagePercent: 33.25,
      info: { ...SOLO5_INFO, type: "bhyve", digest: "web", startedMs: null, cpus: 4 },
    }),
  ],
};

/** All that can be wrong or missing at once. */
const failures: Scene = {
  config: config([target("good", "linux"), target("down", "freebsd")]),
  targets: [
    targetSnapshot("down", {
      up: false,
      infoReadable: null,
      subscriptions: [
        subscriptionSnapshot(":", {
          state: "displaced",
          connects: 3,
          decodeErrors: { ...receiving.decodeErrors, der: 1, frame_too_long: 2 },
          disconnects: { ...receiving.disconnects, closed: 3 },
          lastError: "another client keeps taking the slot",
        }),
      ],
    }),
    targetSnapshot("good", {
      certificates: [
        { certificate: "/etc/metal/user.pem", use: "issuer", notAfterMs: Date.parse("2026-03-01T00:00:00Z") },
        { certificate: "server", use: "server", notAfterMs: Date.parse("2027-03-01T00:00:00Z") },
      ],
      infoReadable: false,
      subscriptions: [subscriptionSnapshot("user:", { state: "blocked" }), receiving],
    }),
  ],
  policies: [policy("good", "user", {})],
  vms: [
    record("good", "", "huge", {
      stats: stats({
        rusage: { ...DISTINCT_RUSAGE, utimeSec: -1, minflt: -(2n ** 63n), majflt: 2n ** 63n - 1n, nvcsw: -2 },
        kinfoMem: { ...DISTINCT_KINFO, vsize: 9_007_199_254_740_993n, rss: -1, runtime: -1 },
      }),
    }),
    record("good", "user", "odd", {
      stats: stats({
        rusage: DISTINCT_RUSAGE,
        vmm: [
          { key: 'quote " backslash \\ newline \n', value: -1 },
          { key: "twice", value: 1 },
          { key: "twice", value: 2 },
        ],
        ifdata: [
          device("not UTF-8: \uFFFD"),
          device("service", { inputBytes: 1 }),
          device("service", { inputBytes: 2 }),
          device("half a pair: \uD800", { inputBytes: 3 }),
          device("half a pair: \uFFFD", { inputBytes: 4 }),
        ],
      }),
    }),
  ],
};

const scenes: readonly (readonly [string, Scene])[] = [
  ["linux", linux],
  ["freebsd", freebsd],
  ["failures", failures],
  ["linux-unfilled", { ...linux, config: config([target("local", "linux")], { unfilledFields: true }) }],
];

describe.each(scenes)("the exposition of %s", (name, scene) => {
  it.each(["text", "openmetrics"] as const)("is this in %s", async (format) => {
    const text = await exposition(scene, scene.config, { format });
    await expect(text).toMatchFileSnapshot(`golden/${name}.${format}.txt`);
  });
});

it("counts the series that equal labels within one VM cost", async () => {
  const counts = new Counts();
  await exposition(failures, failures.config, { counts });
  // two devices too many in each of the 12 network families that Linux fills, and one stat
  expect(counts.duplicates).toBe(2 * 12 + 1);
});
