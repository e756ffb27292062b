/** The checks that albatrossd 2.7.2 makes before it starts a unikernel, in its order and words. */
import { inflateSync } from "node:zlib";
import type { NamedPolicy, Policy } from "../wire/messages.ts";
import { formatName, type Name, pathText, subscriptionCovers } from "../wire/names.ts";
import { type Devices, inspectImage } from "./image.ts";
import type { Config, Scenario } from "./model.ts";
import type { SimulatedVm } from "./vm.ts";

/** Longest image that a zlib stream may become. */
const MAX_IMAGE_BYTES = 256 * 1_048_576;

/** Why the policy of exactly this path (none: no reason) leaves no room among these VMs, or null. */
export function policyRefusal(
  name: Name,
  config: Config,
  policies: readonly NamedPolicy[],
  vms: Iterable<SimulatedVm>,
): string | null {
  const policy = policies.find((one) => pathText(one.name.path) === pathText(name.path))?.policy;
  if (policy === undefined) return null;
  const counted = countedBy(name, vms);
  if (counted.length >= policy.unikernels)
    return `maximum amount of unikernels (${policy.unikernels}) reached`;
  const used = counted.reduce((sum, vm) => sum + vm.spec.memoryMb, 0);
  if (used + Number(config.memory) > policy.memory)
    return `maximum allowed memory (${policy.memory}, used ${used}) would be exceeded (requesting ${config.memory})`;
  const cpuids = config.cpuids.filter((cpuid) => !policy.cpuids.includes(cpuid));
  if (cpuids.length > 0) return `CPUids ${cpuids.join(", ")} are not allowed by policy`;
  const bridges = config.bridges.map(hostBridge).filter((bridge) => !policy.bridges.includes(bridge));
  return bridges.length > 0 ? `bridges ${bridges.join(", ")} not allowed by policy` : null;
}

/** Why the policy cannot be added, or null: only more unikernels than it allows were measured. */
export function additionRefusal(name: Name, policy: Policy, vms: Iterable<SimulatedVm>): string | null {
  const running = countedBy(name, vms).length;
  if (running <= policy.unikernels) return null;
  return `unikernel would exceed running unikernel limit set by policy to ${policy.unikernels}, running ${running}`;
}

/** Sub paths have policies of their own, and count here all the same. */
function countedBy({ path }: Name, vms: Iterable<SimulatedVm>): readonly SimulatedVm[] {
  return [...vms].filter((vm) => subscriptionCovers({ path, label: null }, vm.spec.name));
}

/** What comes after the policy: the image uncompressed, why there is no start, or why that was albatrossd's end. */
export type Opened = { readonly image: Buffer } | { readonly failure: string } | { readonly death: string };

/** Looks for the block devices and into the image. */
export function openImage(
  { path }: Name,
  config: Config,
  { blockDevices }: Scenario,
  vms: Iterable<SimulatedVm>,
): Opened {
  const wanted = config.blockDevices.map((block) => hostBlockDevice(path, block));
  const inUse = new Set([...vms].flatMap((vm) => vm.hostBlocks));
  for (const device of wanted) {
    if (!blockDevices.some(({ name }) => formatName(name) === device))
      return { failure: `block device ${device} not found` };
    if (inUse.has(device)) return { failure: `block device ${device} already in use` };
  }
  // The simulator starts solo5 only, as albatrossd does on Linux.
  if (config.typ === "bhyve") return { failure: "couldn't find initial block device" };
  const image = uncompressed(config);
  if (image === null) return { failure: "failed to uncompress: Invalid Zlib header" };
  const found = inspectImage(image);
  if (found === "fatal") return { death: `an image of ${image.length} bytes was to be created` };
  if (found === "no ELF") return { failure: "error during ELF parsing" };
  const failure = manifestRefusal(config, found);
  return failure === null ? { image } : { failure };
}

function manifestRefusal(config: Config, { net, block }: Devices): string | null {
  const present = [...block.map((name) => `block "${name}"`), ...net.map((name) => `net "${name}"`)];
  const mismatch = (what: string) =>
    `specified ${what} does not match with the manifest. Devices present in manifest: ${present.join(", ")}`;
  if (!sameNames(config.bridges, net)) return mismatch("bridge(s)");
  return sameNames(config.blockDevices, block) ? null : mismatch("block device(s)");
}

function sameNames(devices: readonly { readonly name: string }[], names: readonly string[]): boolean {
  const given = devices.map(({ name }) => name).sort();
  return given.join("\0") === [...names].sort().join("\0");
}

/** A bridge or a block device that is not named is the host's of the same name. */
export function hostBridge({ name, bridge }: Config["bridges"][number]): string {
  return bridge ?? name;
}

/** Full name of the block device on the host. */
export function hostBlockDevice(
  path: readonly string[],
  { name, device }: Config["blockDevices"][number],
): string {
  return formatName({ path, label: device ?? name });
}

/** A copy of the image, which is a view of the request; null where it does not uncompress. */
function uncompressed({ compressed, image }: Config): Buffer | null {
  if (!compressed) return Buffer.from(image);
  try {
    return inflateSync(image, { maxOutputLength: MAX_IMAGE_BYTES });
  } catch {
    return null;
  }
}
