import type { CollectorName } from "../config/sections.ts";
import type { TargetConfig, TargetOs } from "../config/target.ts";
import { escapeLabelValue, type Family } from "../exposition/family.ts";
import {
  familyHead,
  type LabelDoc,
  type PlainTableRow,
  plainEmitter,
  type RowHead,
  type TableRow,
  tableFamily,
} from "../exposition/row.ts";
import type { VmIdentity, VmRecord } from "../fleet/types.ts";

/** What the wire leaves out and the configuration of the target says. */
export type HostFacts = Pick<TargetConfig, "os" | "pageSizeBytes">;

/** The help names the original field, in backquotes. */
interface RowMeta extends RowHead {
  /** measurement and field of albatross-influx that carry the same figure */
  readonly influx?: string;
  /** operating systems that leave the field at zero or fill it with something else */
  readonly unfilledOn?: readonly TargetOs[];
}

/** Metrics of the same things. `H` is what their values may ask of an item's host. */
export interface Table<T, H = HostFacts, R = TableRow<T, H>> {
  readonly title: string;
  readonly text?: string;
  /** of `exporter.collectors`; without one it is always exported */
  readonly collector?: CollectorName;
  /** those that each series has: the item's properties of these names */
  readonly labels: readonly LabelDoc[];
  readonly rows: readonly (RowMeta & R)[];
}

export type AnyTable = Table<never, never>;

/** Metrics of what a VM has several of; the last label tells them apart. */
export interface PartTable<P> extends Table<P, HostFacts, PlainTableRow<P, HostFacts>> {
  readonly partsOf: (vm: VmRecord) => readonly P[];
  /** `,device="service"` */
  readonly labelOf: (part: P) => string;
}

export const HOST_LABEL: LabelDoc = { name: "host", holds: "name of the target" };
export const PATH_LABEL: LabelDoc = { name: "path", holds: "`user`, `user:sub`; empty at the root" };
export const VM_LABELS: readonly LabelDoc[] = [
  HOST_LABEL,
  PATH_LABEL,
  { name: "vm", holds: "the VM's name without its path" },
];

/** The labels that every series of an item begins with: `host="h",path="user"`. */
export function itemLabels(table: Pick<AnyTable, "labels">, item: object): string {
  const pair = (name: string) => `${name}="${escapeLabelValue(Reflect.get(item, name))}"`;
  return table.labels.map(({ name }) => pair(name)).join(",");
}

export interface DuplicateCount {
  /** Series whose labels another of the same VM has; told while a family is written. */
  duplicateSeries(series: number): void;
}

/** Makes families of the VMs of one scrape. `unfilledFields`: export fields that the host's system does not fill, too. */
export function vmFamilies(
  vms: readonly VmRecord[],
  targets: readonly TargetConfig[],
  unfilledFields: boolean,
) {
  const factsOf = factsFrom(targets);
  const contextOf = ({ host }: VmRecord) => factsOf(host);
  // by index: a look into an array is cheaper than one into the map, and there are fifty for each VM
  const labels: Uint8Array[] = [];
  const labelsOf = ({ identity }: VmRecord, index: number) => (labels[index] ??= vmLabels(identity));

  /** The family without the VMs of hosts whose operating system leaves the field unfilled. */
  const filled = ({ unfilledOn }: RowMeta, family: Family<VmRecord>): Family<VmRecord> => {
    if (unfilledFields || unfilledOn === undefined) return family;
    return {
      ...family,
      emit: (vm, out, index) => {
        if (!unfilledOn.includes(contextOf(vm).os)) family.emit(vm, out, index);
      },
    };
  };

  return {
    of: ({ rows }: Table<VmRecord>): Family<VmRecord>[] =>
      rows.map((row) => filled(row, tableFamily(row, vms, { labelsOf, contextOf }))),

    /** The same for each part of each VM. Of equal label sets within one VM the first wins. */
    ofParts: <P>({ rows, partsOf, labelOf }: PartTable<P>, counts: DuplicateCount): Family<VmRecord>[] =>
      rows.map((row) => {
        const emitPart = plainEmitter(row);
        const emit: Family<VmRecord>["emit"] = (vm, out, index) => {
          const parts = partsOf(vm);
          const seen = parts.length > 1 ? new Set<string>() : null;
          for (const part of parts) {
            const label = labelOf(part);
            if (seen?.has(label)) counts.duplicateSeries(1);
            else emitPart(part, labelsOf(vm, index), label, contextOf(vm), out);
            seen?.add(label);
          }
        };
        return filled(row, { ...familyHead(row), items: vms, emit });
      }),
  };
}

/** A target that the configuration no longer has may still have VMs for a moment after a reload. */
const UNKNOWN_HOST: HostFacts = { os: "linux", pageSizeBytes: 4096 };

/** What the configuration says of a host. VMs are ordered by host: nearly every call asks for the one before. */
export function factsFrom(targets: readonly TargetConfig[]): (host: string) => HostFacts {
  const byHost = new Map<string, HostFacts>(targets.map((target) => [target.name, target]));
  let lastHost: string | null = null;
  let last = UNKNOWN_HOST;
  return (host) => {
    if (host !== lastHost) {
      lastHost = host;
      last = byHost.get(host) ?? UNKNOWN_HOST;
    }
    return last;
  };
}

const madeLabels = new WeakMap<VmIdentity, Buffer>();

/** `host="h",path="user",vm="web"` as bytes, made once per VM: it begins fifty series. */
export function vmLabels(identity: VmIdentity): Buffer {
  const made = madeLabels.get(identity);
  if (made !== undefined) return made;
  const labels = Buffer.from(itemLabels({ labels: VM_LABELS }, identity));
  madeLabels.set(identity, labels);
  return labels;
}

/** Far more names of devices and counters than hosts have; a hostile peer may invent more. */
const MAX_CACHED = 10_000;

/** Makes `,name="value"`, escaped, of text from the wire; once for each of the few that come again and again. */
export function labelMaker(name: string): (value: string) => string {
  const made = new Map<string, string>();
  return (value) => {
    const known = made.get(value);
    if (known !== undefined) return known;
    const text = `,${name}="${escapeLabelValue(value)}"`;
    if (made.size >= MAX_CACHED) made.clear();
    made.set(value, text);
    return text;
  };
}
