import { labelPairs } from "../exposition/labels.ts";
import { isValidLabel } from "../wire/names.ts";
import type { GroupName } from "./types.ts";

/** Ids have at most nine digits, so that every clone's name is read back as one. */
const MAX_CLONE_ID = 999_999_999;

/** The name of a group's clone with this id; null when Albatross would not take it (a label has 63 characters at most). */
export function cloneName(primary: string, cloneId: number): string | null {
  const name = `${primary}-clone-${cloneId}`;
  return cloneId <= MAX_CLONE_ID && isValidLabel(name) ? name : null;
}

export type GroupKey = string;

/** Identifies a group across ticks: its exposition labels, which the fleet makes once for each VM. */
export function groupKey({ host, path, group, labels }: GroupName): GroupKey {
  return labels ?? labelPairs({ host, path, group });
}
