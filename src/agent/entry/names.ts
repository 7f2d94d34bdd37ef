import type { Random } from "../../base/random.ts";

const FIRST = [
  ...["amber", "brisk", "calm", "clear", "coral", "crisp", "dusk", "early", "fern", "flint"],
  ...["frost", "gold", "hazel", "indigo", "ivory", "jade", "linen", "lunar", "maple", "misty"],
  ...["moss", "navy", "ocean", "olive", "pearl", "quiet", "raven", "ruby", "sage", "silver"],
  ...["slate", "umber"],
];
const SECOND = [
  ...["arch", "bay", "bridge", "brook", "canvas", "cliff", "cove", "dale", "delta", "field"],
  ...["fjord", "forge", "garden", "glade", "grove", "harbor", "hill", "isle", "lake", "loom"],
  ...["mesa", "mill", "orchard", "pass", "pier", "ridge", "shore", "thread", "trail", "vale"],
  ...["weave", "yard"],
];

/** A name for people to tell clusters apart by; ids tell programs. */
export function clusterName(random: Random): string {
  return `${FIRST[random.below(FIRST.length)]}-${SECOND[random.below(SECOND.length)]}`;
}
