import type { Scenario, ScenarioAction, VmSpec } from "./model.ts";

/** What happens at one time of the timeline: an event of the scenario, or what a VM's own times say. */
export interface TimelineEntry {
  /** Milliseconds since the timeline's (re)start. */
  readonly atMs: number;
  readonly action: ScenarioAction | { readonly type: "start"; readonly spec: VmSpec };
}

/**
 * The events of one pass through the scenario in the order of their times; of those at one time the VMs' own come
 * first. VMs that are there from the beginning are not in it.
 */
export function timelineOf(scenario: Scenario): readonly TimelineEntry[] {
  const entries: TimelineEntry[] = scenario.vms.flatMap(entriesOfVm);
  entries.push(...scenario.events);
  const endMs = scenario.repeatEveryMs ?? Number.POSITIVE_INFINITY;
  return entries.filter((entry) => entry.atMs < endMs).sort((a, b) => a.atMs - b.atMs);
}

function entriesOfVm(spec: VmSpec): TimelineEntry[] {
  const { name } = spec;
  const entries: TimelineEntry[] = [];
  if (spec.startAtMs > 0) entries.push({ atMs: spec.startAtMs, action: { type: "start", spec } });
  for (const atMs of spec.crashesAtMs) entries.push({ atMs, action: { type: "crash", name } });
  for (const atMs of spec.restartsAtMs) entries.push({ atMs, action: { type: "restart", name } });
  if (spec.stopAtMs !== null) entries.push({ atMs: spec.stopAtMs, action: { type: "destroy", name } });
  return entries;
}
