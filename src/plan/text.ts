import { formatAddress } from "../ip/address.ts";
import { formatPrefix } from "../ip/prefix.ts";
import { type Change, type Route, ROUTE_PROTOCOL, type Wanted } from "./kernel.ts";

/** One wanted thing as `ip` names it, without a verb: `10.42.2.0/24 via 10.0.0.2 dev eth0`. */
export function formatWanted(item: Wanted): string {
  const words = [formatPrefix(item.destination)];
  if (item.via !== undefined) words.push(formatGateway(item));
  if (item.device !== "") words.push(`dev ${item.device}`);
  if (item.onlink) words.push("onlink");
  if (item.metric) words.push(`metric ${item.metric}`);
  return words.join(" ");
}

/** What a person would type to the same effect. A replacement is two lines. */
export function formatChange(change: Change): string[] {
  switch (change.kind) {
    case "add":
      return [line("add", change.item)];
    case "remove":
      return [line("del", change.item)];
    case "replace":
      return [line("del", change.old), line("add", change.item)];
    default:
      return change satisfies never;
  }
}

function line(verb: "add" | "del", item: Route): string {
  const command = item.destination.family === 6 ? "ip -6 route" : "ip route";
  return `${command} ${verb} ${formatWanted(item)} proto ${ROUTE_PROTOCOL}`;
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
