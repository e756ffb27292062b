import { describe, expect, test } from "vitest";
import { parseName } from "../../src/wire/names.ts";
import { vm } from "../simulator/support.ts";
import { issuerOf } from "../simulator/tlsClient.ts";
import { INFO, make, PemFolder, POLICY_INFO, policyOf, SUBSCRIBE } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { acting, Machine, Program } from "./acting.ts";

const POLICY = { name: parseName("user:"), policy: policyOf(4, 4096).policy };

async function machineWith(name: string): Promise<Machine> {
  const machine = new Machine();
  const vms = [
    vm(name, { percent: 150, shareLoadWithClones: true, imageBytes: 200_000, arguments: ["--secret=x"] }),
  ];
  await machine.addHost("h", { vms, policies: [POLICY] }, { hasTls: true });
  return machine;
}

async function running(machine: Machine): Promise<Program> {
  const program = new Program(machine, acting({})).start();
  await eventually("the subscription", () => program.isUp);
  return program;
}

describe("a group on a host that is reached by TLS", () => {
  test("grows and shrinks", async () => {
    const machine = await machineWith("user:web");
    const program = await running(machine);
    await program.until("a clone", () => program.told.includes("create web-clone-1 verified done"));
    machine.load("user:web", 5);
    await program.until("the clone's end", () => program.told.includes("destroy web-clone-1 verified done"));
    const commands = machine.commands().filter((command) => !command.startsWith("policy_add"));
    expect(commands).toEqual(["create user:web-clone-1", "destroy user:web-clone-1"]);
    const log = JSON.stringify([machine.events, machine.lines]);
    expect(log).not.toMatch(/--secret|BEGIN|PRIVATE/);
    await program.stop();
  });

  test("is left alone where certificates made beforehand only read", async () => {
    const machine = await machineWith("user:web");
    const folder = new PemFolder();
    const issuer = await issuerOf(machine.host(), "issuer-user");
    const leaf = async (name: string, command: typeof INFO) =>
      folder.holder(name, await make(".", { issuer, command, isCa: false, fromMs: 0 }), issuer);
    const entry = {
      subscribe: await leaf("subscribe", SUBSCRIBE),
      info: await leaf("info", INFO),
      policy: await leaf("policy", POLICY_INFO),
    };
    machine.tls = { issuer: null, certificates: [entry] };
    const program = await running(machine);
    await program.until("the refusal", () => program.told.includes("create web-clone-1 refused read_only"));
    expect(program.actions[0]?.text).toBe("certificates made beforehand only read: to act takes an issuer");
    expect(machine.commands().filter((command) => !command.startsWith("policy_add"))).toEqual([]);
    await program.stop();
    folder.remove();
  });

  test("is left alone where another path's issuer is all there is", async () => {
    const machine = await machineWith("user:web");
    const [host] = [machine.host()];
    machine.tls = { issuer: { certificate: `${host.tlsFolder}/ca.pem`, key: `${host.tlsFolder}/ca.key` } };
    const program = await running(machine);
    await program.until("the refusal", () => program.told.includes("create web-clone-1 refused path"));
    expect(program.actions[0]?.text).toMatch(
      /ca\.pem is for : and for names of exactly that path, such as :web$/,
    );
    await program.stop();
  });
});
