import { readFileSync } from "node:fs";
import { DenimError } from "../base/errors.ts";

/** `linux/capability.h`: links, addresses, routes and the settings of the network. */
const CAP_NET_ADMIN = 12n;

/**
 * Refuses to start where no route could be programmed: a node without them would take a subnet,
 * call itself ready and reach nobody.
 *
 * @throws `PERMISSION_DENIED`
 */
export function requireNetworkRights(status = "/proc/self/status"): void {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync(status, "utf8"))?.[1];
  if (effective === undefined || (BigInt(`0x${effective}`) >> CAP_NET_ADMIN & 1n) === 1n) return;
  throw new DenimError("PERMISSION_DENIED", "Denim may not change this host's network", {
    why: "this process has no CAP_NET_ADMIN, and could not program a single route",
    fix: "run it as root, or in a container with --cap-add NET_ADMIN",
  });
}
