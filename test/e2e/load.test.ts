import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { requireProgram } from "../support/requireProgram.ts";
import { Serving, temporaryFolder, until } from "../support/serving.ts";
import { Application } from "./support/application.ts";
import { Prometheus } from "./support/prometheus.ts";
import {
  apiDecisions,
  decided,
  expectSame,
  loadedVm,
  Recording,
  startSimulated,
  type ToldDecision,
} from "./support/scaling.ts";

const POLL_MS = 2_000;
const QUERY = 'sum(rate(app_requests_total{unikernel="$group"}[10s]))';
const WEB = { host: "box", path: "user", group: "web" };

/** CPU usage is far from both thresholds all the time: whatever is decided is decided by the load. */
function config(socketDir: string, url: string, mode: string): string {
  return `
targets: [{ name: box, socket_dir: ${socketDir}, os: linux }]
web: { listen_addresses: ["127.0.0.1:0"] }
scaler:
  poll_interval: ${POLL_MS}ms
  mode: ${mode}
  max_scale_ups_per_tick: 3
  prometheus: { url: "${url}", timeout: 1s }
  defaults: { warmup_period: 0s, cooldown_period: 1s, scale_up_trigger_ticks: 6, scale_down_trigger_ticks: 2 }
  policies:
    - match: "user:web"
      mode: ${mode}
      clone: { arguments: [] }
      scale_up_max_step: 3
      max_clones: 5
      load: { query: '${QUERY}', capacity_per_member: 100 }
`;
}

async function explained(serving: Serving) {
  const { data } = JSON.parse(await serving.get("/api/v1/groups"));
  return data[0]?.scaler;
}

describe.skipIf(!requireProgram("prometheus"))("a group whose load a real Prometheus answers", () => {
  test.each(["execute", "dry_run"])(
    "grows by the step that the load calls for, holds without Prometheus, goes on with it, and shrinks: %s",
    async (mode) => {
      const isDryRun = mode === "dry_run";
      const folder = await temporaryFolder();
      const app = await Application.start();
      const requests = 'app_requests_total{unikernel="web",instance="a"}';
      app.rate(requests, 75).rate('app_requests_total{unikernel="other",instance="a"}', 1_000);
      const prometheus = await Prometheus.start(folder, { app: app.address }, { interval: "1s" });
      const host = await startSimulated(join(folder, "box"), [loadedVm("user:web", 60)], 500);
      const serving = await Serving.start(folder, config(join(folder, "box"), prometheus.url, mode));
      const recording = await Recording.start(folder, serving);

      let seen = await decided(serving, { ...WEB, reason: "normal" });
      // a rate begins low
      await until(
        "the whole rate",
        () => serving.metric('albatross_scaler_load{host="box",path="user",group="web"}'),
        (rate = 0) => rate > 70 && rate < 80,
      );
      const one = await until(
        "an answer in time",
        () => explained(serving),
        ({ load_query }) => load_query.outcome === "ok",
      );
      expect(one.load_query).toEqual({
        ...{ outcome: "ok", error: null },
        ...{ scale_up_threshold: 90, scale_down_threshold: 40 },
      });
      expect(one.text).toMatch(
        /^The load of 7\d(\.\d)? is not above 90 \(90 % of one member at 100\), and there is no clone to give up\.$/,
      );

      // 150 for members of 100: two of them at 65 % carry 130, so three are wanted; the rate is whole before six evaluations
      app.rate(requests, 150);
      seen = await decided(serving, { ...WEB, decision: "scale_up", reason: "overloaded" }, seen);
      const up = (await apiDecisions(serving)).findLast(({ decision }) => decision === "scale_up");
      const load = up?.load ?? 0;
      expect(Math.abs(load - 150)).toBeLessThan(10);
      expect(up).toMatchObject({ clone: "web-clone-1", step: 2 });
      expect(up?.average_for_up_percent).toBeCloseTo(load, 6);
      if (isDryRun) for (let i = 0; i < 2; i++) host.cloneVm("user:web");
      seen = await decided(serving, { ...WEB, reason: "normal", clones: 2 }, seen);

      await prometheus.stop();
      seen = await decided(serving, { ...WEB, reason: "no_data" }, seen);
      const lost = await explained(serving);
      expect(lost.text).toBe(
        `Its load is not known: ${prometheus.url}: connection refused. Nothing can be decided.`,
      );
      // idle without anybody knowing
      app.rate(requests, 0);
      const failures =
        'albatross_scaler_load_queries_total{host="box",path="user",group="web",outcome="unreachable"}';
      await until(
        "more failed queries than shrink a group",
        () => serving.metric(failures),
        (count = 0) => count >= 3,
      );
      expect((await explained(serving)).reason).toBe("no_data");

      await prometheus.startAgain();
      seen = await decided(serving, { ...WEB, decision: "scale_down", reason: "underloaded" }, seen);
      const down = (await apiDecisions(serving)).findLast(({ decision }) => decision === "scale_down");
      expect(down).toMatchObject({ clone: "web-clone-2", step: 1 });
      if (isDryRun) host.removeVm("user:web-clone-2");
      await decided(serving, { ...WEB, decision: "scale_down", clone: "web-clone-1" }, seen);

      if (isDryRun) {
        await replaysAlike(serving, recording);
        return;
      }
      const { data: actions } = JSON.parse(await serving.get("/api/v1/actions"));
      expect(actions.toReversed().slice(0, 3)).toMatchObject([
        { operation: "create", clone: "web-clone-1", outcome: "verified" },
        { operation: "create", clone: "web-clone-2", outcome: "verified" },
        { operation: "destroy", clone: "web-clone-2", outcome: "verified" },
      ]);
    },
  );
});

/** What was recorded brings the same decisions: nobody but the rules had a part in them. */
async function replaysAlike(serving: Serving, recording: Recording): Promise<void> {
  const live = sinceBusy(await apiDecisions(serving));
  expect(await recording.end()).toMatch(/ \d\d+ loads, /);
  const decisions = sinceBusy((await recording.replay()).decisions);
  expect(live.length).toBeGreaterThanOrEqual(6);
  expectSame(live, decisions.slice(0, live.length), { percent: 1e-6, ms: 50 });
}

/** A recording that begins after the exporter has heard a sample knows its first average a tick later. */
function sinceBusy(decisions: readonly ToldDecision[]): readonly ToldDecision[] {
  return decisions.slice(decisions.findIndex(({ reason }) => reason === "pending_up"));
}
