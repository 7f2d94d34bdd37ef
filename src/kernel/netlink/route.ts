import { type Address, addressBytes, addressFromBytes, type Family } from "../../ip/address.ts";
import { baseAddress, type Prefix, prefixOf } from "../../ip/prefix.ts";
import { readAttributes, readU32 } from "./attribute.ts";
import {
  AF,
  NLM_F,
  RT_SCOPE,
  RT_TABLE_MAIN,
  RTA,
  RTM,
  RTM_F_CLONED,
  RTMSG_BYTES,
  RTN_UNICAST,
  RTN_UNREACHABLE,
  RTNH_BYTES,
  RTNH_F_ONLINK,
} from "./constants.ts";
import type { MessageWriter } from "./message.ts";

/** One route of the main table, links by number. */
export interface RouteRecord {
  readonly destination: Prefix;
  readonly via?: Address;
  readonly linkIndex?: number;
  readonly onlink: boolean;
  /** Nobody is there: no gateway, no link. */
  readonly unreachable?: boolean;
  readonly protocol: number;
  /** 0 is the kernel's default; IPv6 then stores 1024. */
  readonly metric: number;
}

/** A route as it was found. */
export interface RouteFound extends RouteRecord {
  readonly table: number;
  /** One next hop of its own or none at all, and nothing else: what Denim itself makes. */
  readonly plain: boolean;
}

/**
 * Asks for a new route in the main table. CREATE and EXCL together: the kernel refuses when there
 * is one for the same prefix and metric, whoever made it. REPLACE would overwrite it, and without
 * EXCL an IPv6 route would be merged into it.
 */
export function writeAddRoute(
  writer: MessageWriter,
  route: RouteRecord,
  request: { sequence: number; ack: boolean },
): void {
  const onLink = route.via === undefined && route.destination.family === 4 && !route.unreachable;
  const scope = onLink ? RT_SCOPE.link : RT_SCOPE.universe;
  const type = route.unreachable ? RTN_UNREACHABLE : RTN_UNICAST;
  const flags = NLM_F.request | NLM_F.create | NLM_F.exclusive | (request.ack ? NLM_F.ack : 0);
  writer.begin(RTM.newRoute, flags, request.sequence);
  writeRoute(writer, route, { scope, type });
}

/**
 * Asks to delete a route of the main table. The kernel matches what is given, so a route with
 * another protocol is not found (ESRCH) and stays.
 */
export function writeDeleteRoute(
  writer: MessageWriter,
  route: RouteRecord,
  request: { sequence: number; ack: boolean },
): void {
  const flags = NLM_F.request | (request.ack ? NLM_F.ack : 0);
  writer.begin(RTM.deleteRoute, flags, request.sequence);
  const scope = route.destination.family === 4 ? RT_SCOPE.nowhere : RT_SCOPE.universe;
  writeRoute(writer, route, { scope, type: 0 });
}

function writeRoute(
  writer: MessageWriter,
  route: RouteRecord,
  rest: { scope: number; type: number },
): void {
  const { destination, via } = route;
  const header = new Uint8Array(RTMSG_BYTES);
  header[0] = destination.family === 4 ? AF.inet : AF.inet6;
  header[1] = destination.length;
  header[4] = RT_TABLE_MAIN;
  header[5] = route.protocol;
  header[6] = rest.scope;
  header[7] = rest.type;
  header[8] = route.onlink ? RTNH_F_ONLINK : 0;
  writer.raw(header);
  writer.attribute(RTA.destination, addressBytes(baseAddress(destination)));
  if (via !== undefined && via.family === destination.family) {
    writer.attribute(RTA.gateway, addressBytes(via));
  } else if (via !== undefined) {
    const value = new Uint8Array(2 + addressBytes(via).length);
    value[0] = via.family === 4 ? AF.inet : AF.inet6;
    value.set(addressBytes(via), 2);
    writer.attribute(RTA.via, value);
  }
  if (route.linkIndex !== undefined) writer.attributeU32(RTA.outIndex, route.linkIndex);
  if (route.metric !== 0) writer.attributeU32(RTA.priority, route.metric);
  writer.finish();
}

/**
 * Asks for all routes of one family. A kernel with strict checks sends the main table only; an
 * older one ignores the attribute and sends all.
 */
export function writeDumpRoutes(writer: MessageWriter, family: Family, sequence: number): void {
  writer.begin(RTM.getRoute, NLM_F.request | NLM_F.dump, sequence);
  const header = new Uint8Array(RTMSG_BYTES);
  header[0] = family === 4 ? AF.inet : AF.inet6;
  writer.raw(header);
  writer.attributeU32(RTA.table, RT_TABLE_MAIN);
  writer.finish();
}

/** Reads the body of an RTM_NEWROUTE; `undefined` for a cache entry or a family that is not IP. */
export function readRoute(body: Uint8Array): RouteFound | undefined {
  const family = body[0] === AF.inet ? 4 : body[0] === AF.inet6 ? 6 : undefined;
  const flags = new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(8, true);
  if (family === undefined || (flags & RTM_F_CLONED) !== 0) return undefined;
  const attributes = readAttributes(body, RTMSG_BYTES);
  const base = attributes.get(RTA.destination);
  const address: Address = base === undefined ? { family, value: 0n } : addressFromBytes(base);
  const multipath = attributes.get(RTA.multipath);
  const hop = multipath === undefined
    ? { linkIndex: readU32(attributes.get(RTA.outIndex)), flags, attributes }
    : firstHop(multipath);
  const via = readGateway(hop.attributes);
  const unreachable = body[7] === RTN_UNREACHABLE;
  const found: Writable<RouteFound> = {
    destination: prefixOf(address, body[1]!),
    onlink: (hop.flags & RTNH_F_ONLINK) !== 0,
    protocol: body[5]!,
    metric: readU32(attributes.get(RTA.priority)) ?? 0,
    table: readU32(attributes.get(RTA.table)) ?? body[4]!,
    plain: multipath === undefined && (body[7] === RTN_UNICAST || unreachable) &&
      body[2] === 0 && body[3] === 0 &&
      !attributes.has(RTA.nexthopId) && !attributes.has(RTA.encapType),
  };
  // There may be many, and this is what making them from parts would cost most for.
  if (via !== undefined) found.via = via;
  if (unreachable) found.unreachable = true;
  // IPv6 shows the loopback link for a route that has none.
  else if (hop.linkIndex !== undefined) found.linkIndex = hop.linkIndex;
  return found;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** `linux/rtnetlink.h`, struct rtnexthop: length, flags, hops, link, then attributes. */
function firstHop(hops: Uint8Array) {
  const view = new DataView(hops.buffer, hops.byteOffset, hops.byteLength);
  return {
    linkIndex: view.getUint32(4, true) as number | undefined,
    flags: hops[2]!,
    attributes: readAttributes(hops.subarray(0, view.getUint16(0, true)), RTNH_BYTES),
  };
}

/** RTA_VIA names a gateway of another family than the destination's (RFC 5549). */
function readGateway(attributes: Map<number, Uint8Array>): Address | undefined {
  const gateway = attributes.get(RTA.gateway);
  if (gateway !== undefined) return addressFromBytes(gateway);
  const via = attributes.get(RTA.via);
  if (via === undefined || (via[0] !== AF.inet && via[0] !== AF.inet6)) return undefined;
  return addressFromBytes(via.subarray(2));
}
