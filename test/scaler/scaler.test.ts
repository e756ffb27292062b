import { describe, expect, test } from "vitest";
import type { ScalerConfig } from "../../src/config/scaler.ts";
import { createLogger } from "../../src/log.ts";
import type { Observation, Source } from "../../src/scaler/rules/types.ts";
import { render, seriesOf } from "../exporter/records.ts";
import { scalerConfig } from "../support/scalerConfig.ts";
import { World } from "../support/world.ts";
import { Disk, Process } from "./process.ts";
import { observation } from "./rules.ts";

const POLL_S = 60;

/** A running program that hears VMs on host `h` every 10 s. */
class Running extends World {
  readonly disk = new Disk();
  readonly events: Record<string, unknown>[] = [];
  process: Process;
  /** of the next program that is started */
  endpoint = "/run/h";
  #config: ScalerConfig;
  readonly #sources: readonly Source[];

  constructor(config = scalerConfig(), sources: readonly Source[] = []) {
    super();
    this.#config = config;
    this.#sources = sources;
    this.process = this.#startProgram();
    this.feed({ record: (sample) => this.process.record(sample) });
  }

  restartProgram(): this {
    this.process.kill();
    this.process = this.#startProgram();
    return this;
  }

  reconfigure(config: ScalerConfig): this {
    this.#config = config;
    this.process.reconfigure(config);
    return this;
  }

  /** `hold pending_up` of user:web at the last tick. */
  get decision(): string {
    const { group } = this;
    if (group === null) return "-";
    const would =
      group.would === null ? "" : ` (${group.would.decision} ${group.would.reason} ${group.would.clone})`;
    return `${group.decision} ${group.reason}${would}`;
  }

  get group() {
    return this.process.scaler.explain({ host: "h", path: "user", group: "web" });
  }

  /** The decisions of the next polls. */
  async next(polls: number): Promise<string[]> {
    const decisions: string[] = [];
    for (let i = 0; i < polls; i++) decisions.push((await this.passAndSettle(POLL_S)).decision);
    return decisions;
  }

  async series(name: string): Promise<string[]> {
    return seriesOf(await render(await this.process.scaler.families()), `albatross_scaler_${name}`);
  }

  #startProgram(): Process {
    const log = createLogger(
      { level: "info", format: "json" },
      { write: (line) => void this.events.push(JSON.parse(line)) },
    );
    return new Process({
      machine: this.clock,
      disk: this.disk,
      config: this.#config,
      log,
      sources: this.#sources,
      targets: new Map([["h", this.endpoint]]),
    });
  }
}

describe("the running scaler", () => {
  test("evaluates all groups one poll_interval after the first samples, and every poll_interval from then on", async () => {
    const running = await new Running().start("user:web", 95).passAndSettle(70);
    expect(running.decision).toBe("hold pending_up");
    expect(await running.next(4)).toEqual([
      "hold pending_up",
      "scale_up overloaded",
      "hold cooldown",
      "hold cooldown",
    ]);
    expect(running.process.seen.map(({ time }) => time)).toEqual(
      [70, 130, 190, 250, 310].map((s) =>
        new Date(Date.parse("2026-01-01T00:00:00Z") + s * 1000).toISOString(),
      ),
    );
  });

  test("explains nothing before, and nothing of groups that there are not", async () => {
    const running = await new Running().start("user:web", 95).passAndSettle(69);
    expect(running.group).toBeNull();
    await running.passAndSettle(10);
    expect(running.group).toMatchObject({ reason: "pending_up" });
    expect(running.process.scaler.explain({ host: "h", path: "", group: "web" })).toBeNull();
  });

  test("tells of itself", async () => {
    const running = await new Running().start("user:web", 95).start(":db", 5).passAndSettle(69);
    expect(running.process.scaler.summary()).toEqual({
      mode: "dry_run",
      pollIntervalMs: 60_000,
      groups: 0,
      lastTickMs: null,
      isOff: false,
    });
    expect((await running.passAndSettle(10)).process.scaler.summary()).toMatchObject({
      groups: 1,
      lastTickMs: Date.parse("2026-01-01T00:01:10Z"),
    });
  });
});

describe("sources beside the fleet", () => {
  const elsewhere = { host: "other", path: "user", group: "api" };

  /** Observes a group of its own, when it is let. */
  class SlowSource implements Source {
    asked = 0;
    answer: () => void = () => undefined;
    observe(): Promise<readonly Observation[]> {
      this.asked += 1;
      return new Promise((resolve) => {
        this.answer = () => resolve([observation({ 0: 95 }, elsewhere)]);
      });
    }
  }

  test("are awaited, and all groups evaluated as of the tick's time", async () => {
    const slow = new SlowSource();
    const running = await new Running(scalerConfig(), [slow]).start("user:web", 50).passAndSettle(85);
    expect(running.group).toBeNull();
    slow.answer();
    await running.passAndSettle(20);
    const { scaler } = running.process;
    for (const explained of [running.group, scaler.explain(elsewhere)]) {
      expect(explained?.time).toBe("2026-01-01T00:01:10.000Z");
    }
    expect(running.decision).toBe("hold normal");
    expect(scaler.explain(elsewhere)).toMatchObject({ decision: "hold", reason: "pending_up" });
  });

  test("that have not answered leave the next tick out: there are never two at once", async () => {
    const slow = new SlowSource();
    const running = await new Running(scalerConfig(), [slow]).start("user:web", 50).passAndSettle(200);
    expect(slow.asked).toBe(1);
    expect(running.events.map(({ level }) => level)).toEqual(["warn", "warn"]);
    slow.answer();
    await running.passAndSettle(60);
    expect(slow.asked).toBe(2);
    expect(running.group?.time).toBe("2026-01-01T00:01:10.000Z");
  });
});

describe("what is told", () => {
  test("is the same in the log, in the decision log, in memory and in the metrics", async () => {
    const running = await new Running()
      .start("user:web", 95)
      .start("user:db", 20)
      .passAndSettle(70 + 3 * 60);
    const decisions = [...running.process.scaler.decisions({ limit: 100 })].reverse();
    const { policy } = running.group ?? {};
    expect(policy).toMatchObject({ scale_up_threshold_percent: 90, scale_up_cooldown_seconds: 600 });
    expect(decisions).toEqual(running.disk.lines.map((line) => ({ ...line, policy })));
    expect(decisions.at(-1)).toHaveProperty(
      "text",
      expect.stringMatching(/^Cooling down .* for another 540 s/),
    );
    expect(
      running.disk.lines.map(({ time, group, decision, reason, clone, mode }) => [
        time.slice(11, 19),
        group,
        decision,
        reason,
        clone,
        mode,
      ]),
    ).toEqual([
      ["00:01:10", "db", "hold", "normal", null, "dry_run"],
      ["00:01:10", "web", "hold", "pending_up", null, "dry_run"],
      ["00:03:10", "web", "scale_up", "overloaded", "web-clone-1", "dry_run"],
      ["00:04:10", "web", "hold", "cooldown", null, "dry_run"],
    ]);
    expect(
      running.events.map(({ msg, level, group, decision, reason }) => [level, msg, group, decision, reason]),
    ).toEqual([
      ["info", "scaler holds", "db", "hold", "normal"],
      ["info", "scaler holds", "web", "hold", "pending_up"],
      ["info", "scale decision", "web", "scale_up", "overloaded"],
      ["info", "scaler holds", "web", "hold", "cooldown"],
    ]);
    expect(running.events[2]).toMatchObject({
      host: "h",
      path: "user",
      clone: "web-clone-1",
      average_percent: 95,
      average_for_up_percent: 95,
      clones: 0,
      scale_up_threshold_percent: 90,
      scale_up_trigger_ticks: 3,
      max_clones: 3,
    });
    expect(
      (await running.series('decisions_total{host="h",path="user",group="web"')).map((line) =>
        line.slice(-70),
      ),
    ).toEqual(
      expect.arrayContaining([
        expect.stringContaining('decision="scale_up",reason="overloaded",mode="dry_run"} 1'),
        expect.stringContaining('decision="hold",reason="pending_up",mode="dry_run"} 2'),
        expect.stringContaining('decision="hold",reason="cooldown",mode="dry_run"} 1'),
      ]),
    );
  });

  test("goes on after a restart without a word for holds that only went on", async () => {
    const running = await new Running().start("user:web", 50).passAndSettle(75);
    expect(running.disk.lines).toHaveLength(1);
    await running.restartProgram().passAndSettle(300);
    expect(running.disk.lines).toHaveLength(1);
    expect(running.decision).toBe("hold normal");
  });

  test("of groups that no policy matches is one line of the decision log, and none of the log", async () => {
    const running = await new Running().start(":db", 95).passAndSettle(300);
    expect(running.disk.lines).toMatchObject([{ group: "db", decision: "hold", reason: "no_policy" }]);
    expect(running.events).toEqual([]);
  });

  test("of a group that is gone goes from the metrics", async () => {
    const running = new Running(scalerConfig({ deathTimeoutMs: 90_000 }));
    await running.start("user:web", 50).start("user:db", 50).passAndSettle(80);
    expect(await running.series("paused")).toHaveLength(2);
    await running.stop("user:db").passAndSettle(200);
    expect(await running.series("paused")).toEqual([
      'albatross_scaler_paused{host="h",path="user",group="web"} 0',
    ]);
  });
});

describe("a group that has not been evaluated yet", () => {
  const counted = async (running: Running, group = "web") =>
    (await running.series("decisions_total")).filter((line) => line.includes(`group="${group}"`));
  const zeros = (group: string) =>
    [
      'decision="scale_up",reason="overloaded"',
      'decision="scale_up",reason="below_min"',
      'decision="scale_down",reason="underloaded"',
      'decision="scale_down",reason="above_max"',
    ].map(
      (labels) =>
        `albatross_scaler_decisions_total{host="h",path="user",group="${group}",${labels},mode="dry_run"} 0`,
    );

  test("has its scale decisions at 0 from the first scrape on, so that the first of them is an increase", async () => {
    const running = await new Running(scalerConfig({ scaleUpTriggerTicks: 1 }))
      .start("user:web", 95)
      .passAndSettle(20);
    running.start(":other", 95);
    expect(await running.series("decisions_total")).toEqual(zeros("web"));
    await running.passAndSettle(50);
    expect(running.decision).toBe("scale_up overloaded");
    expect((await counted(running))[0]).toMatch(/reason="overloaded",mode="dry_run"} 1$/);
    await running.start("user:late", 95).passAndSettle(20);
    expect(await counted(running, "late")).toEqual(zeros("late"));
    expect(await counted(running)).toHaveLength(4);
  });
});

describe("without any policy", () => {
  test("groups are looked at, and no file is written", async () => {
    const running = await new Running(scalerConfig({}, { policies: [] }))
      .start("user:web", 95)
      .passAndSettle(300);
    expect(running.decision).toBe("hold no_policy");
    expect(running.disk).toMatchObject({ text: null, lines: [] });
    expect(await running.series("decisions_total")).toEqual([]);
    expect(await running.series("tick_duration_seconds_count")).toEqual([
      "albatross_scaler_tick_duration_seconds_count 4",
    ]);
  });
});

describe("a state file that cannot be read", () => {
  test("keeps the scaler off until it can be: no decision is taken twice", async () => {
    const running = new Running().start("user:web", 95);
    expect((await running.next(5)).filter((decision) => decision.startsWith("scale_up"))).toHaveLength(1);
    const { text } = running.disk;
    running.disk.unreadable = "EMFILE: too many open files";
    running.events.length = 0;
    running.restartProgram();
    expect(await running.next(4)).toEqual(["-", "-", "-", "-"]);
    expect(running.disk.text).toBe(text);
    expect(await running.series("state_ok")).toEqual(["albatross_scaler_state_ok 0"]);
    running.disk.unreadable = null;
    expect(await running.next(4)).toEqual(["-", "hold cooldown", "hold cooldown", "hold cooldown"]);
    expect(await running.series("state_ok")).toEqual(["albatross_scaler_state_ok 1"]);
    expect(running.disk.lines.filter(({ decision }) => decision === "scale_up")).toHaveLength(1);
    expect(running.events.filter(({ level }) => level === "error")).toMatchObject([
      {
        msg: "scaler state cannot be read: nothing is scaled until it can",
        reason: "EMFILE: too many open files",
      },
    ]);
  });

  test("is not written at the end, either", async () => {
    const running = await new Running().start("user:web", 95).passAndSettle(130);
    const { text } = running.disk;
    running.disk.unreadable = "EIO";
    await running.restartProgram().passAndSettle(130);
    running.process.terminate();
    expect(running.disk.text).toBe(text);
  });
});

describe("the last decision's time", () => {
  test("outlives the program", async () => {
    const running = new Running().start("user:web", 95);
    await running.next(4);
    const told = async () =>
      (await running.series("last_decision_timestamp_seconds")).filter((line) => line.includes("scale_up"));
    const before = await told();
    expect(before).toHaveLength(1);
    await running.restartProgram().passAndSettle(POLL_S);
    expect(await told()).toEqual(before);
  });
});

describe("another host under the name of a target", () => {
  const steered = async () => {
    const running = new Running().start("user:web", 95);
    expect(await running.next(3)).toEqual(["-", "hold pending_up", "hold pending_up"]);
    return running;
  };

  test("is not steered by what is remembered of the one before: after a restart", async () => {
    const running = await steered();
    running.endpoint = "/run/another";
    running.restartProgram();
    expect(await running.next(3)).toEqual(["hold no_data", "hold pending_up", "hold pending_up"]);
  });

  test("is not steered by what is remembered of the one before: after a reload", async () => {
    const running = await steered();
    running.process.fleet.removeHost("h");
    running.process.scaler.forgetHost("h");
    expect(await running.next(3)).toEqual(["-", "hold pending_up", "hold pending_up"]);
  });

  test("is not told with what was said of the one before", async () => {
    const running = await steered();
    expect(await running.series("ticks")).toHaveLength(2);
    running.process.fleet.removeHost("h");
    running.process.scaler.forgetHost("h");
    expect(running.group).toBeNull();
    expect(await running.series("ticks")).toEqual([]);
  });

  test("is not told as one that the program before had heard", async () => {
    const running = await steered();
    running.process.fleet.removeHost("h");
    running.process.scaler.forgetHost("h");
    running.process.terminate();
    expect(JSON.parse(running.disk.text ?? "")).toMatchObject({ groups: [], members: [] });
  });
});

describe("another configuration", () => {
  test("pauses a group: it is evaluated on, with what would be decided, and nothing begins", async () => {
    const running = await new Running().start("user:web", 95).passAndSettle(70);
    expect(await running.next(1)).toEqual(["hold pending_up"]);
    running.reconfigure(scalerConfig({ paused: true }));
    const would = "hold paused (scale_up overloaded web-clone-1)";
    expect(await running.next(3)).toEqual([would, would, would]);
    expect(running.group).toMatchObject({ last_action: null, outstanding: null, high_ticks: 5 });
    expect(await running.series("paused")).toEqual([
      'albatross_scaler_paused{host="h",path="user",group="web"} 1',
    ]);
    running.reconfigure(scalerConfig());
    expect(await running.next(2)).toEqual(["scale_up overloaded", "hold cooldown"]);
  });

  test("keeps what is remembered", async () => {
    const running = await new Running().start("user:web", 95).passAndSettle(190);
    expect(running.decision).toBe("scale_up overloaded");
    running.reconfigure(scalerConfig({ cooldownPeriodMs: 120_000, scaleUpTriggerTicks: 1 }));
    expect(await running.next(3)).toEqual(["hold cooldown", "hold outstanding", "hold outstanding"]);
    expect(running.group).toMatchObject({ desired_clones: 1 });
  });

  test("may have another poll_interval", async () => {
    const running = await new Running().start("user:web", 95).passAndSettle(75);
    running.reconfigure(scalerConfig({}, { pollIntervalMs: 20_000 }));
    expect([(await running.passAndSettle(20)).decision, (await running.passAndSettle(20)).decision]).toEqual([
      "hold pending_up",
      "scale_up overloaded",
    ]);
  });

  test("may have other files, which are written from the next tick on", async () => {
    const running = await new Running().start("user:web", 95).passAndSettle(75);
    running.reconfigure(scalerConfig());
    running.reconfigure(scalerConfig({}, { stateFile: "other.json" }));
    expect(running.disk.opened).toEqual(["state.json", "other.json"]);
    running.disk.text = null;
    await running.passAndSettle(60);
    expect(running.disk.text).not.toBeNull();
    // a write to the one before may have been on its way
    await running.process.scaler.stop();
    expect(running.disk.flushed.sort()).toEqual(["other.json", "state.json"]);
  });
});

describe("wall time that is set back", () => {
  test("does not touch a cooldown of the running program", async () => {
    const running = await new Running(scalerConfig({ cooldownPeriodMs: 180_000 }))
      .start("user:web", 95)
      .passAndSettle(190);
    expect(running.decision).toBe("scale_up overloaded");
    running.clock.setWall(Date.parse("2020-01-01T00:00:00Z"));
    expect(await running.next(3)).toEqual(["hold cooldown", "hold cooldown", "hold pending_up"]);
  });

  test("lengthens a cooldown by less than its period over a restart", async () => {
    const running = await new Running(scalerConfig({ cooldownPeriodMs: 180_000 }))
      .start("user:web", 95)
      .passAndSettle(190);
    expect(await running.next(1)).toEqual(["hold cooldown"]);
    running.clock.setWall(Date.parse("2020-01-01T00:00:00Z"));
    running.restartProgram();
    const decisions = await (await running.passAndSettle(5)).next(6);
    expect(decisions.filter((decision) => decision === "hold cooldown")).toHaveLength(2);
    expect(decisions.at(-1)).toBe("hold outstanding");
  });
});
