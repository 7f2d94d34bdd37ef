import { defineBackend, DenimError, formatAddress, localMac } from "denim/backend";
import { DEFAULT_PORT, readConfig, readVtep, type Vtep, type VxlanConfig } from "./config.ts";
import { innerMtu, isLinkLocal, planVxlan } from "./plan.ts";

/** RFC 8200, 5. */
const IPV6_MTU_MIN = 1280;

/** Carries packets in UDP from host to host (RFC 7348): the underlay may have routers. */
export const vxlan = defineBackend<VxlanConfig, Vtep>({
  contract: 1,
  name: "vxlan",
  parseConfig: readConfig,
  parseData: readVtep,

  publish(host, config) {
    const { vni, port } = config;
    const { name } = host.link;
    const local = host.addresses.find(({ address }) => isLinkLocal(address));
    if (local !== undefined) {
      throw new DenimError("CONFIG_INVALID", `Cannot have a vxlan over ${name}`, {
        why: `its IPv6 address ${formatAddress(local.address)} is link-local: no tunnel ends there`,
        fix: "give it another IPv6 address, or choose another interface: --iface",
      });
    }
    const mtus = host.addresses.map(({ family }) => innerMtu(host, config, family));
    const mtu = Math.min(...mtus);
    if (mtu < IPV6_MTU_MIN && host.addresses.some(({ family }) => family === 6)) {
      throw new DenimError("CONFIG_INVALID", `Cannot carry IPv6 in a vxlan over ${name}`, {
        why: `${mtu} bytes fit into its packets beside the outer headers; IPv6 needs ` +
          `${IPV6_MTU_MIN} (RFC 8200)`,
        fix: `raise the MTU of ${name}, or Backend.MTU`,
      });
    }
    const vtep = { VNI: vni, VtepMAC: localMac(host.secret) };
    return { data: port === DEFAULT_PORT ? vtep : { ...vtep, Port: port }, mtu };
  },

  plan: planVxlan,
});
