import { formatAddress } from "../ip/address.ts";
import { formatPrefix } from "../ip/prefix.ts";
import { takesAnother } from "./diff-links.ts";
import { type Change, ROUTE_PROTOCOL } from "./kernel.ts";
import { aliasOf, LINK_GROUP } from "./mark.ts";
import type { Link, Route, Wanted } from "./wanted.ts";

/** One wanted thing as `ip` names it, without a verb: `10.42.2.0/24 via 10.0.0.2 dev eth0`. */
export function formatWanted(item: Wanted): string {
  switch (item.kind) {
    case "route":
      return formatRoute(item);
    case "link":
      return `${item.name} ${formatAttributes(item)} ${formatTunnel(item)}`;
    case "address":
      return `${formatAddress(item.address)}/${item.length} dev ${item.device}`;
    case "neighbour":
      return `${formatAddress(item.address)} lladdr ${item.mac} dev ${item.device} nud permanent`;
    case "forwarding":
      return `${item.mac} dev ${item.device} dst ${formatAddress(item.remote)} self permanent`;
    default:
      return item satisfies never;
  }
}

/** What a person would type to the same effect. */
export function formatChange(change: Change): string[] {
  switch (change.kind) {
    case "add":
      return addition(change.item);
    case "remove":
      return removal(change.item);
    case "replace":
      return replacement(change.old, change.item);
    default:
      return change satisfies never;
  }
}

function addition(item: Wanted): string[] {
  switch (item.kind) {
    case "route":
      return [`${routeCommand(item)} add ${formatRoute(item)} proto ${ROUTE_PROTOCOL}`];
    case "link":
      return [
        `ip link add ${item.name} ${formatAttributes(item)} group ${LINK_GROUP} ` +
        formatTunnel(item),
        `ip link set ${item.name} alias ${aliasOf(item.network)} up`,
      ];
    case "address":
      return [`ip address add ${formatWanted(item)}`];
    case "neighbour":
      return [`ip neigh add ${formatWanted(item)}`];
    case "forwarding":
      return [`bridge fdb add ${formatWanted(item)}`];
    default:
      return item satisfies never;
  }
}

function removal(item: Wanted): string[] {
  switch (item.kind) {
    case "route":
      return [`${routeCommand(item)} del ${formatRoute(item)} proto ${ROUTE_PROTOCOL}`];
    case "link":
      return [`ip link del ${item.name}`];
    case "address":
      return [`ip address del ${formatWanted(item)}`];
    case "neighbour":
      return [`ip neigh del ${formatAddress(item.address)} dev ${item.device}`];
    case "forwarding":
      return [`bridge fdb del ${item.mac} dev ${item.device} self`];
    default:
      return item satisfies never;
  }
}

/** What can become the other is not made anew. */
function replacement(old: Wanted, item: Wanted): string[] {
  if (old.kind === "link" && item.kind === "link" && !takesAnother(old, item)) {
    const alias = aliasOf(item.network);
    return [`ip link set ${item.name} ${formatAttributes(item)} alias ${alias} up`];
  }
  if (item.kind === "neighbour") return [`ip neigh replace ${formatWanted(item)}`];
  if (item.kind === "forwarding") return [`bridge fdb replace ${formatWanted(item)}`];
  return [...removal(old), ...addition(item)];
}

function routeCommand({ destination }: Route): string {
  return destination.family === 6 ? "ip -6 route" : "ip route";
}

function formatRoute(item: Route): string {
  const words = [...(item.unreachable ? ["unreachable"] : []), formatPrefix(item.destination)];
  if (item.via !== undefined) words.push(formatGateway(item));
  if (item.device !== "") words.push(`dev ${item.device}`);
  if (item.onlink) words.push("onlink");
  if (item.metric) words.push(`metric ${item.metric}`);
  return words.join(" ");
}

/** A gateway of the other family is named with it. */
function formatGateway(item: Route): string {
  const via = item.via!;
  const family = via.family === item.destination.family
    ? ""
    : via.family === 6
    ? "inet6 "
    : "inet ";
  return `via ${family}${formatAddress(via)}`;
}

function formatAttributes({ mac, mtu }: Link): string {
  return `mtu ${mtu} address ${mac}`;
}

function formatTunnel({ tunnel }: Link): string {
  if (tunnel === undefined) return "of another sort";
  const { kind, vni, port, local, underlay, learning, gbp } = tunnel;
  return [
    `type ${kind} id ${vni} dstport ${port} local ${formatAddress(local)} dev ${underlay}`,
    learning ? "learning" : "nolearning",
    ...(gbp ? ["gbp"] : []),
  ].join(" ");
}
