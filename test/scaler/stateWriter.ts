/** A process that writes one state after the other to the file named by its argument, saying so, until it is killed. */
import { systemClock } from "../../src/clock.ts";
import { createLogger } from "../../src/log.ts";
import { FRESH_STATE } from "../../src/scaler/rules/types.ts";
import { NO_BASES } from "../../src/scaler/sources/fleet.ts";
import { STATE_FILE, statePieces } from "../../src/scaler/state/savedState.ts";
import { WholeFile } from "../../src/scaler/state/stateFile.ts";

const GROUPS = 3_000;

const clock = systemClock();
const file = new WholeFile({
  ...STATE_FILE,
  path: process.argv[2] ?? "",
  clock,
  log: createLogger({ level: "error", format: "json" }),
  onOutcome: (outcome) => {
    if (outcome !== "written") process.exit(outcome === "failed" ? 2 : 3);
  },
});

for (let round = 1; ; round++) {
  const groups = new Map(
    Array.from({ length: GROUPS }, (_, i) => {
      const group = {
        key: `web${i}`,
        host: "h",
        path: "user",
        group: `web${i}`,
        state: { ...FRESH_STATE, highTicks: round },
      };
      return [`web${i}`, group] as const;
    }),
  );
  const bases = { ...NO_BASES, tickUs: 0 };
  const snapshot = { nowUs: 0, wallMs: clock.wallMs(), hosts: [], vms: [], unheard: [] };
  file.save(function* () {
    for (const piece of statePieces({
      groups,
      targets: new Map(),
      fleet: { bases, snapshot },
      lastHold: () => null,
    })) {
      process.stdout.write(".");
      yield piece;
    }
  });
  await file.flush();
  process.stdout.write("\n");
}
