import { type DerReader, Tag } from "./der.ts";
import type { DerWriter } from "./derWriter.ts";
import { readIntegers, readTexts, writeIntegers, writeTexts } from "./lists.ts";
import type { Policy } from "./messages.ts";

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
