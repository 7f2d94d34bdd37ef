import { DenimError } from "../base/errors.ts";
import { type Address, type Family, formatAddress, tryParseAddress, widthOf } from "./address.ts";

/** A block of addresses. The host bits of `base` are zero. */
export interface Prefix {
  readonly family: Family;
  readonly base: bigint;
  /** Number of leading network bits: 0 to 32, or 0 to 128. */
  readonly length: number;
}

/**
 * Reads `address/length`. Host bits are dropped, as flannel does: `10.5.7.9/16` is `10.5.0.0/16`.
 *
 * @throws `CONFIG_INVALID`
 */
export function parsePrefix(text: string): Prefix {
  const prefix = tryParsePrefix(text);
  if (prefix === undefined) {
    throw new DenimError("CONFIG_INVALID", `Cannot read "${text}" as a CIDR block`);
  }
  return prefix;
}

/** As {@link parsePrefix}, but `undefined` instead of an error. */
export function tryParsePrefix(text: string): Prefix | undefined {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  const address = match ? tryParseAddress(match[1]!) : undefined;
  if (match === null || address === undefined) return undefined;
  const length = Number(match[2]);
  return length > widthOf(address.family) ? undefined : prefixOf(address, length);
}

/** The block of `length` bits that holds the address. */
export function prefixOf(address: Address, length: number): Prefix {
  const hostBits = BigInt(widthOf(address.family) - length);
  return { family: address.family, base: (address.value >> hostBits) << hostBits, length };
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(baseAddress(prefix))}/${prefix.length}`;
}

export function baseAddress(prefix: Prefix): Address {
  return { family: prefix.family, value: prefix.base };
}

/** How many addresses the block holds. */
export function sizeOf(prefix: Prefix): bigint {
  return 1n << BigInt(widthOf(prefix.family) - prefix.length);
}

/** The last address of the block, as a number. */
export function lastValue(prefix: Prefix): bigint {
  return prefix.base + sizeOf(prefix) - 1n;
}

/** The first address after the base: what a host's bridge gets. */
export function firstHost(prefix: Prefix): Address {
  return { family: prefix.family, value: prefix.base + 1n };
}

/** The block right behind this one, of the same size. */
export function nextPrefix(prefix: Prefix): Prefix {
  return { ...prefix, base: prefix.base + sizeOf(prefix) };
}

export function equalPrefix(a: Prefix, b: Prefix): boolean {
  return a.family === b.family && a.base === b.base && a.length === b.length;
}

export function contains(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && containsAddress(outer, baseAddress(inner));
}

export function containsAddress(prefix: Prefix, address: Address): boolean {
  const { family, base, length } = prefix;
  return family === address.family &&
    (base ^ address.value) >> BigInt(widthOf(family) - length) === 0n;
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  return contains(a, b) || contains(b, a);
}

/** Orders IPv4 before IPv6, then by base, then the larger block first. */
export function comparePrefix(a: Prefix, b: Prefix): number {
  if (a.family !== b.family) return a.family - b.family;
  if (a.base !== b.base) return a.base < b.base ? -1 : 1;
  return a.length - b.length;
}
