import t from "tap";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { renderSubnetEnv } from "../../src/lease/subnet-env.ts";

const prefixes = (...texts: string[]) => texts.map(parsePrefix);

t.test("subnet.env is what flannel writes, byte for byte", async (t) => {
  const text = renderSubnetEnv({
    networks: prefixes("10.42.0.0/16"),
    subnets: prefixes("10.42.7.0/24"),
    mtu: 1450,
    ipMasq: true,
  });
  t.equal(
    text,
    "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\n" +
      "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
  );
});

t.test("both families have their lines, IPv4 first", async (t) => {
  const text = renderSubnetEnv({
    networks: prefixes("10.42.0.0/16", "2001:cafe:42::/56"),
    subnets: prefixes("10.42.0.0/24", "2001:cafe:42::/64"),
    mtu: 1500,
    ipMasq: false,
  });
  t.equal(
    text,
    "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.0.1/24\n" +
      "FLANNEL_IPV6_NETWORK=2001:cafe:42::/56\nFLANNEL_IPV6_SUBNET=2001:cafe:42::1/64\n" +
      "FLANNEL_MTU=1500\nFLANNEL_IPMASQ=false\n",
  );
});

t.test("IPv6 alone has its own lines only", async (t) => {
  const text = renderSubnetEnv({
    networks: prefixes("fd00:42::/48"),
    subnets: prefixes("fd00:42:0:7::/64"),
    mtu: 1420,
    ipMasq: true,
  });
  t.equal(
    text,
    "FLANNEL_IPV6_NETWORK=fd00:42::/48\nFLANNEL_IPV6_SUBNET=fd00:42:0:7::1/64\n" +
      "FLANNEL_MTU=1420\nFLANNEL_IPMASQ=true\n",
  );
});
