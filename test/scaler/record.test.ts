import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createLogger } from "../../src/log.ts";
import {
  type ActionRecord,
  actionJson,
  parseRecord,
  RECORD_FILE,
  recordText,
} from "../../src/scaler/actions/record.ts";
import { OPEN_PHASES, OUTCOMES } from "../../src/scaler/rules/types.ts";
import { StateError, UnreadableState } from "../../src/scaler/state/savedState.ts";
import { WholeFile } from "../../src/scaler/state/stateFile.ts";
import { FakeClock } from "../support/fakeClock.ts";

const NOON = Date.parse("2026-01-01T12:00:00Z");

const ACTION: ActionRecord = {
  id: "one",
  host: "h",
  endpoint: "/run/albatross",
  path: "user",
  group: "web",
  operation: "create",
  clone: "web-clone-1",
  cloneId: 1,
  digest: "ab".repeat(32),
  startedMs: null,
  decision: {
    decision: "scale_up",
    reason: "overloaded",
    clone: "web-clone-1",
    cloneId: 1,
    sinceMs: NOON,
    step: 1,
    clonesThen: [],
  },
  tombstoneMs: null,
  phase: "sent",
  deadlineMs: NOON + 30_000,
  hooked: false,
  endedMs: null,
  reason: null,
  text: "",
};

const action: fc.Arbitrary<ActionRecord> = fc.record({
  id: fc.string({ minLength: 1 }),
  host: fc.string({ minLength: 1 }),
  endpoint: fc.string(),
  path: fc.string(),
  group: fc.constant("web"),
  operation: fc.constantFrom("create", "destroy"),
  clone: fc.constant("web-clone-3"),
  cloneId: fc.integer({ min: 1, max: 999_999_999 }),
  digest: fc.option(fc.constant("ab".repeat(32))),
  startedMs: fc.option(fc.integer()),
  decision: fc.constant(ACTION.decision),
  tombstoneMs: fc.option(fc.nat()),
  phase: fc.constantFrom(...OPEN_PHASES, ...OUTCOMES),
  deadlineMs: fc.option(fc.nat()),
  hooked: fc.boolean(),
  endedMs: fc.option(fc.nat()),
  reason: fc.option(fc.string()),
  text: fc.string(),
});

describe("the record's text", () => {
  test("is read as it was written", () => {
    fc.assert(fc.property(fc.array(action), (all) => void expect(parseRecord(recordText(all))).toEqual(all)));
  });

  test.each([
    ["", StateError, /^not JSON/],
    ["[]", StateError, /version undefined where this program reads 1/],
    ['{"version":1}', StateError, /^actions: /],
    [recordText([{ ...ACTION, cloneId: 0 }]), StateError, /^actions.0.clone_id: /],
    [recordText([ACTION]).slice(0, -9), StateError, /^not JSON/],
    ['{"version":2,"actions":[]}', UnreadableState, /version 2 of a later program/],
  ])("%j is refused", (text, error, words) => {
    expect(() => parseRecord(text)).toThrow(error);
    expect(() => parseRecord(text)).toThrow(words);
  });

  test("has neither an argument nor an image: what it may hold is listed", () => {
    expect(Object.keys(JSON.parse(recordText([ACTION])).actions[0])).toEqual([
      ...["id", "host", "endpoint", "path", "group", "operation", "clone", "clone_id", "digest"],
      ...["started_ms", "decision", "tombstone_ms", "phase", "deadline_ms", "hooked", "ended_ms"],
      ...["reason", "text"],
    ]);
  });
});

describe("the record's file", () => {
  let folder: string;
  let outcomes: string[];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "record-"));
    outcomes = [];
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function open(path = join(folder, "actions.json")): WholeFile<readonly ActionRecord[]> {
    const log = createLogger({ level: "error", format: "json" }, { write: () => undefined });
    const onOutcome = (outcome: string) => void outcomes.push(outcome);
    return new WholeFile({ ...RECORD_FILE, path, clock: new FakeClock(), log, onOutcome });
  }

  test("holds what was saved last, and whoever saves is told that it does", async () => {
    const file = open();
    expect(file.load()).toBeNull();
    const saved = [ACTION, { ...ACTION, id: "two" }].map((one) => file.save(() => [recordText([one])]));
    expect(await Promise.all(saved)).toEqual([true, true]);
    expect(open().load()).toMatchObject([{ id: "two" }]);
    expect(outcomes).toEqual(["written"]);
  });

  test("that cannot be written is told to whoever saves", async () => {
    writeFileSync(join(folder, "file"), "");
    const file = open(join(folder, "file", "actions.json"));
    expect(await file.save(() => [recordText([ACTION])])).toBe(false);
    expect(outcomes).toEqual(["failed"]);
  });

  test("that is damaged is set aside", () => {
    writeFileSync(join(folder, "actions.json"), '{"version":1,');
    expect(open().load()).toBeNull();
    expect(outcomes).toEqual(["damaged"]);
    expect(readdirSync(folder)).toEqual([expect.stringMatching(/^actions\.json\.damaged-/)]);
  });

  test("that cannot be read throws, untouched", () => {
    const path = join(folder, "actions.json");
    writeFileSync(path, '{"version":2,"actions":[]}');
    expect(() => open().load()).toThrow(UnreadableState);
    expect(readdirSync(folder)).toEqual(["actions.json"]);
  });
});

describe("an action as JSON", () => {
  test("tells of its decision, how far it is and by when that is over", () => {
    expect(actionJson(ACTION)).toEqual({
      time: "2026-01-01T12:00:00.000Z",
      id: "one",
      host: "h",
      path: "user",
      group: "web",
      operation: "create",
      clone: "web-clone-1",
      phase: "sent",
      outcome: null,
      reason: null,
      text: "",
      decision_time: "2026-01-01T12:00:00.000Z",
      deadline: "2026-01-01T12:00:30.000Z",
    });
  });

  test.each(OUTCOMES)("has the outcome %s once it has ended so", (phase) => {
    const ended = { ...ACTION, phase, endedMs: NOON + 1_000, reason: "done" };
    const time = "2026-01-01T12:00:01.000Z";
    expect(actionJson(ended)).toMatchObject({ time, phase, outcome: phase, reason: "done" });
  });
});
