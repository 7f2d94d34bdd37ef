import { contains, formatPrefix, type Prefix, tryParsePrefix } from "../ip/prefix.ts";
import type { KernelLink } from "./kernel.ts";
import type { Link } from "./wanted.ts";

/**
 * A link has no protocol number as a route has one. Its mark is its name, its group and its alias
 * together; the alias says whose of Denim it is. Whoever wants to keep one of these links from
 * Denim takes away any part of it.
 */
export const LINK_GROUP = 68;

export const LINK_NAME = /^denim[A-Za-z0-9._-]{0,10}$/;

const ALIAS = /^denim:(.+)$/;

export function aliasOf(network: Prefix): string {
  return `denim:${formatPrefix(network)}`;
}

/** Whose link it is; `undefined`: nobody's of Denim. */
export function networkOf({ name, detail }: KernelLink): Prefix | undefined {
  if (detail?.group !== LINK_GROUP || !LINK_NAME.test(name)) return undefined;
  return tryParsePrefix(ALIAS.exec(detail.alias)?.[1] ?? "");
}

/** Whether it carries the whole mark, for one of these networks. */
export function isOurLink(link: KernelLink, networks: readonly Prefix[]): boolean {
  const of = networkOf(link);
  return of !== undefined && networks.some((network) => contains(network, of));
}

/**
 * The kernel takes no alias with a new link, so for a moment it has name and group alone, and is
 * down. One that was left like that is nobody's, but whoever wants a link of this name goes on from
 * it (`docs/decisions/0013-a-links-mark-has-three-parts.md`).
 */
export function isHalfMade({ name, up, detail }: KernelLink): boolean {
  return LINK_NAME.test(name) && detail?.group === LINK_GROUP && detail.alias === "" && !up;
}

/** A link as something that could have been wanted. */
export function asLink({ name, mtu, detail }: KernelLink, network: Prefix): Link {
  const { mac = "", tunnel } = detail ?? {};
  return { kind: "link", name, network, mac, mtu, ...(tunnel === undefined ? {} : { tunnel }) };
}
