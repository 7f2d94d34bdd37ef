/** A backend that sends all peers' packets through one gateway, which knows where they go. */
import { type Address, defineBackend, DenimError, type Json, tryParseAddress } from "denim/backend";

export const backend = defineBackend<Address, null>({
  contract: 1,
  name: "static",

  parseConfig(json: Json) {
    const text = (json as { Gateway?: unknown } | null)?.Gateway;
    const gateway = typeof text === "string" ? tryParseAddress(text) : undefined;
    if (gateway !== undefined) return gateway;
    throw new DenimError("CONFIG_INVALID", "The static backend needs a Gateway", {
      fix: '"Backend": {"Type": "static", "Gateway": "192.0.2.1"}',
    });
  },

  parseData: () => null,

  publish: (host) => ({ data: null, mtu: host.link.mtu }),

  plan: ({ host, config, peers }) =>
    peers.flatMap((peer) =>
      peer.subnets
        .filter((subnet) => subnet.family === config.family)
        .map((destination) => ({
          kind: "route" as const,
          destination,
          via: config,
          device: host.link.name,
        }))
    ),
});
