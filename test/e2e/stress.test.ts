import { expect, test } from "vitest";
import { stress } from "../../scripts/stress/run.ts";

/** An excerpt of `npm run stress`, whose whole run takes ten minutes. */
test.concurrent.each([
  { seed: 1, kills: 0 },
  { seed: 2, kills: 6 },
])(
  "beside people and faults, killed $kills times: nothing is sent twice, no other clone removed, all is counted",
  async ({ seed, kills }) => {
    const said: string[] = [];
    const say = (line: string) => void said.push(line);
    const { wrong, counts } = await stress({ seed, kills, seconds: 20, program: "dist/main.js", say });
    expect(wrong, said.join("\n")).toEqual([]);
    expect(counts.get("create verified done")).toBeGreaterThan(0);
    expect(counts.get("destroy verified done")).toBeGreaterThan(0);
  },
  240_000,
);
