import { Buffer } from "node:buffer";
import type { KernelAddress, KernelLink } from "../plan/kernel.ts";
import { LINK_NAME } from "../plan/mark.ts";
import type { Vxlan } from "../plan/wanted.ts";
import { addressFromBytes } from "../ip/address.ts";
import { readAttributes, readText, readU32 } from "./netlink/attribute.ts";
import { type LinkRecord, readLinkRecord } from "./netlink/link.ts";
import { AF, IFINFOMSG_BYTES, IFLA, RT_SCOPE } from "./netlink/constants.ts";

/** A link whose underlay has no name yet. */
export interface LinkFound {
  readonly link: KernelLink;
  /** Only where the name is one that Denim gives. */
  readonly record?: LinkRecord;
}

/** Reads links and addresses out of rtnetlink messages. */
export interface LinkCodec {
  /** The body of an RTM_NEWLINK. */
  readLink(body: Uint8Array): LinkFound;
  /** The body of an RTM_NEWADDR; `undefined` when it carries no address. */
  readAddress(body: Uint8Array): KernelAddress | undefined;
}

/**
 * The structures are npm netlink's, from the one module that loads no native code. Links' own
 * attributes are read here: its link decoder unpacks all fifty, nested ones too, and throws on the
 * first that a newer kernel has changed.
 */
export async function openLinkCodec(): Promise<LinkCodec> {
  const codec = await import("netlink/dist/rt/gen_structs.js");
  return {
    readLink(body) {
      const head = codec.parseLink(bufferOf(body.subarray(0, IFINFOMSG_BYTES)));
      const attributes = readAttributes(body, IFINFOMSG_BYTES);
      const name = readText(attributes.get(IFLA.name)) ?? "";
      const link = {
        index: head.index ?? 0,
        name,
        up: head.flags?.up === true,
        mtu: readU32(attributes.get(IFLA.mtu)) ?? 0,
      };
      return LINK_NAME.test(name) ? { link, record: readLinkRecord(attributes) } : { link };
    },
    readAddress(body) {
      const head = codec.parseAddress(bufferOf(body.subarray(0, codec.__LENGTH_Address)));
      const attributes = codec.parseAddressAttrs(bufferOf(body.subarray(codec.__LENGTH_Address)));
      // On a point-to-point link `address` is the other end.
      const own = attributes.local ?? attributes.address;
      if (own === undefined) return undefined;
      const flags = attributes.flags ?? head.flags ?? {};
      return {
        linkIndex: head.index ?? 0,
        address: addressFromBytes(new Uint8Array(own)),
        length: head.prefixlen ?? 0,
        scope: scopeOf(head.scope ?? 0),
        flags: {
          deprecated: flags.deprecated === true,
          // The same bit is "secondary" for IPv4 (`linux/if_addr.h`).
          temporary: head.family === AF.inet6 && flags.secondary === true,
          permanent: flags.permanent === true,
          tentative: flags.tentative === true,
        },
      };
    },
  };
}

/** Links by name in place of number, as wanted ones are written. */
export function nameUnderlays(found: readonly LinkFound[]): KernelLink[] {
  return found.map(({ link, record }) => {
    if (record === undefined) return link;
    const { mac, group, alias, vxlan } = record;
    if (vxlan === undefined) return { ...link, detail: { mac, group, alias } };
    const { underlayIndex, ...rest } = vxlan;
    const underlay = found.find(({ link }) => link.index === underlayIndex)?.link.name ?? "";
    const tunnel: Vxlan = { kind: "vxlan", ...rest, underlay };
    return { ...link, detail: { mac, group, alias, tunnel } };
  });
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function scopeOf(scope: number): KernelAddress["scope"] {
  switch (scope) {
    case RT_SCOPE.universe:
      return "global";
    case RT_SCOPE.link:
      return "link";
    case RT_SCOPE.host:
      return "host";
    default:
      return "other";
  }
}
