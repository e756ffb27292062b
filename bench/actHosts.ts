/** The other side of the bench part `act`: simulated hosts in a process of their own, so that their memory is not measured. */
import { join } from "node:path";
import { systemClock } from "../src/clock.ts";
import { SimulatedHost } from "../src/simulator/host.ts";
import { vmSpec } from "../src/simulator/model.ts";
import { parseName } from "../src/wire/names.ts";
import { scenarioOf } from "../test/support/simulated.ts";

/** Each group is a primary whose load wants clones. */
export interface ActHosts {
  /** each host has a folder in it, by its name */
  readonly folder: string;
  readonly hosts: readonly string[];
  readonly groupsPerHost: number;
  readonly imageBytes: number;
}

const { folder, hosts, groupsPerHost, imageBytes }: ActHosts = JSON.parse(process.argv[2] ?? "{}");
for (const host of hosts) {
  const vms = Array.from({ length: groupsPerHost }, (_, group) =>
    vmSpec({
      name: parseName(`user:web${group}`),
      load: { type: "constant", percent: 1_000 },
      shareLoadWithClones: true,
      memoryMb: 1,
      cpuids: [group], // where many share a core they are starved, and more of them would not help
      image: "web",
      imageBytes,
    }),
  );
  const scenario = scenarioOf({ intervalMs: 1_000, os: "freebsd", vms });
  await new SimulatedHost(scenario, { socketDir: join(folder, host), clock: systemClock() }).start();
}
process.on("disconnect", () => process.exit());
process.send?.("ready");
