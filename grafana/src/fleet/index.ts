/** All hosts and their VMs: is everything there, what is busy, what is large, how old is what is shown. */
import { dashboard, type Section } from "../shared/layout.ts";
import {
  busiest,
  busyGroups,
  freshness,
  groups,
  hostsUp,
  largest,
  oldestSample,
  restarts,
  vms,
} from "./overview.ts";
import { busiestGroups, cpuByPath, members, memoryByPath, network, restartsOverTime } from "./resources.ts";
import { allGroups, allVms, hosts, paths } from "./tables.ts";

const sections: readonly Section[] = [
  {
    title: "Hosts and paths",
    collapsed: false,
    lines: [
      {
        height: 8,
        panels: [
          [10, hosts],
          [14, paths],
        ],
      },
      {
        height: 8,
        panels: [
          [8, restartsOverTime],
          [8, members],
          [8, busiestGroups],
        ],
      },
    ],
  },
  { title: "All VMs", collapsed: true, lines: [{ height: 14, panels: [[24, allVms]] }] },
  { title: "All groups", collapsed: true, lines: [{ height: 12, panels: [[24, allGroups]] }] },
];

export const fleet = () =>
  dashboard({
    name: "fleet",
    title: "Albatross / Fleet",
    description:
      "All Albatross hosts and their unikernels and VMs: is everything there, what is busy, what is large.",
    shown: ["job", "instance", "host", "path", "group"],
    top: [
      {
        height: 4,
        panels: [
          [4, hostsUp],
          [4, vms],
          [4, groups],
          [4, busyGroups],
          [4, restarts],
          [4, oldestSample],
        ],
      },
      {
        height: 8,
        panels: [
          [8, busiest],
          [8, largest],
          [8, freshness],
        ],
      },
      {
        height: 8,
        panels: [
          [8, cpuByPath],
          [8, memoryByPath],
          [8, network],
        ],
      },
    ],
    sections,
  });
