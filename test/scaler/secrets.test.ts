import { expect, test } from "vitest";
import { ActingClient } from "../../src/client/acting.ts";
import { SocketDirectory } from "../../src/client/endpoint.ts";
import { systemClock } from "../../src/clock.ts";
import { cloneDefaults } from "../../src/config/clone.ts";
import { parseName } from "../../src/wire/names.ts";
import { render } from "../exporter/records.ts";
import { vm } from "../simulator/support.ts";
import { acting, Machine, Program } from "./acting.ts";

test("arguments and URLs of hooks go to a clone and a load balancer, and are in nothing that is kept or shown", async () => {
  const machine = new Machine();
  const inherited = ["--name=web", "--token=hunter2", "--ipv4=10.0.0.1/24"];
  const web = vm("user:web", { percent: 150, shareLoadWithClones: true, arguments: inherited });
  await machine.addHost("h", { vms: [web] });
  const hook = { url: "https://me:hunter2@balancer/hunter2?key=hunter2", timeoutMs: 1_000, waitMs: 0 };
  const given = ["--ipv4=10.0.0.{id+10}/24", "--password=hunter2"];
  const clone = { ...cloneDefaults, arguments: given, afterCreate: hook, beforeDestroy: hook };
  const program = new Program(machine, acting({ clone })).start();
  await program.tells("create web-clone-1 verified done");

  const { dir: socketDir } = machine.host();
  const endpoint = new SocketDirectory({ socketDir, os: "linux" });
  const client = new ActingClient({ endpoint, maxFrameBytes: 2 ** 20, clock: systemClock() });
  expect(await client.info(parseName("user:web-clone-1"))).toMatchObject({
    type: "success",
    value: { argv: ["--token=hunter2", "--ipv4=10.0.0.11/24", "--password=hunter2"] },
  });

  machine.load("user:web", 5);
  machine.hookAnswer = "it answers with status 503";
  await program.tells("destroy web-clone-1 failed hook");
  const shown = JSON.stringify([
    program.group(),
    program.actions,
    [...program.scaler.decisions({ limit: 1_000 })],
    await render(await program.scaler.families()),
    machine.lines,
    machine.events,
    [machine.state, machine.record],
  ]);
  expect(program.group()?.policy?.clone).toMatchObject({ arguments: ["<secret>", "<secret>"] });
  expect(shown).toContain("it answers with status 503");
  await program.stop();
  expect(shown).not.toContain("hunter2");
});
