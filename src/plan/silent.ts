import { contains, type Prefix } from "../ip/prefix.ts";
import type { Wanted } from "./wanted.ts";

/**
 * What is wanted while nobody hears the nodes of these subnets: a route there that says so at once,
 * in place of one on which packets are lost until the sender has lost its patience.
 */
export function withUnreachable(
  wanted: readonly Wanted[],
  silent: readonly Prefix[],
): readonly Wanted[] {
  if (silent.length === 0) return wanted;
  return wanted.map((item) =>
    item.kind === "route" && silent.some((subnet) => contains(subnet, item.destination))
      ? { kind: "route", destination: item.destination, device: "", unreachable: true }
      : item
  );
}
