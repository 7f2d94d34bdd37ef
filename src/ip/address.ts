import { DenimError } from "../base/errors.ts";

export type Family = 4 | 6;

/** One IP address. `value` is the whole address as a number: 32 or 128 bits. */
export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

/** The one of a family, among things of which each family has at most one. */
export function ofFamily<T extends { readonly family: Family }>(
  items: readonly T[],
  family: Family,
): T | undefined {
  return items.find((item) => item.family === family);
}

/** Bits in an address of the family. */
export function widthOf(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/**
 * Reads an IPv4 or IPv6 address, strictly: four decimal parts without leading zeros (some readers
 * take `010` for 8), RFC 4291 groups with at most one `::`, no zone.
 *
 * @throws `CONFIG_INVALID`
 */
export function parseAddress(text: string): Address {
  const address = text.includes(":") ? parseIpv6(text) : parseIpv4(text);
  if (address === undefined) {
    throw new DenimError("CONFIG_INVALID", `Cannot read "${text}" as an IP address`);
  }
  return address;
}

/** As {@link parseAddress}, but `undefined` instead of an error. */
export function tryParseAddress(text: string): Address | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

export function formatAddress(address: Address): string {
  return address.family === 4 ? formatIpv4(address.value) : formatIpv6(address.value);
}

export function equalAddress(a: Address, b: Address): boolean {
  return a.family === b.family && a.value === b.value;
}

/** Orders IPv4 before IPv6, then by number. */
export function compareAddress(a: Address, b: Address): number {
  if (a.family !== b.family) return a.family - b.family;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

/** The address in network byte order: 4 or 16 bytes. */
export function addressBytes(address: Address): Uint8Array {
  const bytes = new Uint8Array(widthOf(address.family) / 8);
  let rest = address.value;
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/** Reads 4 or 16 bytes in network byte order. */
export function addressFromBytes(bytes: Uint8Array): Address {
  if (bytes.length === 4) {
    const bits = (bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!;
    return { family: 4, value: BigInt(bits >>> 0) };
  }
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return { family: 6, value };
}

function parseIpv4(text: string): Address | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return { family: 4, value };
}

function parseIpv6(text: string): Address | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0]!, { dottedEnd: halves.length === 1 });
  const tail = halves.length === 2 ? parseGroups(halves[1]!, { dottedEnd: true }) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return { family: 6, value: groups.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n) };
}

/** Groups of 16 bits; the dotted form of the last 32 may stand at the very end (RFC 4291, 2.2). */
function parseGroups(text: string, options: { dottedEnd: boolean }): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (options.dottedEnd && i === parts.length - 1 && part.includes(".")) {
      const dotted = parseIpv4(part);
      if (dotted === undefined) return undefined;
      groups.push(Number(dotted.value >> 16n), Number(dotted.value & 0xffffn));
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(parseInt(part, 16));
    }
  }
  return groups;
}

function formatIpv4(value: bigint): string {
  // Every pass formats the whole table, and small numbers are several times as fast.
  const bits = Number(value);
  return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
}

/** RFC 5952: lower case, the longest run of two or more zero groups as `::`, the first when equal. */
function formatIpv6(value: bigint): string {
  const groups = Array.from(
    { length: 8 },
    (_, i) => Number((value >> BigInt(112 - 16 * i)) & 0xffffn),
  );
  let [start, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && groups[i + run] === 0) run++;
    if (run > length) [start, length] = [i, run];
  }
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  if (start < 0) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}
