/** Why a group did or did not scale: what was measured, against which bound, what was decided and why. */
import { annotation } from "../shared/annotations.ts";
import { dashboard, type Section } from "../shared/layout.ts";
import { BY_GROUP, GROUP_LEGEND, GROUPS } from "../shared/selectors.ts";
import { SCALED } from "../shared/states.ts";
import {
  actionDuration,
  actions,
  cloneHours,
  decisionsByReason,
  decisionsOverTime,
  outstanding,
  scaleDecisions,
  settings,
} from "./decisions.ts";
import {
  averages,
  clones,
  cooldown,
  cores,
  load,
  loadQueries,
  members,
  states,
  ticks,
  usage,
  why,
} from "./groups.ts";

const sections: readonly Section[] = [
  {
    title: "Decisions",
    collapsed: false,
    lines: [
      {
        height: 8,
        panels: [
          [16, outstanding],
          [8, cores],
        ],
      },
      {
        height: 8,
        panels: [
          [8, decisionsByReason],
          [8, decisionsOverTime],
          [8, scaleDecisions],
        ],
      },
      {
        height: 8,
        panels: [
          [8, actions],
          [8, actionDuration],
          [8, cloneHours],
        ],
      },
      {
        height: 8,
        panels: [
          [16, load],
          [8, loadQueries],
        ],
      },
      {
        height: 8,
        panels: [
          [8, cooldown],
          [8, members],
          [8, usage],
        ],
      },
    ],
  },
  {
    title: "Last decisions and pauses",
    collapsed: true,
    lines: [{ height: 8, panels: [[24, settings]] }],
  },
];

export const scaler = () =>
  dashboard({
    name: "scaler",
    title: "Albatross / Scaler",
    description:
      "Why did a group (not) scale? Every figure that its last evaluations looked at, and what they decided.",
    shown: ["job", "instance", "host", "path", "group"],
    top: [
      { height: 7, panels: [[24, why]] },
      { height: 6, panels: [[24, states]] },
      {
        height: 8,
        panels: [
          [12, averages],
          [6, ticks],
          [6, clones],
        ],
      },
    ],
    sections,
    annotations: [
      annotation({
        name: "Scale decisions",
        colour: "orange",
        expression: `sum by (${BY_GROUP}, decision, reason, mode) (increase(albatross_scaler_decisions_total{${GROUPS},${SCALED}}[$__rate_interval])) > 0`,
        title: "{{decision}}: {{reason}} ({{mode}})",
        text: GROUP_LEGEND,
        tags: ["decision", "reason"],
      }),
    ],
  });
