/** Two links with a router in between, for backends that cross it. */
import type { Host } from "../../src/cli/lab/host.ts";
import { ipBatch } from "../../src/cli/lab/ip.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import type { Family } from "../../src/ip/address.ts";

/** The switch of the other link. */
const FAR = "far";

/** What every host of a lab has its default route by: `Lab.addHost`. */
const GATEWAYS = ["192.0.2.254/24", "2001:db8::fe/64"];
/** The same, of the other link. */
const FAR_GATEWAYS = ["198.51.100.254/24", "2001:db8:9::fe/64"];

/** It knows its own two links only: to it a container's address is unknown. */
export async function addRouter(lab: Lab): Promise<Host> {
  await lab.addSwitch(FAR);
  const router = await lab.addBareHost("router", ["192.0.2.254"]);
  await lab.lay(router, "eth0");
  await lab.lay(router, "eth1", FAR);
  await router.set("net/ipv6/conf/all/forwarding", "1");
  await setAddresses(router, "eth0", GATEWAYS);
  await setAddresses(router, "eth1", FAR_GATEWAYS);
  return router;
}

/** A host beyond the router, which comes first: 198.51.100.N, 2001:db8:9::N. */
export async function addFarHost(
  lab: Lab,
  name: string,
  number: number,
  families: readonly Family[] = [4],
): Promise<Host> {
  const own = families.map((family) =>
    family === 4 ? `198.51.100.${number}` : `2001:db8:9::${number}`
  ) as [string, ...string[]];
  const host = await lab.addBareHost(name, own);
  await lab.lay(host, "eth0", FAR);
  await setAddresses(host, "eth0", own.map((one) => `${one}/${one.includes(":") ? 64 : 24}`));
  const [four, six] = FAR_GATEWAYS.map((gateway) => gateway.split("/")[0]);
  await ipBatch(
    families.map((family) =>
      family === 4 ? `route add default via ${four}` : `route add ::/0 via ${six}`
    ),
    host.namespace,
  );
  return host;
}

/** Duplicate detection would keep an IPv6 address from being used for seconds. */
async function setAddresses(host: Host, device: string, all: readonly string[]): Promise<void> {
  await host.set(`net/ipv6/conf/${device}/disable_ipv6`, "0");
  const lines = all.map((address) =>
    `addr add ${address} dev ${device}${address.includes(":") ? " nodad" : ""}`
  );
  await ipBatch([`link set ${device} up`, ...lines], host.namespace);
}
