import { describe, expect, test } from "vitest";
import { vm } from "../simulator/support.ts";
import { acting, Machine, type PolicyKeys, Program } from "./acting.ts";

/** A machine with one host on which `user:web` has this much to do. */
async function busy(percent = 150, keys: PolicyKeys = {}) {
  const machine = new Machine();
  await machine.addHost("h", {
    vms: [vm("user:web", { percent, shareLoadWithClones: true, imageBytes: 10_000 })],
  });
  return { machine, program: new Program(machine, acting(keys)).start() };
}

describe("a group that acts", () => {
  test("grows when it is overloaded, shares its load, shrinks when it is idle, and says so", async () => {
    const { machine, program } = await busy();
    await program.until("a clone", () => program.told.includes("create web-clone-1 verified done"));
    expect(machine.commands()).toEqual(["create user:web-clone-1"]);
    await program.until("its load", () => program.group()?.members.length === 2);
    await program.until("a shared load", () => (program.group()?.average_percent ?? 100) < 80);
    machine.host().host.setLoad("user:web", 10);
    await program.until("the clone's end", () => program.told.includes("destroy web-clone-1 verified done"));
    expect(machine.commands()).toEqual(["create user:web-clone-1", "destroy user:web-clone-1"]);
    expect(machine.host().host.vmNames).toEqual(["user:web"]);
    await program.stop();
  });
});
