import {
  type Change,
  defaultMetric,
  type Kernel,
  type KernelAddress,
  type KernelLink,
  type KernelRoute,
  type KernelState,
  type Outcome,
  type Route,
  ROUTE_PROTOCOL,
} from "../plan/kernel.ts";
import type { Family } from "../ip/address.ts";
import { openLibc } from "./libc.ts";
import type { Libc } from "./libc.ts";
import { type LinkCodec, openLinkCodec } from "./links.ts";
import { ERRNO, errorText, RT_TABLE_MAIN, RTM, RTMGRP } from "./netlink/constants.ts";
import { writeDumpAddresses, writeDumpLinks } from "./netlink/link.ts";
import type { Answer } from "./netlink/message.ts";
import {
  readRoute,
  type RouteRecord,
  writeAddRoute,
  writeDeleteRoute,
  writeDumpRoutes,
} from "./netlink/route.ts";
import { EventSocket, RequestSocket, type WriteRequest } from "./socket.ts";

/** Requests in one `sendto`. More gains little; all of their errors must fit the socket's buffer. */
const BATCH_REQUESTS = 64;

const WATCHED_GROUPS = RTMGRP.link | RTMGRP.ipv4Address | RTMGRP.ipv6Address | RTMGRP.ipv4Route |
  RTMGRP.ipv6Route;

/** The kernel that this process runs on, in the network namespace that it was opened in. */
export class LinuxKernel implements Kernel {
  readonly #libc: Libc;
  readonly #codec: LinkCodec;
  readonly #socket: RequestSocket;
  readonly #events = new Set<EventSocket>();
  readonly #closing = new Set<Promise<void>>();
  #links: readonly KernelLink[] = [];

  constructor(libc: Libc, codec: LinkCodec) {
    this.#libc = libc;
    this.#codec = codec;
    this.#socket = new RequestSocket(libc);
  }

  /** @throws `PLATFORM_UNSUPPORTED`, `KERNEL_REJECTED` */
  static async open(): Promise<LinuxKernel> {
    const [libc, codec] = await Promise.all([openLibc(), openLinkCodec()]);
    return new LinuxKernel(libc, codec);
  }

  async read(): Promise<KernelState> {
    const links = this.#readLinks();
    const addresses = this.#socket.dump<KernelAddress>(
      writeDumpAddresses,
      (message) =>
        message.type === RTM.newAddress ? this.#codec.readAddress(message.body) : undefined,
    );
    const nameOf = new Map(links.map((link) => [link.index, link.name]));
    return {
      links,
      addresses,
      routes: [...this.#readRoutes(4, nameOf), ...this.#readRoutes(6, nameOf)],
    };
  }

  async apply(changes: readonly Change[]): Promise<readonly Outcome[]> {
    const outcomes: Outcome[] = [];
    for (let at = 0; at < changes.length;) {
      const batch: Step[] = [];
      let end = at;
      while (end < changes.length && batch.length < BATCH_REQUESTS) {
        batch.push(...this.#stepsOf(changes[end++]!));
      }
      outcomes.push(...this.#applyBatch(changes.slice(at, end), batch));
      at = end;
    }
    return outcomes;
  }

  watch(onChange: () => void): () => void {
    const events = new EventSocket(this.#libc, WATCHED_GROUPS);
    this.#events.add(events);
    events.listen((burst) => {
      // What this driver did itself is known already.
      if (burst?.every((event) => event.port === this.#socket.port)) return;
      onChange();
    });
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
    this.#links = this.#socket.dump<KernelLink>(
      writeDumpLinks,
      (message) => message.type === RTM.newLink ? this.#codec.readLink(message.body) : undefined,
    );
    return this.#links;
  }

  #readRoutes(family: Family, nameOf: ReadonlyMap<number, string>): KernelRoute[] {
    return this.#socket.dump<KernelRoute>(
      (writer, sequence) => writeDumpRoutes(writer, family, sequence),
      (message) => {
        const found = message.type === RTM.newRoute ? readRoute(message.body) : undefined;
        if (found?.table !== RT_TABLE_MAIN || found.destination.family !== family) return undefined;
        const { destination, via, onlink, protocol, metric, plain } = found;
        const device = nameOf.get(found.linkIndex ?? 0) ?? "";
        const gateway = via === undefined ? {} : { via };
        return { destination, ...gateway, device, onlink, protocol, metric, plain };
      },
    );
  }

  /** The number of a link; looked up again when the name is new. */
  #indexOf(name: string): number | undefined {
    const find = () => this.#links.find((link) => link.name === name)?.index;
    const known = find();
    if (known !== undefined) return known;
    this.#readLinks();
    return find();
  }

  #stepsOf(change: Change): Step[] {
    switch (change.kind) {
      case "add":
        return [this.#addStep(change, change.item)];
      case "remove":
        return [this.#removeStep(change, change.item)];
      case "replace": {
        const add = this.#addStep(change, change.item);
        // The old route is better than none.
        return add.failure === undefined ? [this.#removeStep(change, change.old), add] : [add];
      }
      default:
        return change satisfies never;
    }
  }

  #addStep(change: Change, item: Route): Step {
    const linkIndex = this.#indexOf(item.device);
    // Without a link the kernel would choose one by the gateway; that is not what was wanted.
    if (linkIndex === undefined) {
      return { change, failure: `${errorText(ERRNO.ENODEV)} ("${item.device}")` };
    }
    const record = recordOf(item, linkIndex);
    return { change, write: (writer, request) => writeAddRoute(writer, record, request) };
  }

  #removeStep(change: Change, item: Route): Step {
    // Named, as the kernel takes any when none is given, the lowest first.
    const metric = item.metric ?? defaultMetric(item.destination.family);
    const record = { ...recordOf(item, this.#indexOf(item.device)), metric };
    return {
      change,
      write: (writer, request) => writeDeleteRoute(writer, record, request),
      // In a replacement it does not matter who removed the old one.
      ...(change.kind === "replace" ? { mayMiss: true } : {}),
    };
  }

  #applyBatch(changes: readonly Change[], steps: readonly Step[]): Outcome[] {
    const sent = steps.filter((step) => step.write !== undefined);
    const answers = sent.length === 0 ? [] : this.#socket.batch(sent.map((step) => step.write!));
    const failures = new Map<Change, string>();
    for (const step of steps) {
      const failure = step.failure ?? failureOf(step, answers[sent.indexOf(step)]!);
      if (failure !== undefined) failures.set(step.change, failure);
    }
    return changes.map((change) => {
      const error = failures.get(change);
      return error === undefined ? { change } : { change, error };
    });
  }
}

/** One request of a change; a replacement has two. */
interface Step {
  readonly change: Change;
  readonly write?: WriteRequest;
  /** Why there is nothing to send. */
  readonly failure?: string;
  /** A deletion that finds nothing is fine. */
  readonly mayMiss?: boolean;
}

function failureOf(step: Step, answer: Answer): string | undefined {
  if (answer.errno === 0 || (step.mayMiss && answer.errno === ERRNO.ESRCH)) return undefined;
  return errorText(answer.errno, answer.words);
}

function recordOf(item: Route, linkIndex: number | undefined): RouteRecord {
  return {
    destination: item.destination,
    ...(item.via === undefined ? {} : { via: item.via }),
    ...(linkIndex === undefined ? {} : { linkIndex }),
    onlink: item.onlink === true,
    protocol: ROUTE_PROTOCOL,
    metric: item.metric ?? 0,
  };
}
