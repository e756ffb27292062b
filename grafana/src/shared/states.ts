/**
 * Words for states that metrics tell by a label. A timeline needs one number per line and moment: each state is given one,
 * and a colour and words for it.
 */
import { MappingType, type ValueMapping } from "@grafana/grafana-foundation-sdk/dashboard";
import type { SubscriptionState } from "../../../src/client/subscription.ts";
import type { HoldReason, Scale } from "../../../src/scaler/rules/types.ts";

interface Look {
  readonly words: string;
  readonly colour: string;
}

type States<Name extends string> = Readonly<Record<Name, Look>>;

/** Why the last evaluation of a group decided as it did; a group that no policy matches has none. */
const REASONS: States<Scale["reason"] | Exclude<HoldReason, "no_policy">> = {
  normal: { words: "normal", colour: "green" },
  pending_up: { words: "busy, waits for trigger", colour: "yellow" },
  pending_down: { words: "idle, waits for trigger", colour: "light-blue" },
  overloaded: { words: "SCALE UP: overloaded", colour: "red" },
  below_min: { words: "SCALE UP: below min", colour: "dark-red" },
  underloaded: { words: "SCALE DOWN: underloaded", colour: "blue" },
  above_max: { words: "SCALE DOWN: above max", colour: "dark-blue" },
  outstanding: { words: "decided, not done yet", colour: "dark-orange" },
  acting: { words: "being carried out", colour: "semi-dark-orange" },
  cooldown: { words: "cooldown", colour: "purple" },
  backoff: { words: "backs off, an action failed", colour: "semi-dark-purple" },
  at_max: { words: "busy, at max clones", colour: "semi-dark-red" },
  at_min: { words: "idle, at min clones", colour: "semi-dark-blue" },
  would_overload: { words: "idle, one less would overload", colour: "super-light-blue" },
  not_ours: { words: "idle, clones not ours", colour: "super-light-purple" },
  host_limit: { words: "busy, host's limit per tick", colour: "super-light-red" },
  no_clone_name: { words: "busy, no name for a clone", colour: "light-red" },
  paused: { words: "paused, would scale", colour: "super-light-orange" },
  incomplete_data: { words: "incomplete data", colour: "orange" },
  cores_saturated: { words: "cores saturated", colour: "light-orange" },
  no_data: { words: "no data", colour: "dark-yellow" },
  orphaned: { words: "orphaned", colour: "dark-purple" },
  disabled: { words: "disabled", colour: "text" },
};

const SUBSCRIPTIONS: States<SubscriptionState> = {
  receiving: { words: "receiving", colour: "green" },
  subscribed: { words: "subscribed, nothing yet", colour: "light-green" },
  connecting: { words: "connecting", colour: "yellow" },
  backoff: { words: "waiting to connect again", colour: "orange" },
  displaced: { words: "displaced by another client", colour: "red" },
  blocked: { words: "blocked", colour: "purple" },
  stopped: { words: "stopped", colour: "text" },
};

/** The reason of each group as a number, see reasonMappings. */
export function reasonNumbers(selector: string): string {
  return numbers(REASONS, (reason) => `albatross_scaler_group_state{${selector},reason="${reason}"}`);
}

export const reasonMappings = mappings(REASONS);

/** The state of each subscription as a number, see subscriptionMappings. */
export function subscriptionNumbers(selector: string): string {
  return numbers(
    SUBSCRIPTIONS,
    (state) => `(albatross_stats_subscription_state{${selector},state="${state}"} == 1)`,
  );
}

export const subscriptionMappings = mappings(SUBSCRIPTIONS);

/** Numbers in the order of the table; the selectors are to yield 1 for the state that holds and nothing for the others. */
function numbers<Name extends string>(states: States<Name>, selector: (name: Name) => string): string {
  const names = Object.keys(states) as Name[];
  return names.map((name, index) => `${selector(name)} * ${index}`).join(" or ");
}

function mappings(states: States<string>): ValueMapping[] {
  const options = Object.values(states).map(({ words, colour }, index) => [
    String(index),
    { text: words, color: colour, index },
  ]);
  return [{ type: MappingType.ValueToText, options: Object.fromEntries(options) }];
}

/** Decisions that ask for a clone more or less, as a condition. */
export const SCALED = 'decision=~"scale_up|scale_down"';
