import { describe, expect, it } from "vitest";
import { groupsJson, targetsJson, vmsJson } from "../../src/web/api.ts";
import {
  DISTINCT_KINFO,
  DISTINCT_RUSAGE,
  device,
  hostRecord,
  record,
  SOLO5_INFO,
  snapshot,
  stats,
  subscriptionSnapshot,
  target,
  targetSnapshot,
} from "../exporter/records.ts";

const linux = { targets: [target("local", "linux")] };
const live = [hostRecord("local")];

describe("a VM in the API", () => {
  it("tells what is known of it", () => {
    const vm = record("local", "user", "web-clone-2", {
      usagePercent: 12.5,
      cpuUs: 1_246_587_890,
      restarts: 3,
      info: SOLO5_INFO,
      stats: stats({ rusage: DISTINCT_RUSAGE, kinfoMem: DISTINCT_KINFO, ifdata: [device("service")] }),
    });
    expect([...vmsJson({ ...snapshot({ vms: [vm] }), hosts: live }, linux)]).toEqual([
      {
        host: "local",
        path: "user",
        vm: "web-clone-2",
        name: "user:web-clone-2",
        group: "web",
        role: "clone",
        state: "fresh",
        served: true,
        cpu_usage_percent: 12.5,
        cpu_seconds: 1246.58789,
        memory_resident_bytes: 201 * 4096,
        restarts: 3,
        last_sample: "2026-01-01T00:01:40.250Z",
        stats_interval_seconds: 10,
        devices: ["service"],
        info: {
          type: "solo5",
          digest: SOLO5_INFO.digest,
          cpuids: "0,2",
          cpus: 1,
          memory_limit_bytes: 33_554_432,
          started: "2026-01-01T00:00:00.500Z",
        },
      },
    ]);
  });

  it("has null for what is not known, and is not served when silent or on a host that is down", () => {
    const quiet = snapshot({
      vms: [record("down", "", "web", { cpuUs: null })],
      unserved: [{ vm: record("local", "", "web"), state: "missing" }],
    });
    expect([...vmsJson({ ...quiet, hosts: live }, linux)]).toMatchObject([
      {
        host: "down",
        state: "warming",
        served: false,
        cpu_usage_percent: null,
        cpu_seconds: null,
        info: null,
      },
      { host: "local", state: "missing", served: false },
    ]);
  });
});

it("a group in the API tells its members", () => {
  const vms = [record("local", "user", "web", { usagePercent: 80 }), record("local", "user", "web-clone-1")];
  expect([...groupsJson(snapshot({ vms }), { explain: () => null })]).toEqual([
    {
      host: "local",
      path: "user",
      group: "web",
      orphaned: false,
      clones: 1,
      cpu_usage_percent: 80,
      members: [
        { vm: "web", role: "primary", clone_id: 0, state: "fresh", cpu_usage_percent: 80 },
        { vm: "web-clone-1", role: "clone", clone_id: 1, state: "warming", cpu_usage_percent: null },
      ],
      scaler: null,
    },
  ]);
});

it("a target in the API tells its subscriptions", () => {
  const subscriptions = [
    subscriptionSnapshot("user:", { state: "blocked", lastError: "a unikernel is named user" }),
  ];
  expect(targetsJson([targetSnapshot("local", { up: false, subscriptions })])).toMatchObject([
    {
      name: "local",
      up: false,
      info_readable: true,
      info_error: null,
      subscriptions: [
        {
          subscription: "user:",
          state: "blocked",
          last_message: null,
          stats_interval_seconds: 10,
          last_error: "a unikernel is named user",
        },
      ],
    },
  ]);
});

it("a target in the API tells its certificates, without what is in them", () => {
  const certificates = [{ certificate: "user.pem", use: "issuer", notAfterMs: 1_767_225_600_000 }] as const;
  const change = { certificates, certificateError: "user.key: is not the key of user.pem" };
  expect(targetsJson([targetSnapshot("metal", change)])).toMatchObject([
    {
      certificates: [{ certificate: "user.pem", use: "issuer", not_after: "2026-01-01T00:00:00.000Z" }],
      certificate_error: "user.key: is not the key of user.pem",
    },
  ]);
});
