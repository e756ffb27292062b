/** Scenarios, and messages of albatrossd's clients, as tests make them. */
import { makeHeader } from "../../src/simulator/messages.ts";
import { rootPolicy, type Scenario } from "../../src/simulator/model.ts";
import type { Command, Header, InfoCommand, Int64, Message } from "../../src/wire/messages.ts";
import type { Name } from "../../src/wire/names.ts";

/** A Linux host of 2.7 at albatross-stats' default interval, with the given VMs and no timeline. */
export function scenarioOf(scenario: Partial<Scenario>): Scenario {
  return {
    intervalMs: 10_000,
    os: "linux",
    infoVersion: 19,
    kinfoMem: true,
    vmmStats: false,
    seed: 1,
    repeatEveryMs: null,
    policies: [rootPolicy()],
    blockDevices: [],
    vms: [],
    events: [],
    ...scenario,
  };
}

export function question(to: Name, sequenceNumber: Int64, command: Command): Message {
  return { header: makeHeader(to, sequenceNumber), payload: { type: "command", command } };
}

/** Asks for unikernel info; `old_info5` and `old_info4` are for daemons before 2.7. */
export function unikernelInfoCommand(
  to: Name,
  sequenceNumber: Int64 = 0,
  age: InfoCommand = "info",
): Message {
  return question(to, sequenceNumber, { class: "unikernel", command: age });
}

export function policyInfoCommand(to: Name, sequenceNumber: Int64 = 0): Message {
  return question(to, sequenceNumber, { class: "policy", command: "info" });
}

export function successEmpty(to: Header): Message {
  return { header: to, payload: { type: "success", result: "empty" } };
}
