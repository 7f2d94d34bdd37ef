import { equalAddress } from "../ip/address.ts";
import type { Change } from "../plan/kernel.ts";
import type { ForwardingEntry } from "../plan/wanted.ts";
import { RTM } from "./netlink/constants.ts";
import type { Message } from "./netlink/message.ts";
import { readNeighbour } from "./netlink/neighbour.ts";

/**
 * Forwarding entries that this driver has made or taken away since it last read them. The kernel
 * says with most events whose request they come from, but not with these (`vxlan_fdb_notify`); so
 * they are known by what they say. One that says just what was asked for is no news, whoever it is
 * from; whatever somebody does to it after that has an event of its own.
 */
export class OwnEntries {
  readonly #entries = new Map<string, { readonly gone: boolean; readonly item: ForwardingEntry }>();

  note({ kind, item }: Change, indexOf: (device: string) => number | undefined): void {
    if (item.kind !== "forwarding") return;
    const key = keyOf(indexOf(item.device) ?? 0, item.mac);
    this.#entries.set(key, { gone: kind === "remove", item });
  }

  has({ type, body }: Message): boolean {
    const isOfEntry = type === RTM.newNeighbour || type === RTM.deleteNeighbour;
    if (!isOfEntry || this.#entries.size === 0) return false;
    const found = readNeighbour(body);
    if (found?.sort !== "forwarding" || found.address === undefined) return false;
    const own = this.#entries.get(keyOf(found.linkIndex, found.mac ?? ""));
    if (own === undefined || own.gone !== (type === RTM.deleteNeighbour)) return false;
    return own.gone || (found.permanent && found.plain &&
      equalAddress(found.address, own.item.remote));
  }

  /** They are read anew. */
  forget(): void {
    this.#entries.clear();
  }
}

function keyOf(linkIndex: number, mac: string): string {
  return `${linkIndex} ${mac}`;
}
