import { describe } from "vitest";
import { holdsFor, MINUTE, ours } from "./rules.ts";

const DUE_UP = { highTicks: 2 };
const DUE_DOWN = { lowTicks: 4 };

describe("8. scaling up", () => {
  const state = DUE_UP;
  /** a group of a long name */
  const called = (group: string, ...ids: readonly number[]) => ({
    group,
    members: ids.map((cloneId) => ({
      vm: "w",
      cloneId,
      state: "fresh" as const,
      usagePercent: 95,
      starved: false,
    })),
  });
  const [w55, w56] = ["w".repeat(55), "w".repeat(56)];
  holdsFor`
    one evaluation short of the trigger                                | 0:95                | hold pending_up                  | 2 0 | ${{ state: { highTicks: 1 } }}
    at the trigger                                                     | 0:95                | scale_up overloaded web-clone-1  | 0 0 | ${{ state }}
    at the first high evaluation with a trigger of 1                   | 0:95                | scale_up overloaded web-clone-1  | 0 0 | ${{ policy: { scaleUpTriggerTicks: 1 } }}
    at max_clones, counters kept                                       | 0:95 1:95 2:95 3:95 | hold at_max                      | 3 0 | ${{ state }}
    max_clones 0 allows none                                           | 0:95                | hold at_max                      | 3 0 | ${{ policy: { maxClones: 0 }, state }}
    silent clones count towards max_clones                             | 0:95 1:silent       | hold at_max                      | 3 0 | ${{ policy: { maxClones: 1 }, state }}
    one below max_clones                                               | 0:95 1:95 2:95      | scale_up overloaded web-clone-3  | 0 0 | ${{ state }}
    the id after the highest, whatever gaps there are                  | 0:95 2:95 7:95      | scale_up overloaded web-clone-8  | 0 0 | ${{ state }}
    ids are numbers, not text: 10 comes after 9                        | 0:95 9:95 10:95     | scale_up overloaded web-clone-11 | 0 0 | ${{ state }}
    the id of a silent clone is taken                                  | 0:95 4:silent       | scale_up overloaded web-clone-5  | 0 0 | ${{ state }}
    so is that of a tombstone                                          | 0:95 1:95           | scale_up overloaded web-clone-6  | 0 0 | ${{ state: { ...state, tombstones: [{ cloneId: 5, untilMs: 60 * MINUTE + 1 }] } }}
    until the tombstone is over                                        | 0:95 1:95           | scale_up overloaded web-clone-2  | 0 0 | ${{ state: { ...state, tombstones: [{ cloneId: 5, untilMs: 60 * MINUTE }] } }}
    a name of 63 characters is one                                     | 0:95                | scale_up overloaded ${w55}-clone-1 | 0 0 | ${{ facts: called(w55, 0), state }}
    one of 64 is too long                                              | 0:95                | hold no_clone_name               | 3 0 | ${{ facts: called(w56, 0), state }}
    the id makes the difference, too                                   | 0:95 9:95           | hold no_clone_name               | 3 0 | ${{ facts: called(w55, 0, 9), state: { ...state, knownClones: [9] } }}
    after id 999999999 there is no name that is read back as a clone's | 0:95 999999999:95   | hold no_clone_name               | 3 0 | ${{ state }}
    the host's scale-ups of this tick are used up                      | 0:95                | hold host_limit                  | 3 0 | ${{ state, clonesLeft: 0 }}
    that of a clone that only info lists is taken, too                 | 0:95 1:95           | scale_up overloaded web-clone-5  | 0 0 | ${{ facts: { highestListedId: 4 }, state }}
    a name that is too long comes before the host's limit              | 0:95                | hold no_clone_name               | 3 0 | ${{ facts: called(w56, 0), state, clonesLeft: 0 }}
  `;
});

describe("9. scaling down", () => {
  const state = DUE_DOWN;
  holdsFor`
    one evaluation short of the trigger                              | 0:10 1:10 2:10              | hold pending_down                   | 0 4 | ${{ state: { lowTicks: 3 } }}
    the clone with the highest id                                    | 0:10 1:10 2:10              | scale_down underloaded web-clone-2  | 0 0 | ${{ state }}
    the highest as a number: 10, not 9                               | 0:10 9:10 10:10             | scale_down underloaded web-clone-10 | 0 0 | ${{ state }}
    a silent clone first                                             | 0:10 1:silent 2:10          | scale_down underloaded web-clone-1  | 0 0 | ${{ state }}
    of two silent ones the higher                                    | 0:10 1:silent 2:silent 3:10 | scale_down underloaded web-clone-2  | 0 0 | ${{ state }}
    a silent clone, though then only the primary is measured         | 0:39 1:silent               | scale_down underloaded web-clone-1  | 0 0 | ${{ state }}
    not the only member that is measured                             | 0:silent 1:39               | hold would_overload                 | 0 5 | ${{ state }}
    at min_clones, counters kept                                     | 0:10 1:10 2:10              | hold at_min                         | 0 5 | ${{ policy: { minClones: 2 }, state }}
    one above min_clones                                             | 0:10 1:10 2:10              | scale_down underloaded web-clone-2  | 0 0 | ${{ policy: { minClones: 1 }, state }}
    the rest would be overloaded                                     | 0:39 1:39                   | hold would_overload                 | 0 5 | ${{ policy: { scaleUpThresholdPercent: 77 }, state }}
    exactly at the up threshold they would not be                    | 0:39 1:39                   | scale_down underloaded web-clone-1  | 0 0 | ${{ policy: { scaleUpThresholdPercent: 78 }, state }}
    a missing member counts as fully loaded there, too               | 0:0 1:0 2:0 3:0 4:missing   | hold would_overload                 | 0 5 | ${{ policy: { maxClones: 4, scaleUpThresholdPercent: 24, scaleDownThresholdPercent: 21 }, state }}
    at_min comes before would_overload                               | 0:39 1:39                   | hold at_min                         | 0 5 | ${{ policy: { scaleUpThresholdPercent: 77, minClones: 1 }, state }}
    a clone that someone else made, when those are not to be removed | 0:10 1:10 2:10              | hold not_ours                       | 0 5 | ${{ policy: { adoptClones: false }, state }}
    not even when it is silent                                       | 0:10 1:silent               | hold not_ours                       | 0 5 | ${{ policy: { adoptClones: false }, state }}
    then the highest id among those made here                        | 0:10 1:10 2:10 3:10         | scale_down underloaded web-clone-2  | 0 0 | ${{ policy: { adoptClones: false }, state: { ...state, ours: ours(1, 2) } }}
    not_ours comes before would_overload                             | 0:39 1:39                   | hold not_ours                       | 0 5 | ${{ policy: { adoptClones: false, scaleUpThresholdPercent: 77 }, state }}
    a silent clone, whatever the rest would carry                    | 0:39 1:39 2:silent          | scale_down underloaded web-clone-2  | 0 0 | ${{ policy: { scaleUpThresholdPercent: 41 }, state }}
  `;
});

describe("8. how many clones a scale-up calls for", () => {
  const steps = { scaleUpMaxStep: 10, maxClones: 20, targetPercent: 50 };
  const state = DUE_UP;
  const w54 = "w".repeat(54);
  const nines = {
    group: w54,
    members: [{ vm: "w", cloneId: 0, state: "fresh", usagePercent: 100, starved: false }],
  } as const;
  holdsFor`
    what brings the average to target_percent            | 0:95                | scale_up overloaded web-clone-1        | 0 0 | ${{ policy: steps, state }}
    rounded up                                           | 0:91 1:91           | scale_up overloaded web-clone-2 x2     | 0 0 | ${{ policy: steps, state }}
    but not because of what floats lose                  | 0:99 1:99           | scale_up overloaded web-clone-2 x3     | 0 0 | ${{ policy: { ...steps, targetPercent: 39.6 }, state }}
    one at least                                         | 0:91                | scale_up overloaded web-clone-1        | 0 0 | ${{ policy: { ...steps, targetPercent: 89 }, state }}
    of members whose load is unknown it takes the least  | 0:100 1:100 2:missing | hold incomplete_data                 | 0 0 | ${{ policy: steps, state }}
    at most scale_up_max_step                            | 0:95 1:95 2:95 3:95 | scale_up overloaded web-clone-4 x2     | 0 0 | ${{ policy: { ...steps, scaleUpMaxStep: 2 }, state }}
    at most what max_clones leaves                       | 0:95 1:95 2:95 3:95 | scale_up overloaded web-clone-4 x3     | 0 0 | ${{ policy: { ...steps, maxClones: 6 }, state }}
    at most what the host's limit leaves                 | 0:95 1:95 2:95 3:95 | scale_up overloaded web-clone-4 x2     | 0 0 | ${{ policy: steps, state, clonesLeft: 2 }}
    at most as many as have a name                       | 0:95                | scale_up overloaded ${w54}-clone-98 x2 | 0 0 | ${{ policy: { ...steps, targetPercent: 20 }, facts: { ...nines, highestListedId: 97 }, state }}
    silent clones bear no load                           | 0:95 1:95 2:silent  | scale_up overloaded web-clone-3 x2     | 0 0 | ${{ policy: steps, state }}
  `;
});
