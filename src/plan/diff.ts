import { diffLinks } from "./diff-links.ts";
import { diffOnLinks } from "./diff-on-links.ts";
import { diffRoutes } from "./diff-routes.ts";
import type { Difference, DiffOptions, Part } from "./difference.ts";
import type { Change, KernelState } from "./kernel.ts";
import { compareSubjects, rankOf } from "./subject.ts";
import type { Wanted } from "./wanted.ts";

/**
 * What has to change so that the kernel holds what is wanted. Only what carries our mark *and*
 * belongs to a network of ours is ever changed or removed; in mode `add-only` not even that, as
 * what is known may be incomplete or old.
 */
export function diff(
  wanted: readonly Wanted[],
  actual: KernelState,
  options: DiffOptions,
): Difference {
  const of = <K extends Wanted["kind"]>(kind: K) =>
    wanted.filter((item): item is Extract<Wanted, { kind: K }> => item.kind === kind);
  const links = diffLinks(of("link"), actual.links, options);
  // A link that is made anew takes along what went by it: in the same pass that comes back.
  const routes = links.made.size === 0
    ? actual.routes
    : actual.routes.filter(({ device }) => !links.made.has(device));
  const onLinks = wanted.filter((item) => item.kind !== "link" && item.kind !== "route");
  return assemble([
    ...links.parts,
    ...diffOnLinks(onLinks, actual, links, options),
    ...diffRoutes(of("route"), routes, options),
  ]);
}

/**
 * Adds before replacements before removals. A link comes before what goes by it, whether it is made
 * or made anew, and goes after it.
 */
function orderOf({ kind, item }: Change): number {
  if (kind === "remove") return 100 - rankOf(item);
  return 10 * rankOf(item) + (kind === "replace" ? 1 : 0);
}

function assemble(parts: readonly Part[]): Difference {
  return {
    items: parts.map(({ item }) => item).sort((a, b) => compareSubjects(a.about, b.about)),
    changes: parts.flatMap(({ changes }) => changes).sort((a, b) =>
      orderOf(a) - orderOf(b) || compareSubjects(a.item, b.item)
    ),
  };
}
