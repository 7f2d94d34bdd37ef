import { defineBackend } from "denim/backend";

/** Gives this host its subnet, and leaves the routes between subnets to others. */
export const alloc = defineBackend<null, null>({
  contract: 1,
  name: "alloc",
  parseConfig: () => null,
  parseData: () => null,
  publish: (host) => ({ data: null, mtu: host.link.mtu }),
  plan: () => [],
});
