import { DenimError } from "../base/errors.ts";
import { baseAddress, contains, formatPrefix, overlaps, parsePrefix } from "../ip/prefix.ts";
import type { Prefix } from "../ip/prefix.ts";
import { type KernelRoute, ROUTE_PROTOCOL } from "../plan/kernel.ts";
import { formatWanted } from "../plan/text.ts";

/**
 * The routes of this host that a network would shadow, or be shadowed by. Not counted: the default
 * route, routes of Denim's own, and what lies inside the node's own subnets, where the containers'
 * bridge is.
 */
export function overlappingRoutes(
  network: Prefix,
  routes: readonly KernelRoute[],
  options: { own?: readonly Prefix[] } = {},
): readonly KernelRoute[] {
  return routes.filter((route) =>
    route.destination.length > 0 && route.protocol !== ROUTE_PROTOCOL &&
    overlaps(network, route.destination) &&
    !(options.own ?? []).some((subnet) => contains(subnet, route.destination))
  );
}

/**
 * Refuses a network that meets what this host reaches already: containers would take traffic away
 * from it, or the other way round.
 *
 * @throws `NETWORK_OVERLAP`
 */
export function checkOverlap(
  network: Prefix,
  routes: readonly KernelRoute[],
  options: { own?: readonly Prefix[] } = {},
): void {
  const found = overlappingRoutes(network, routes, options);
  if (found.length === 0) return;
  const named = found.slice(0, 3).map(formatWanted);
  const more = found.length > named.length ? ` and ${found.length - named.length} more` : "";
  throw new DenimError("NETWORK_OVERLAP", `Cannot use ${formatPrefix(network)} on this host`, {
    why: `it overlaps routes that are not Denim's: ${named.join("; ")}${more}`,
    fix:
      "choose another network with --network; or take that route away; or, if the two may meet, " +
      "--allow-overlap",
  });
}

/** Blocks that nobody on the Internet answers for (RFC 1918, 6598, 2544, 3927, 5737, 4193, 3849). */
const PRIVATE = [
  ...["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15"],
  ...["169.254.0.0/16", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"],
  ...["fc00::/7", "2001:db8::/32"],
].map(parsePrefix);

/** A sentence to warn with when containers would hide a part of the Internet. */
export function publicRangeWarning(network: Prefix): string | undefined {
  if (PRIVATE.some((block) => contains(block, network))) return undefined;
  const instead = baseAddress(network).family === 4 ? "10.0.0.0/8" : "fd00::/8";
  return `${formatPrefix(network)} is not a private range: hosts could not reach the part of the ` +
    `Internet that has these addresses. Choose a block of ${instead} instead`;
}
