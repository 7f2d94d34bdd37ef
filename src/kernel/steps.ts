import { type Change, defaultMetric, type KernelLink, ROUTE_PROTOCOL } from "../plan/kernel.ts";
import { networkOf } from "../plan/mark.ts";
import type { Link, OnLink, Route, Wanted } from "../plan/wanted.ts";
import { writeAddAddress, writeDeleteAddress } from "./netlink/address.ts";
import { ERRNO, errorText } from "./netlink/constants.ts";
import type { Answer } from "./netlink/message.ts";
import {
  type NeighbourRecord,
  writeAddNeighbour,
  writeDeleteNeighbour,
} from "./netlink/neighbour.ts";
import { type RouteRecord, writeAddRoute, writeDeleteRoute } from "./netlink/route.ts";
import type { WriteRequest } from "./socket.ts";

/** One request of a change; a replacement may have two. */
export interface Step {
  readonly change: Change;
  readonly write?: WriteRequest;
  /** Why there is nothing to send. */
  readonly failure?: string;
  /** A deletion that finds nothing is fine. */
  readonly mayMiss?: boolean;
}

/** All but links, which take more than a request (`link-maker.ts`). */
type Item = Exclude<Wanted, Link>;

/** What a deletion says of a route, a neighbour, a forwarding entry or an address that is not there. */
const MISSING: readonly number[] = [ERRNO.ESRCH, ERRNO.ENOENT, ERRNO.EADDRNOTAVAIL];

export function failureOf(step: Step, answer: Answer): string | undefined {
  if (answer.errno === 0 || (step.mayMiss && MISSING.includes(answer.errno))) return undefined;
  return errorText(answer.errno, answer.words);
}

/** Says of a change what is sent for it. */
export class Steps {
  readonly #linkOf: (name: string) => KernelLink | undefined;

  /** @param linkOf the link of a name, where there is one */
  constructor(linkOf: (name: string) => KernelLink | undefined) {
    this.#linkOf = linkOf;
  }

  of(change: Change): Step[] {
    switch (change.kind) {
      case "add":
        return [this.#add(change, change.item as Item)];
      case "remove":
        return [this.#remove(change, change.item as Item)];
      case "replace": {
        const add = this.#add(change, change.item as Item);
        // The old one is better than none; and what has a MAC address is replaced in one step.
        if (add.failure !== undefined || "mac" in change.item) return [add];
        const remove = this.#remove(change, change.old as Item);
        return comesBeforeOld(change.item) ? [add, remove] : [remove, add];
      }
      default:
        return change satisfies never;
    }
  }

  #add(change: Change, item: Item): Step {
    if (item.kind !== "route") return this.#onLink(change, item);
    const linkIndex = this.#linkOf(item.device)?.index;
    // Without a link the kernel would choose one by the gateway; that is not what was wanted.
    if (linkIndex === undefined && !item.unreachable) {
      return { change, failure: `${errorText(ERRNO.ENODEV)} ("${item.device}")` };
    }
    const record = recordOf(item, linkIndex);
    return { change, write: (writer, request) => writeAddRoute(writer, record, request) };
  }

  #remove(change: Change, item: Item): Step {
    // In a replacement it does not matter who removed the old one.
    const mayMiss = change.kind === "replace" ? { mayMiss: true } : {};
    if (item.kind !== "route") return { ...this.#onLink(change, item, "remove"), ...mayMiss };
    // Named, as the kernel takes any when none is given, the lowest first.
    const metric = item.metric ?? defaultMetric(item.destination.family);
    const record = { ...recordOf(item, this.#linkOf(item.device)?.index), metric };
    return {
      change,
      write: (writer, request) => writeDeleteRoute(writer, record, request),
      ...mayMiss,
    };
  }

  /** Only on a link that carries Denim's mark. */
  #onLink(change: Change, item: OnLink, verb: "add" | "remove" = "add"): Step {
    const link = this.#linkOf(item.device);
    if (link === undefined) {
      return { change, failure: `${errorText(ERRNO.ENODEV)} ("${item.device}")` };
    }
    if (networkOf(link) === undefined) {
      return { change, failure: `${item.device} does not carry Denim's mark` };
    }
    const linkIndex = link.index;
    if (item.kind === "address") {
      const record = { linkIndex, address: item.address, length: item.length };
      const write = verb === "add" ? writeAddAddress : writeDeleteAddress;
      return { change, write: (writer, request) => write(writer, record, request) };
    }
    const record = neighbourRecordOf(item, linkIndex);
    const replace = change.kind === "replace";
    return {
      change,
      write: (writer, request) =>
        verb === "add"
          ? writeAddNeighbour(writer, record, { ...request, replace })
          : writeDeleteNeighbour(writer, record, request),
    };
  }
}

/**
 * Where the new one goes first. With the last IPv4 address of a link the kernel takes all neighbours
 * and routes of that link (`inetdev_destroy`); and IPv6 has no two of one address.
 */
function comesBeforeOld(item: Wanted): boolean {
  return item.kind === "address" && item.address.family === 4;
}

function neighbourRecordOf(
  item: Exclude<OnLink, { kind: "address" }>,
  linkIndex: number,
): NeighbourRecord {
  const { kind, mac } = item;
  const address = kind === "neighbour" ? item.address : item.remote;
  return { sort: kind, linkIndex, address, mac };
}

function recordOf(item: Route, linkIndex: number | undefined): RouteRecord {
  return {
    destination: item.destination,
    ...(item.via === undefined ? {} : { via: item.via }),
    ...(linkIndex === undefined ? {} : { linkIndex }),
    onlink: item.onlink === true,
    ...(item.unreachable ? { unreachable: true } : {}),
    protocol: ROUTE_PROTOCOL,
    metric: item.metric ?? 0,
  };
}
