import t from "tap";
import { renderConflist } from "../../../src/host/cni/conflist.ts";

t.test("the list has what subnet.env says, and nothing that could contradict it", async (t) => {
  const text = renderConflist(
    "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\n" +
      "FLANNEL_IPV6_NETWORK=fd42::/48\nFLANNEL_IPV6_SUBNET=fd42:0:0:3::1/64\n" +
      "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n",
  );
  const { name, cniVersion, plugins: [bridge, portmap] } = JSON.parse(text);
  t.same([name, cniVersion, bridge.type, portmap.type], ["denim", "0.4.0", "bridge", "portmap"]);
  t.same(bridge.ipam.ranges, [[{ subnet: "10.244.3.0/24" }], [{ subnet: "fd42:0:0:3::/64" }]]);
  t.equal(bridge.mtu, 1450);
  t.equal(bridge.ipMasq, false, "who wants no masquerade by Denim wants none");
});

t.test("IPv6 alone is one range, and no MTU is none", async (t) => {
  const { plugins: [bridge] } = JSON.parse(renderConflist("FLANNEL_IPV6_SUBNET=fd42::1/64\n"));
  t.same(bridge.ipam.ranges, [[{ subnet: "fd42::/64" }]]);
  t.notOk("mtu" in bridge);
  t.throws(() => renderConflist("FLANNEL_MTU=1500\n"), { code: "CONFIG_INVALID" });
});
