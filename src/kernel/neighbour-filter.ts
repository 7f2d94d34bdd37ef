import { assemble, EVERYTHING, type Instruction, JUMP_EQUAL, LOAD, RETURN } from "./bpf.ts";
import { RTM } from "./netlink/constants.ts";
import { HEADER_BYTES } from "./netlink/message.ts";

/** `linux/netlink.h`, struct nlmsghdr; `linux/neighbour.h`, struct ndmsg, behind it. */
const TYPE_AT = 4;
const LINK_AT = HEADER_BYTES + 4;

/** So many links are given numbers; with more of them all neighbours are heard. */
const LINKS_MAX = 100;

/**
 * A host with many containers has neighbours that come and go all the time. Of those events only the
 * ones that are about some links wake anybody; all events of other kinds do.
 */
export function onlyNeighboursOf(links: readonly number[]): Uint8Array {
  const numbers = links.slice(0, LINKS_MAX);
  const tests = numbers.map((
    index,
    i,
  ): Instruction => [JUMP_EQUAL, numbers.length - i, 0, swap32(index)]);
  const all = links.length > LINKS_MAX ? EVERYTHING : 0;
  return assemble([
    [LOAD.half, 0, 0, TYPE_AT],
    [JUMP_EQUAL, 1, 0, swap16(RTM.newNeighbour)],
    [JUMP_EQUAL, 0, numbers.length + 2, swap16(RTM.deleteNeighbour)],
    [LOAD.word, 0, 0, LINK_AT],
    ...tests,
    [RETURN, 0, 0, all],
    [RETURN, 0, 0, EVERYTHING],
  ]);
}

/** Netlink has the machine's order, and the filter loads in the network's. */
function swap32(value: number): number {
  const bytes = new DataView(new ArrayBuffer(4));
  bytes.setUint32(0, value, true);
  return bytes.getUint32(0);
}

function swap16(value: number): number {
  return (value & 0xff) << 8 | value >> 8;
}
