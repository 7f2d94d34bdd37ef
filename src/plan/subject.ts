import { compareAddress, formatAddress } from "../ip/address.ts";
import { comparePrefix, formatPrefix } from "../ip/prefix.ts";
import type { ForwardingEntry, Link, LinkAddress, Neighbour, Route } from "./wanted.ts";

/** What a thing in the kernel is known by, whatever else is true of it. */
export type Subject =
  | Pick<Route, "kind" | "destination">
  | Pick<Link, "kind" | "name">
  | Pick<LinkAddress, "kind" | "device" | "address">
  | Pick<Neighbour, "kind" | "device" | "address">
  | Pick<ForwardingEntry, "kind" | "device" | "mac">;

/** As a person would call it, and unlike any other: `10.42.2.0/24`, `link denim.1`. */
export function formatSubject(subject: Subject): string {
  switch (subject.kind) {
    case "route":
      return formatPrefix(subject.destination);
    case "link":
      return `link ${subject.name}`;
    case "address":
    case "neighbour":
      return `${subject.kind} ${formatAddress(subject.address)} on ${subject.device}`;
    case "forwarding":
      return `forwarding ${subject.mac} on ${subject.device}`;
    default:
      return subject satisfies never;
  }
}

/**
 * Things by what they are known by. There may be many in every pass, so nothing is made text for it
 * but addresses of IPv6.
 */
export class SubjectMap<T> {
  readonly #tables = new Map<Subject["kind"], Map<string, Map<string | number, T>>>();

  get(subject: Subject): T | undefined {
    return this.#tables.get(subject.kind)?.get(placeOf(subject))?.get(keyOf(subject));
  }

  has(subject: Subject): boolean {
    return this.get(subject) !== undefined;
  }

  set(subject: Subject, value: T): void {
    let byPlace = this.#tables.get(subject.kind);
    if (byPlace === undefined) this.#tables.set(subject.kind, byPlace = new Map());
    const place = placeOf(subject);
    const table = byPlace.get(place);
    if (table === undefined) byPlace.set(place, new Map([[keyOf(subject), value]]));
    else table.set(keyOf(subject), value);
  }

  *values(): Generator<T> {
    for (const byPlace of this.#tables.values()) {
      for (const table of byPlace.values()) yield* table.values();
    }
  }
}

function placeOf(subject: Subject): string {
  return subject.kind === "route" || subject.kind === "link" ? "" : subject.device;
}

function keyOf(subject: Subject): string | number {
  switch (subject.kind) {
    case "route": {
      const { destination: { family, base, length } } = subject;
      // 32 bits and 6 are exact in a number.
      return family === 4 ? Number(base) * 64 + length : `${base.toString(36)}/${length}`;
    }
    case "link":
      return subject.name;
    case "address":
    case "neighbour": {
      const { family, value } = subject.address;
      return family === 4 ? Number(value) : value.toString(36);
    }
    case "forwarding":
      return subject.mac;
    default:
      return subject satisfies never;
  }
}

/** What stands on others comes after them. */
const RANK = { link: 0, address: 1, neighbour: 2, forwarding: 3, route: 4 } as const;

export function rankOf({ kind }: Pick<Subject, "kind">): number {
  return RANK[kind];
}

/** There may be many: nothing is made text for it. */
export function compareSubjects(a: Subject, b: Subject): number {
  if (a.kind === "route" && b.kind === "route") return comparePrefix(a.destination, b.destination);
  if (a.kind === "link" && b.kind === "link") return compareText(a.name, b.name);
  if (a.kind === "forwarding" && b.kind === "forwarding") {
    return compareText(a.device, b.device) || compareText(a.mac, b.mac);
  }
  if ("address" in a && "address" in b && a.kind === b.kind) {
    return compareText(a.device, b.device) || compareAddress(a.address, b.address);
  }
  return rankOf(a) - rankOf(b);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
