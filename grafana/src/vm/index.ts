/** One VM in full, or the few that are chosen beside each other. */
import { annotation } from "../shared/annotations.ts";
import { dashboard, type Section } from "../shared/layout.ts";
import { VM_LEGEND, VMS } from "../shared/selectors.ts";
import { info, membership, restarts, runtime } from "./facts.ts";
import { devices, losses, network, packets, queue } from "./network.ts";
import { memoryIntegral, memoryKinds, monitor, operations } from "./process.ts";
import {
  cpu,
  cpuNow,
  faults,
  lastSample,
  memory,
  memoryNow,
  memoryOfLimit,
  restartsNow,
  switches,
  upSince,
} from "./usage.ts";

const sections: readonly Section[] = [
  {
    title: "What it is, start and restarts",
    collapsed: false,
    lines: [
      {
        height: 6,
        panels: [
          [15, info],
          [9, membership],
        ],
      },
      {
        height: 7,
        panels: [
          [12, restarts],
          [12, runtime],
        ],
      },
    ],
  },
  {
    title: "Network in detail",
    collapsed: true,
    lines: [
      {
        height: 8,
        panels: [
          [12, packets],
          [12, losses],
        ],
      },
      {
        height: 8,
        panels: [
          [12, queue],
          [12, devices],
        ],
      },
    ],
  },
  {
    title: "Memory in detail",
    collapsed: true,
    lines: [
      {
        height: 8,
        panels: [
          [12, memoryKinds],
          [12, memoryIntegral],
        ],
      },
    ],
  },
  {
    title: "Process and monitor",
    collapsed: true,
    lines: [
      {
        height: 8,
        panels: [
          [12, operations],
          [12, monitor],
        ],
      },
    ],
  },
];

export const vm = () =>
  dashboard({
    name: "vm",
    title: "Albatross / VM",
    description:
      "One unikernel or VM in full. With several chosen, such as all of a group, they stand beside each other.",
    shown: ["job", "instance", "host", "path", "group", "vm"],
    top: [
      {
        height: 4,
        panels: [
          [4, cpuNow],
          [4, memoryNow],
          [4, memoryOfLimit],
          [4, upSince],
          [4, restartsNow],
          [4, lastSample],
        ],
      },
      {
        height: 8,
        panels: [
          [12, cpu],
          [12, memory],
        ],
      },
      {
        height: 8,
        panels: [
          [12, network],
          [6, faults],
          [6, switches],
        ],
      },
    ],
    sections,
    annotations: [
      annotation({
        name: "Restarts",
        colour: "red",
        expression: `increase(albatross_vm_restarts_total{${VMS}}[$__rate_interval]) > 0`,
        title: "restart",
        text: VM_LEGEND,
        tags: ["vm"],
      }),
    ],
  });
