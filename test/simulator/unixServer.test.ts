import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { SimulatedHost } from "../../src/simulator/host.ts";
import { eventually } from "../support/eventually.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { scenarioOf } from "../support/simulated.ts";
import { socketDir, startHost } from "./support.ts";

function hostAt(dir: string): SimulatedHost {
  return new SimulatedHost(scenarioOf({}), { socketDir: dir, clock: new FakeClock() });
}

describe("a host's sockets", () => {
  test("are refused when somebody listens on one of them, which keeps working; nothing is left behind", async () => {
    const dir = await socketDir();
    const other = createServer().listen(join(dir, "vmmd.sock"));
    await once(other, "listening");
    await expect(hostAt(dir).start()).rejects.toThrow(
      `${dir}/vmmd.sock: somebody is listening there already`,
    );
    expect(existsSync(join(dir, "stat.sock"))).toBe(false);
    expect(existsSync(join(dir, "vmmd.sock"))).toBe(true);
    await new Promise((resolve) => other.close(resolve));
  });

  test("replace those that a killed process has left", { tags: ["process"] }, async () => {
    const dir = await socketDir();
    const path = join(dir, "stat.sock");
    const script = `require("node:net").createServer().listen(${JSON.stringify(path)})`;
    const child = spawn(process.execPath, ["-e", script]);
    await eventually("the other process to listen", () => existsSync(path));
    child.kill("SIGKILL");
    await once(child, "exit");
    const host = hostAt(dir);
    await host.start();
    await host.stop();
    expect(existsSync(path)).toBe(false);
  });

  test("do not replace a file that is no socket", async () => {
    const dir = await socketDir();
    writeFileSync(join(dir, "stat.sock"), "mine");
    await expect(hostAt(dir).start()).rejects.toThrow(`${dir}/stat.sock exists and is not a socket`);
  });

  test("are refused where their path is longer than a socket's may be", async () => {
    const dir = join(await socketDir(), "x".repeat(100));
    await expect(hostAt(dir).start()).rejects.toThrow("a socket's path has at most 107 bytes");
  });

  test("are made anew when the host starts again, with its time back at zero", async () => {
    const { host, clock } = await startHost();
    host.addVm({ name: "user:late", load: 10 });
    clock.advance(5_000);
    await host.stop();
    await host.start();
    expect(host.vmNames).toEqual([]);
  });
});
