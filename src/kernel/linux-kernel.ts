import { isDeepStrictEqual } from "node:util";
import type { Family } from "../ip/address.ts";
import type {
  Change,
  Kernel,
  KernelAddress,
  KernelForwarding,
  KernelLink,
  KernelNeighbour,
  KernelRoute,
  KernelState,
  Outcome,
} from "../plan/kernel.ts";
import { networkOf } from "../plan/mark.ts";
import type { Link } from "../plan/wanted.ts";
import { openLibc } from "./libc.ts";
import type { Libc } from "./libc.ts";
import { LinkMaker } from "./link-maker.ts";
import { type LinkCodec, type LinkFound, nameUnderlays, openLinkCodec } from "./links.ts";
import { RT_TABLE_MAIN, RTM, RTMGRP } from "./netlink/constants.ts";
import { writeDumpAddresses } from "./netlink/address.ts";
import { writeDumpLinks } from "./netlink/link.ts";
import {
  type NeighbourFound,
  readNeighbour,
  writeDumpForwarding,
  writeDumpNeighbours,
} from "./netlink/neighbour.ts";
import { readRoute, type RouteFound, writeDumpRoutes } from "./netlink/route.ts";
import { EventSocket, RequestSocket } from "./socket.ts";
import { onlyNeighboursOf } from "./neighbour-filter.ts";
import { OwnEntries } from "./own-entries.ts";
import { failureOf, type Step, Steps } from "./steps.ts";

/** Requests in one `sendto`. More gains little; all of their errors must fit the socket's buffer. */
const BATCH_REQUESTS = 64;

const WATCHED_GROUPS = RTMGRP.link | RTMGRP.neighbour | RTMGRP.ipv4Address | RTMGRP.ipv6Address |
  RTMGRP.ipv4Route |
  RTMGRP.ipv6Route;

/** The kernel that this process runs on, in the network namespace that it was opened in. */
export class LinuxKernel implements Kernel {
  readonly #libc: Libc;
  readonly #codec: LinkCodec;
  readonly #socket: RequestSocket;
  readonly #maker: LinkMaker;
  readonly #steps = new Steps((name) => this.#linkOf(name));
  readonly #events = new Set<EventSocket>();
  readonly #closing = new Set<Promise<void>>();
  readonly #own = new OwnEntries();
  #links: readonly KernelLink[] = [];
  /** Those that carry Denim's mark, whatever network's. */
  #ownLinks: readonly KernelLink[] = [];

  constructor(libc: Libc, codec: LinkCodec) {
    this.#libc = libc;
    this.#codec = codec;
    this.#socket = new RequestSocket(libc);
    this.#maker = new LinkMaker(this.#socket, () => this.#readLinks());
  }

  /** @throws `PLATFORM_UNSUPPORTED`, `KERNEL_REJECTED` */
  static async open(): Promise<LinuxKernel> {
    const [libc, codec] = await Promise.all([openLibc(), openLinkCodec()]);
    return new LinuxKernel(libc, codec);
  }

  async read(): Promise<KernelState> {
    this.#own.forget();
    const links = this.#readLinks();
    const addresses = this.#socket.dump<KernelAddress>(
      writeDumpAddresses,
      (message) =>
        message.type === RTM.newAddress ? this.#codec.readAddress(message.body) : undefined,
    );
    const nameOf = new Map(links.map((link) => [link.index, link.name]));
    const entries = this.#ownLinks.flatMap((link) => this.#readEntries(link));
    return {
      links,
      addresses,
      neighbours: entries.filter((entry) => entry.kind === "neighbour"),
      forwarding: entries.filter((entry) => entry.kind === "forwarding"),
      routes: [...this.#readRoutes(4, nameOf), ...this.#readRoutes(6, nameOf)],
    };
  }

  async apply(changes: readonly Change[]): Promise<readonly Outcome[]> {
    const outcomes: Outcome[] = [];
    for (let at = 0; at < changes.length;) {
      const first = changes[at]!;
      if (first.item.kind === "link") {
        outcomes.push(this.#applyLink(first, first.item));
        at++;
        continue;
      }
      const batch: Step[] = [];
      let end = at;
      while (batch.length < BATCH_REQUESTS && end < changes.length) {
        if (changes[end]!.item.kind === "link") break;
        batch.push(...this.#steps.of(changes[end++]!));
      }
      outcomes.push(...this.#applyBatch(changes.slice(at, end), batch));
      at = end;
    }
    return outcomes;
  }

  watch(onChange: () => void): () => void {
    const events = new EventSocket(this.#libc, WATCHED_GROUPS);
    events.filter(onlyNeighboursOf(this.#ownIndexes));
    this.#events.add(events);
    // What this driver did itself is known already.
    events.listen(onChange, (event) => event.port !== this.#socket.port && !this.#own.has(event));
    return () => {
      if (this.#events.delete(events)) this.#stop(events);
    };
  }

  /** Waits for the threads that watch, which wakes them. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const events of this.#events) this.#stop(events);
    this.#events.clear();
    await Promise.all(this.#closing);
    this.#socket.close();
  }

  #stop(events: EventSocket): void {
    const closing = events.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  #readLinks(): readonly KernelLink[] {
    const found = this.#socket.dump<LinkFound>(
      writeDumpLinks,
      (message) => message.type === RTM.newLink ? this.#codec.readLink(message.body) : undefined,
    );
    this.#links = nameUnderlays(found);
    const own = this.#links.filter((link) => networkOf(link) !== undefined);
    const isSame = isDeepStrictEqual(own.map(({ index }) => index), this.#ownIndexes);
    this.#ownLinks = own;
    if (!isSame) {
      for (const events of this.#events) events.filter(onlyNeighboursOf(this.#ownIndexes));
    }
    return this.#links;
  }

  get #ownIndexes(): readonly number[] {
    return this.#ownLinks.map(({ index }) => index);
  }

  /** What of a link of ours is beyond it, and where. */
  #readEntries({ index, name }: KernelLink): (KernelNeighbour | KernelForwarding)[] {
    return [writeDumpNeighbours, writeDumpForwarding].flatMap((write) =>
      this.#socket.dump(
        (writer, sequence) => write(writer, index, sequence),
        (message) => {
          const found = message.type === RTM.newNeighbour ? readNeighbour(message.body) : undefined;
          return found?.linkIndex === index ? entryOf(found, name) : undefined;
        },
      )
    );
  }

  #readRoutes(family: Family, nameOf: ReadonlyMap<number, string>): KernelRoute[] {
    return this.#socket.dump<KernelRoute>(
      (writer, sequence) => writeDumpRoutes(writer, family, sequence),
      (message) => {
        const found = message.type === RTM.newRoute ? readRoute(message.body) : undefined;
        if (found?.table !== RT_TABLE_MAIN || found.destination.family !== family) return undefined;
        return routeOf(found, nameOf.get(found.linkIndex ?? 0) ?? "");
      },
    );
  }

  /** Looked up again when the name is new. */
  #linkOf(name: string): KernelLink | undefined {
    if (name === "") return undefined;
    const find = () => this.#links.find((link) => link.name === name);
    return find() ?? (this.#readLinks(), find());
  }

  #applyLink(change: Change, item: Link): Outcome {
    const old = change.kind === "replace" && change.old.kind === "link" ? change.old : item;
    const error = this.#maker.apply(change.kind, item, old);
    return error === undefined ? { change } : { change, error };
  }

  #applyBatch(changes: readonly Change[], steps: readonly Step[]): Outcome[] {
    const sent = steps.filter((step) => step.write !== undefined);
    const answers = sent.length === 0 ? [] : this.#socket.batch(sent.map((step) => step.write!));
    const failures = new Map<Change, string>();
    for (const step of steps) {
      const failure = step.failure ?? failureOf(step, answers[sent.indexOf(step)]!);
      if (failure !== undefined) failures.set(step.change, failure);
      else this.#own.note(step.change, (name) => this.#linkOf(name)?.index);
    }
    return changes.map((change) => {
      const error = failures.get(change);
      return error === undefined ? { change } : { change, error };
    });
  }
}

/** There may be many in every pass, so the usual ones are made without a detour. */
function routeOf(found: RouteFound, device: string): KernelRoute {
  const { destination, via, unreachable, onlink, protocol, metric, plain } = found;
  const rest = { kind: "route", destination, device, onlink, protocol, metric, plain } as const;
  if (unreachable) return { ...rest, ...(via === undefined ? {} : { via }), unreachable };
  if (via === undefined) return rest;
  return { kind: "route", destination, via, device, onlink, protocol, metric, plain };
}

/** Without an address or a MAC address it is nothing that could be wanted, or in the way. */
function entryOf(
  { sort, address, mac, permanent, plain }: NeighbourFound,
  device: string,
): KernelNeighbour | KernelForwarding | undefined {
  if (sort === "neighbour") {
    if (address === undefined) return undefined;
    return { kind: sort, device, address, ...(mac === undefined ? {} : { mac }), permanent };
  }
  if (mac === undefined) return undefined;
  const remote = address === undefined ? {} : { remote: address };
  return { kind: sort, device, mac, ...remote, permanent, plain };
}
