import type { Change, KernelLink } from "../plan/kernel.ts";
import { takesAnother } from "../plan/diff-links.ts";
import { aliasOf, isHalfMade, LINK_GROUP, networkOf } from "../plan/mark.ts";
import { equalPrefix, formatPrefix } from "../ip/prefix.ts";
import type { Link } from "../plan/wanted.ts";
import { ERRNO, errorText } from "./netlink/constants.ts";
import { type LinkSettings, writeAddLink, writeDeleteLink, writeSetLink } from "./netlink/link.ts";
import type { RequestSocket, WriteRequest } from "./socket.ts";

/**
 * Makes, changes and removes links, one at a time: they are few, and each takes several steps. The
 * kernel keeps no mark of ours as it does with routes, so before each step the links are read, the
 * mark is looked at, and the link is named by its number, which no other link has after it.
 */
export class LinkMaker {
  readonly #socket: RequestSocket;
  readonly #read: () => readonly KernelLink[];

  constructor(socket: RequestSocket, read: () => readonly KernelLink[]) {
    this.#socket = socket;
    this.#read = read;
  }

  /** @returns why not; `undefined` after success */
  apply(kind: Change["kind"], item: Link, old: Link = item): string | undefined {
    if (kind === "add") return this.#add(item);
    if (kind === "remove") return this.#remove(item);
    if (!takesAnother(old, item)) return this.#alter(item, old);
    return this.#underlayOf(item) === undefined
      ? noUnderlay(item)
      : this.#remove(old, { mayMiss: true }) ?? this.#add(item);
  }

  #add(item: Link): string | undefined {
    const { name, mac, mtu, tunnel } = item;
    const underlayIndex = this.#underlayOf(item);
    if (tunnel === undefined || underlayIndex === undefined) return noUnderlay(item);
    const { vni, port, local, learning, gbp = false } = tunnel;
    const vxlan = { vni, port, local, underlayIndex, learning, gbp };
    const failure = this.#send((writer, request) =>
      writeAddLink(writer, { name, mac, mtu, group: LINK_GROUP, vxlan }, request)
    );
    return failure ?? this.#alter(item, item);
  }

  /**
   * The mark comes first, and is there whatever else fails; up comes last. Only what differs is
   * said: the kernel tells every watcher of a mark, also of the one that was there, and whoever
   * wakes itself with what fails in the end would try it without end.
   */
  #alter(item: Link, old: Link): string | undefined {
    const found = this.#find(old);
    if (typeof found === "string") return found;
    const { mac, mtu, network, tunnel } = item;
    const settings: LinkSettings[] = [];
    if (found.detail?.alias !== aliasOf(network)) settings.push({ alias: aliasOf(network) });
    if (found.detail?.mac !== mac) settings.push({ mac });
    if (found.mtu !== mtu) settings.push({ mtu });
    if (!found.up) settings.push({ up: true });
    if (settings.length === 0) return undefined;
    const answers = this.#socket.batch(
      settings.map((some) => (writer, request) => writeSetLink(writer, found.index, some, request)),
    );
    const now = this.#read().find(({ index }) => index === found.index);
    const failed = answers.findIndex(({ errno }) => errno !== 0);
    if (failed < 0 && (now === undefined || now.mtu === mtu)) return undefined;
    // A tunnel's MTU is bounded by its underlay's: the kernel refuses more, or takes it for less.
    const isMtu = failed < 0 || settings[failed]!.mtu !== undefined;
    const { errno, words } = answers[failed] ?? { errno: ERRNO.EINVAL, words: undefined };
    const why = errorText(errno, words);
    return isMtu ? `${why} (MTU ${mtu} over ${tunnel?.underlay}; it is ${now?.mtu})` : why;
  }

  #remove(item: Link, options: { mayMiss?: true } = {}): string | undefined {
    const found = this.#find(item);
    if (typeof found === "string") {
      const isGone = options.mayMiss && !this.#read().some(({ name }) => name === item.name);
      return isGone ? undefined : found;
    }
    const failure = this.#send((writer, request) => writeDeleteLink(writer, found.index, request));
    this.#read();
    return failure;
  }

  /** Only one of ours, or one that had only been begun; else why not. */
  #find({ name, network }: Link): KernelLink | string {
    const found = this.#read().find((link) => link.name === name);
    if (found === undefined) return `${errorText(ERRNO.ENODEV)} ("${name}")`;
    const of = networkOf(found);
    if (isHalfMade(found) || (of !== undefined && equalPrefix(of, network))) return found;
    return `${name} does not carry the mark of ${formatPrefix(network)}`;
  }

  #underlayOf({ tunnel }: Link): number | undefined {
    return this.#read().find(({ name }) => name === tunnel?.underlay)?.index;
  }

  #send(write: WriteRequest): string | undefined {
    const [answer] = this.#socket.batch([write]);
    return answer!.errno === 0 ? undefined : errorText(answer!.errno, answer!.words);
  }
}

function noUnderlay({ tunnel }: Link): string {
  return `${errorText(ERRNO.ENODEV)} ("${tunnel?.underlay ?? ""}")`;
}
