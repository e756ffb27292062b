/** The exporter itself: does it hear from every host, does it answer in time, is it well. */
import { annotation } from "../shared/annotations.ts";
import { dashboard, type Section } from "../shared/layout.ts";
import { EXPORTERS } from "../shared/selectors.ts";
import { builds, configuration, descriptors, exportersUp, loopDelay, memory, processCpu } from "./process.ts";
import { leftOut, losses, scrapeDuration, scrapeSize, scrapes } from "./scrapes.ts";
import {
  age,
  bytes,
  certificates,
  connections,
  decodeErrors,
  decodeErrorsNow,
  displaced,
  messages,
  receiving,
  states,
} from "./subscriptions.ts";
import { stateFile, tickAge, tickDuration, tickLag } from "./ticks.ts";

const sections: readonly Section[] = [
  {
    title: "Connections",
    collapsed: false,
    lines: [
      {
        height: 8,
        panels: [
          [6, connections],
          [6, decodeErrors],
          [6, bytes],
          [6, certificates],
        ],
      },
    ],
  },
  {
    title: "The scaler's ticks",
    collapsed: false,
    lines: [
      {
        height: 8,
        panels: [
          [6, tickLag],
          [6, tickDuration],
          [6, tickAge],
          [6, stateFile],
        ],
      },
    ],
  },
  {
    title: "Scrapes",
    collapsed: true,
    lines: [
      {
        height: 8,
        panels: [
          [8, scrapeSize],
          [8, scrapes],
          [8, losses],
        ],
      },
    ],
  },
  {
    title: "Process",
    collapsed: true,
    lines: [
      {
        height: 8,
        panels: [
          [8, processCpu],
          [6, descriptors],
          [10, builds],
        ],
      },
    ],
  },
];

export const exporter = () =>
  dashboard({
    name: "exporter",
    title: "Albatross / Exporter",
    description: "The exporters themselves: can the figures of the other dashboards be trusted?",
    shown: ["job", "instance", "host"],
    top: [
      {
        height: 4,
        panels: [
          [4, exportersUp],
          [4, receiving],
          [4, displaced],
          [4, decodeErrorsNow],
          [4, configuration],
          [4, leftOut],
        ],
      },
      {
        height: 8,
        panels: [
          [12, states],
          [6, messages],
          [6, age],
        ],
      },
      {
        height: 8,
        panels: [
          [8, scrapeDuration],
          [8, loopDelay],
          [8, memory],
        ],
      },
    ],
    sections,
    annotations: [
      annotation({
        name: "Configuration taken",
        colour: "blue",
        expression: `changes(albatross_exporter_config_last_reload_success_timestamp_seconds{${EXPORTERS}}[$__rate_interval]) > 0`,
        title: "configuration taken",
        text: "{{instance}}",
        tags: ["instance"],
      }),
    ],
  });
