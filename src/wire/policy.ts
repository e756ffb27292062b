import { context, type DerReader, type DerWriter, Tag } from "./der.ts";
import { readIntegers, readTexts, writeIntegers, writeTexts } from "./lists.ts";
import type { Policy, PolicyCommand } from "./messages.ts";
import { writeTaggedNull } from "./tagged.ts";

export function readPolicy(reader: DerReader): Policy {
  const outer = reader.enter(Tag.sequence, "policy");
  const policy: Policy = {
    cpuids: readIntegers(reader, Tag.sequence, "policy cpuids"),
    unikernels: reader.integer("policy unikernels"),
    memory: reader.integer("policy memory"),
    block: reader.peek() === Tag.integer ? reader.integer("policy block") : null,
    bridges: readTexts(reader, "policy bridges"),
  };
  reader.leave(outer, "policy");
  return policy;
}

export function writePolicy(writer: DerWriter, policy: Policy): void {
  const outer = writer.open(Tag.sequence);
  writeIntegers(writer, Tag.sequence, policy.cpuids);
  writer.integer(policy.unikernels);
  writer.integer(policy.memory);
  if (policy.block !== null) writer.integer(policy.block);
  writeTexts(writer, policy.bridges);
  writer.close(outer);
}

/** Reads the policy command with this tag number; null when there is none. */
export function readPolicyCommand(reader: DerReader, number: number): PolicyCommand | null {
  switch (number) {
    case 0:
      reader.null("policy info");
      return { class: "policy", command: "info" };
    case 1:
      return { class: "policy", command: "add", policy: readPolicy(reader) };
    case 2:
      reader.null("policy remove");
      return { class: "policy", command: "remove" };
    default:
      return null;
  }
}

export function writePolicyCommand(writer: DerWriter, command: PolicyCommand): void {
  switch (command.command) {
    case "info":
      writeTaggedNull(writer, 0);
      break;
    case "add": {
      const outer = writer.open(context(1));
      writePolicy(writer, command.policy);
      writer.close(outer);
      break;
    }
    case "remove":
      writeTaggedNull(writer, 2);
      break;
  }
}
