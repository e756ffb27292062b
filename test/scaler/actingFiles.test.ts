import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ScalerConfig } from "../../src/config/scaler.ts";
import { ImageCache } from "../../src/scaler/actions/images.ts";
import { parseRecord } from "../../src/scaler/actions/record.ts";
import { vm } from "../simulator/support.ts";
import { acting, Machine, Program, QUIET } from "./acting.ts";

/** A machine with one host on which `user:web` has too much to do. */
async function overloaded(): Promise<Machine> {
  const machine = new Machine();
  const web = vm("user:web", { percent: 150, shareLoadWithClones: true, imageBytes: 10_000 });
  await machine.addHost("h", { vms: [web] });
  return machine;
}

/** The images that are kept. */
function imagesOf({ folder }: Machine): string[] {
  const images = join(folder, "images");
  return existsSync(images) ? readdirSync(images) : [];
}

/** Has other images where the state file is `moved`. */
class Moving extends Program {
  override images(config = this.config) {
    const isMoved = config.stateFile === "moved";
    return isMoved ? new ImageCache(join(this.machine.folder, "moved"), QUIET) : super.images();
  }
}

describe("images", () => {
  test("are deleted after a reload by which their group does not act any more", async () => {
    const machine = await overloaded();
    const program = new Program(machine).start();
    await program.tells("create web-clone-1 verified done");
    await machine.pass(30);
    expect(imagesOf(machine)).toHaveLength(1);
    program.reconfigure(acting({ mode: "dry_run" }));
    await program.until("no image", () => imagesOf(machine).length === 0, 30);
    await program.stop();
  });

  test("of former primaries are deleted though another group has lost its primary", async () => {
    const machine = await overloaded();
    const { host } = machine.host();
    host.addVm({ name: "user:old-clone-1", load: 50, image: "old" });
    const program = new Program(machine).start();
    await program.tells("create web-clone-1 verified done");
    const [former] = imagesOf(machine);
    machine.replace("user:web", "new", 400);
    await program.tells("create web-clone-2 verified done");
    await program.until("one image", () => imagesOf(machine).length === 1, 60);
    expect(imagesOf(machine)).not.toContain(former);
    await program.stop();
  });

  test("do not stay in a folder from which the configuration moves them", async () => {
    const machine = await overloaded();
    const program = new Moving(machine, acting()).start();
    await program.tells("create web-clone-1 verified done");
    expect(imagesOf(machine)).toHaveLength(1);
    program.reconfigure(acting({}, { stateFile: "moved" }));
    await program.until("no image", () => imagesOf(machine).length === 0, 30);
    await program.stop();
  });

  test("stay in the folder to which the configuration moves them back", async () => {
    const machine = await overloaded();
    const program = new Moving(machine, acting()).start();
    await program.tells("create web-clone-1 verified done");
    program.reconfigure(acting({}, { stateFile: "moved" }));
    program.reconfigure(acting());
    await machine.pass(30);
    expect(imagesOf(machine)).toHaveLength(1);
    await program.stop();
  });
});

describe("the record", () => {
  test("does not grow while the state cannot be written", async () => {
    const machine = await overloaded();
    machine.isReadOnly.state = true;
    const program = new Program(machine).start();
    const failures = () => program.told.filter((one) => one === "create web-clone-1 failed record").length;
    await program.until("three failures", () => failures() === 3, 600);
    expect(parseRecord(machine.record ?? "")).toHaveLength(1);
    await program.stop();
  });

  test("that the configuration has moved is kept in the old place until the new one can be written", async () => {
    const machine = await overloaded();
    const moved = new Map<string, string>();
    let isWritable = false;
    class MovingRecord extends Program {
      override record(config: ScalerConfig, onOutcome: Parameters<Program["record"]>[1]) {
        const store = super.record(config, onOutcome);
        if (config.stateFile !== "moved") return store;
        const save: typeof store.save = async (pieces) => {
          if (isWritable) moved.set("record", [...pieces()].join(""));
          return isWritable;
        };
        return { ...store, save, path: "moved" };
      }
    }
    await machine.fault({ type: "vmmd_no_reply", command: "create", carriedOut: true });
    const program = new MovingRecord(machine, acting()).start();
    await program.tells("create web-clone-1 sent");
    program.reconfigure(acting({}, { stateFile: "moved" }));
    await machine.quiet();
    const open = () => parseRecord(machine.record ?? "").map(({ phase }) => phase);
    expect(open()).toEqual(["sent"]);
    isWritable = true;
    program.reconfigure(acting());
    program.reconfigure(acting({}, { stateFile: "moved" }));
    await machine.quiet();
    expect(open()).toEqual([]);
    expect(parseRecord(moved.get("record") ?? "").map(({ phase }) => phase)).toEqual(["sent"]);
    await program.kill();
  });
});

test("a decision that is over while the state is written is not sent, and stays over", async () => {
  const machine = await overloaded();
  let write = () => {};
  const written = new Promise<void>((resolve) => {
    write = resolve;
  });
  class Slow extends Program {
    override state(config: ScalerConfig, onOutcome: Parameters<Program["state"]>[1]) {
      const store = super.state(config, onOutcome);
      const save: typeof store.save = (pieces) => written.then(() => store.save(pieces));
      return { ...store, save };
    }
  }
  const program = new Slow(machine).start();
  await program.tells("create web-clone-1 planned");
  machine.load("user:web", 60);
  await machine.pass(30);
  write();
  await program.tells("create web-clone-1 abandoned overtaken");
  expect(machine.commands()).toEqual([]);
  await program.stop();
});
