import { equalPrefix, formatPrefix } from "../ip/prefix.ts";
import { takesAnother } from "../plan/diff-links.ts";
import type { Change, KernelLink } from "../plan/kernel.ts";
import { aliasOf, isHalfMade, LINK_GROUP, networkOf } from "../plan/mark.ts";
import type { Link } from "../plan/wanted.ts";

const FAILURES = {
  exists: "EEXIST: File exists",
  vniExists: "EEXIST: A VXLAN device with the specified VNI already exists",
  noDevice: "ENODEV: No such device",
} as const;

/** What came of a change, and which links are not there any more, with what was on them. */
export interface LinkOutcome {
  readonly error?: string;
  readonly lost: readonly KernelLink[];
}

/** The links of a kernel in memory: a tunnel goes with its underlay, and no two are the same one. */
export class MemoryLinks {
  readonly #byName = new Map<string, KernelLink>();
  #indexMax = 1;

  get all(): KernelLink[] {
    return [...this.#byName.values()];
  }

  get(name: string): KernelLink | undefined {
    return this.#byName.get(name);
  }

  put(link: Omit<KernelLink, "index">): void {
    const index = this.get(link.name)?.index ?? ++this.#indexMax;
    this.#byName.set(link.name, { ...link, index });
  }

  /** @returns all that went */
  remove(name: string): KernelLink[] {
    const link = this.get(name);
    if (link === undefined) return [];
    this.#byName.delete(name);
    const tunnels = this.all.filter(({ detail }) => detail?.tunnel?.underlay === name);
    return [link, ...tunnels.flatMap((tunnel) => this.remove(tunnel.name))];
  }

  apply(kind: Change["kind"], item: Link, old: Link): LinkOutcome {
    if (kind === "add") return this.#add(item);
    if (kind === "remove") return this.#removeOurs(item);
    if (!takesAnother(old, item)) return this.#alter(item, old);
    if (!this.#byName.has(item.tunnel?.underlay ?? "")) return noUnderlay(item);
    const removed = this.#byName.has(old.name) ? this.#removeOurs(old) : { lost: [] };
    return removed.error === undefined ? { ...this.#add(item), lost: removed.lost } : removed;
  }

  #add(item: Link): LinkOutcome {
    const { name, mac, mtu, network, tunnel } = item;
    if (tunnel === undefined || !this.#byName.has(tunnel.underlay)) return noUnderlay(item);
    if (this.#byName.has(name)) return { error: FAILURES.exists, lost: [] };
    // A tunnel over IPv4 and one over IPv6 may have the same: they have sockets of their own.
    const isTaken = this.all.some(({ detail }) =>
      detail?.tunnel?.vni === tunnel.vni && detail.tunnel.port === tunnel.port &&
      detail.tunnel.local.family === tunnel.local.family
    );
    if (isTaken) return { error: FAILURES.vniExists, lost: [] };
    const detail = { mac, group: LINK_GROUP, alias: aliasOf(network), tunnel };
    this.put({ name, up: true, mtu, detail });
    return { lost: [] };
  }

  #alter(item: Link, old: Link): LinkOutcome {
    const found = this.#find(old);
    if (typeof found === "string") return { error: found, lost: [] };
    const { mac, mtu, network } = item;
    const detail = { ...found.detail!, mac, alias: aliasOf(network) };
    this.put({ ...found, up: true, mtu, detail });
    return { lost: [] };
  }

  #removeOurs(item: Link): LinkOutcome {
    const found = this.#find(item);
    if (typeof found === "string") return { error: found, lost: [] };
    return { lost: this.remove(item.name) };
  }

  #find({ name, network }: Link): KernelLink | string {
    const found = this.get(name);
    if (found === undefined) return `${FAILURES.noDevice} ("${name}")`;
    const of = networkOf(found);
    if (isHalfMade(found) || (of !== undefined && equalPrefix(of, network))) return found;
    return `${name} does not carry the mark of ${formatPrefix(network)}`;
  }
}

function noUnderlay({ tunnel }: Link): LinkOutcome {
  return { error: `${FAILURES.noDevice} ("${tunnel?.underlay ?? ""}")`, lost: [] };
}
