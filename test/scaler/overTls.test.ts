import { rmSync } from "node:fs";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Order, Refusal } from "../../src/simulator/certificates.ts";
import { groupsQuery } from "../../src/web/groups.ts";
import { landingPage } from "../../src/web/page.ts";
import { parseName } from "../../src/wire/names.ts";
import { render, seriesOf } from "../exporter/records.ts";
import { vm } from "../simulator/support.ts";
import { issuerOf } from "../simulator/tlsClient.ts";
import { PemFolder, policyOf } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { readable, webDeps } from "../support/web.ts";
import { acting, Machine, Program } from "./acting.ts";

/** What the simulated endpoint makes of a create. */
const endpoint = vi.hoisted(() => ({ judge: (order: Order): Order | Refusal => order }));

vi.mock("../../src/simulator/certificates.ts", async (load) => {
  const real = await load<typeof import("../../src/simulator/certificates.ts")>();
  const orderOf: typeof real.orderOf = (...given) => {
    const order = real.orderOf(...given);
    return "why" in order || order.command.command !== "create" ? order : endpoint.judge(order);
  };
  return { ...real, orderOf };
});

afterEach(() => {
  endpoint.judge = (order) => order;
});

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
    machine.tls = await folder.leaves({ issuer, fromMs: 0 }, issuer);
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

describe("what the endpoint makes of a create stands in API, log, decision log, metric and page:", () => {
  const refused = (alert: number | null) => () => ({ why: "a test", alert });

  test.each<[string, (order: Order, machine: Machine) => Order | Refusal, string, string]>([
    [
      "alert 45",
      refused(45),
      "failed certificate",
      "h:1025 refuses the certificate as not valid now: by this machine's clock, NOW, all its certificates are: the clock here or that of the host is wrong",
    ],
    [
      "alert 42",
      refused(42),
      "failed certificate",
      "h:1025 does not accept the certificate (ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE): it trusts another CA than the CA of ca.pem",
    ],
    [
      "a close without a reason",
      refused(null),
      "failed unsent",
      "h:1025 closes the connection without a reason: only the endpoint's log says why; likely: albatrossd or the endpoint ended in the middle, or this Albatross is older than 2.7",
    ],
    [
      "a failure: albatrossd is down",
      (order, machine) => {
        rmSync(machine.host().vmmdPath);
        return order;
      },
      "failed unreachable",
      "h:1025 answers, but cannot reach albatrossd: is that running on the host?",
    ],
    [
      "a failure: albatrossd ends in the middle",
      (order, machine) => {
        machine.fault({ type: "vmmd_close", command: "create" });
        return order;
      },
      "lost no_reply",
      "albatrossd closes the connection without a reply: did it end in the middle?",
    ],
    [
      "a failure: more runs than the certificate's policy allows",
      (order) => ({ ...order, policies: [{ ...POLICY, policy: policyOf(0).policy }] }),
      "failed certificate",
      'albatrossd refuses the policy of issuer-user.pem for user: with "host [unikernel: user:]: command failed unikernel would exceed running unikernel limit set by policy to 0, ru',
    ],
    [
      "a failure: more would run than the policy allows",
      (order) => ({ ...order, policies: [{ ...POLICY, policy: policyOf(1).policy }] }),
      "failed quota",
      "maximum amount of unikernels (1) reached",
    ],
  ])("%s", async (_, judge, ended, text) => {
    const machine = await machineWith("user:web");
    endpoint.judge = (order) => judge(order, machine);
    const program = await running(machine);
    await program.tells(`create web-clone-1 ${ended}`);
    const [action] = program.actions;
    const bare = action?.text
      .replaceAll(`${machine.host().tlsFolder}/`, "")
      // newer OpenSSL has another name for the same alerts
      .replace("SSL/TLS_ALERT", "SSLV3_ALERT")
      .replace(/2026-\S+Z/, "NOW");
    expect(bare).toBe(text);
    const [outcome, reason] = ended.split(" ");
    const end = expect.objectContaining({ clone: "web-clone-1", phase: outcome, reason, text: action?.text });
    expect(machine.events).toContainEqual(end);
    expect(machine.lines).toContainEqual(end);
    const metrics = seriesOf(await render(await program.scaler.families()), "albatross_scaler_actions_total");
    const labels = `operation="create",outcome="${outcome}",reason="${reason}"`;
    expect(metrics).toContainEqual(expect.stringMatching(`${labels}} [1-9]`));
    const { text: page } = landingPage(webDeps({ scaler: program.scaler }).deps, groupsQuery({}));
    expect(readable(page)).toContain(`${outcome} create web-clone-1 (${reason}): ${action?.text}`);
    await program.stop();
  });
});
