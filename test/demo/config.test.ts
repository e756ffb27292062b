import { expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { demoConfig } from "../../src/demo/config.ts";

test.each([
  ["its sockets", null],
  ["TLS", "127.0.0.1:1025"],
])(
  "the demo's configuration is right by %s, with nothing to warn of even where the stats interval is written down",
  (_, tlsAddress) => {
    const text = demoConfig('/tmp/a "folder"', 10_042, tlsAddress);
    const learnt = loadConfig("demo.yaml", text);
    expect(learnt).toMatchObject({ ok: true, warnings: [] });
    const written = loadConfig("demo.yaml", text.replace("os: linux", "os: linux, stats_interval: 1s"));
    expect(written).toMatchObject({ ok: true, warnings: [] });
  },
);

test("whatever the scaler writes goes where the demo cleans up", () => {
  const loaded = loadConfig("demo.yaml", demoConfig("/tmp/demo", 0, null));
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const { stateFile, decisionLog } = loaded.config.scaler;
  expect([stateFile, decisionLog]).toEqual(["/tmp/demo/scaler-state.json", "/tmp/demo/decisions.ndjson"]);
});
