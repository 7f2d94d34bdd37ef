import t from "tap";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { parseSubnetEnv, renderSubnetEnv } from "../../src/lease/subnet-env.ts";

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

t.test("what was rendered is read back", async (t) => {
  const text = renderSubnetEnv({
    networks: prefixes("10.42.0.0/16", "2001:cafe:42::/56"),
    subnets: prefixes("10.42.7.0/24", "2001:cafe:42:7::/64"),
    mtu: 1450,
    ipMasq: true,
  });
  t.same(parseSubnetEnv(text), {
    gateway: "10.42.7.1/24",
    gatewayV6: "2001:cafe:42:7::1/64",
    network: "10.42.0.0/16",
    networkV6: "2001:cafe:42::/56",
    mtu: 1450,
    ipMasq: true,
  });
});

t.test("a file that a person wrote is read as a shell would", async (t) => {
  const read = parseSubnetEnv(
    "# mine\nFLANNEL_SUBNET=10.1.1.1/24\nexport FLANNEL_SUBNET=\"10.1.2.1/24\"\nFLANNEL_MTU='1400'\n",
  );
  t.same([read.gateway, read.mtu, read.ipMasq, read.network], [
    ...["10.1.2.1/24", 1400, undefined, undefined],
  ]);
});

t.test("a file without a subnet, or with one that is none, is refused", async (t) => {
  for (const text of ["", "FLANNEL_MTU=1400\n", "FLANNEL_SUBNET=\n", "FLANNEL_SUBNET=10.1.1.0\n"]) {
    t.throws(() => parseSubnetEnv(text), { code: "CONFIG_INVALID" }, text);
  }
});
