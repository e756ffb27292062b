import { Fleet } from "../../src/fleet/fleet.ts";
import type { VmWarning } from "../../src/fleet/hostVms.ts";
import type { ExpectedVm, FleetSnapshot, Group, MemberState, VmRecord } from "../../src/fleet/types.ts";
import type { Policy, Rusage, UnikernelInfo } from "../../src/wire/messages.ts";
import { parseName } from "../../src/wire/names.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { arrivingNow, makeInfo, makeStats } from "../support/stats.ts";

const HOST = "h";

/** A fleet with the design's defaults (interval 10 s, stale after 35 s, dead after 15 min), driven in seconds. */
export class TestFleet {
  readonly clock = new FakeClock();
  readonly warnings: VmWarning[] = [];
  /** hosts whose info was asked for, in order */
  readonly infoNeeded: string[] = [];
  /** full names of VMs that the scaler decided to remove */
  readonly givenUp = new Set<string>();
  readonly fleet: Fleet;
  intervalUs = 10e6;
  staleAfterS = 35;

  constructor({ deathTimeoutS = 900, hostCpus }: { deathTimeoutS?: number; hostCpus?: number } = {}) {
    this.fleet = new Fleet({
      clock: this.clock,
      deathTimeoutMs: deathTimeoutS * 1000,
      ...(hostCpus !== undefined && { hostCpus }),
      onWarning: (warning) => this.warnings.push(warning),
      needsInfo: (host) => this.infoNeeded.push(host),
      gaveUp: ({ fullName }) => this.givenUp.has(fullName),
    });
  }

  /** Moves on to `seconds` after the start. */
  at(seconds: number): this {
    this.clock.advance(seconds * 1000 - this.clock.nowUs() / 1000);
    return this;
  }

  /** The state file knows that this VM was alive: heard at the start, where `before` does not say otherwise. */
  expect(vm: string, before: Partial<ExpectedVm> = {}): this {
    this.fleet.expect(HOST, parseName(vm), {
      heardUs: 0,
      firstSeenUs: 0,
      startSeen: false,
      startedMs: null,
      cpuUs: null,
      pins: null,
      listed: false,
      missedInfos: 0,
      unlistedPolls: 0,
      ...before,
    });
    return this;
  }

  /** A sample arrives now: `cpuS` seconds of CPU time used so far. */
  sample(vm: string, cpuS: number, fields: Partial<Rusage> = {}, host = HOST): this {
    const stats = makeStats(Math.round(cpuS * 1e6), fields);
    const { intervalUs } = this;
    this.fleet.record({ host, name: parseName(vm), stats, ...arrivingNow(this.clock), intervalUs });
    return this;
  }

  /** Unikernel info answers now, listing these VMs; asked for just now or at `askedAtS`. */
  info(vms: Readonly<Record<string, Partial<UnikernelInfo>>>, askedAtS?: number): this {
    const entries = Object.entries(vms).map(([vm, info]) => ({ name: parseName(vm), info: makeInfo(info) }));
    const askedAtUs = askedAtS === undefined ? this.clock.nowUs() : askedAtS * 1e6;
    this.fleet.recordInfo(HOST, entries, askedAtUs);
    return this;
  }

  policies(policies: Readonly<Record<string, Partial<Policy>>>, host = HOST): this {
    const none: Policy = { cpuids: [], unikernels: 0, memory: 0, block: null, bridges: [] };
    const entries = Object.entries(policies).map(([path, policy]) => ({
      name: parseName(path),
      policy: { ...none, ...policy },
    }));
    this.fleet.recordPolicies(host, entries);
    return this;
  }

  snapshot(): FleetSnapshot {
    return this.fleet.snapshot({ staleAfterUs: () => this.staleAfterS * 1e6 });
  }

  find(vm: string): VmRecord | undefined {
    return this.snapshot().vms.find(({ fullName }) => fullName === vm);
  }

  /** The VM's record; throws where the VM is gone or was never known. */
  vm(vm: string): VmRecord {
    const record = this.find(vm);
    if (record === undefined) throw new Error(`${vm} is not in the fleet`);
    return record;
  }

  /** Steps of counters that could not be, by kind. */
  implausibleSteps(): Readonly<Record<string, number>> {
    return this.fleet.hosts()[0]?.implausible ?? {};
  }

  gauge(vm: string): number | null {
    return this.vm(vm).usagePercent;
  }

  state(vm: string): MemberState | "gone" {
    const { vms, states } = this.snapshot();
    return states[vms.findIndex(({ fullName }) => fullName === vm)] ?? "gone";
  }

  served(): string[] {
    return this.snapshot().served.map(({ fullName }) => fullName);
  }

  group(label: string): Group {
    const group = this.snapshot()
      .groups()
      .find((g) => g.group === label);
    if (group === undefined) throw new Error(`there is no group ${label}`);
    return group;
  }
}
