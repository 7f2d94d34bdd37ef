/** What becomes of a daemon.json that is there already. */
import t from "tap";
import { dockerKeys, mergeDaemonJson } from "../../../src/cli/env/daemon-json.ts";
import { parseSubnetEnv } from "../../../src/lease/subnet-env.ts";

const ENV = parseSubnetEnv(
  "FLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
);

t.test("without a file there is one, with our keys alone", async (t) => {
  for (const text of [undefined, "", "\n", "{}"]) {
    const merged = mergeDaemonJson(text, ENV);
    t.equal(merged.text, '{\n  "bip": "10.244.3.1/24",\n  "mtu": 1450,\n  "ip-masq": false\n}\n');
    t.same([merged.changed, merged.kept], [["bip", "mtu", "ip-masq"], []]);
  }
});

t.test("everything else stays, in its place and with its indent", async (t) => {
  const text = `{
    "log-driver": "journald",
    "bip": "172.17.0.1/16",
    "default-address-pools": [{"base": "10.10.0.0/16", "size": 24}],
    "mtu": 1450
}
`;
  const merged = mergeDaemonJson(text, ENV);
  const { "default-address-pools": pools, ...others } = JSON.parse(merged.text);
  t.same(pools, [{ base: "10.10.0.0/16", size: 24 }]);
  t.same(others, {
    ...{ "log-driver": "journald", bip: "10.244.3.1/24", mtu: 1450, "ip-masq": false },
  });
  t.same(Object.keys(JSON.parse(merged.text)), [
    ...["log-driver", "bip", "default-address-pools", "mtu", "ip-masq"],
  ]);
  t.match(merged.text, /^\{\n {4}"log-driver"/);
  t.same([merged.changed, merged.kept], [
    ...[["bip", "ip-masq"], ["log-driver", "default-address-pools", "mtu"]],
  ]);
});

t.test("a file that says all of it stays as it is, to the byte", async (t) => {
  const text = '{"mtu":1450,   "ip-masq":false,\n\t"bip":"10.244.3.1/24", "debug": true}';
  const merged = mergeDaemonJson(text, ENV);
  t.same([merged.text, merged.changed], [text, []]);
  t.same(mergeDaemonJson(mergeDaemonJson(undefined, ENV).text, ENV).changed, []);
});

t.test("IPv6 has keys of its own", async (t) => {
  const env = parseSubnetEnv("FLANNEL_IPV6_SUBNET=fd00:5:0:3::1/64\n");
  t.same(dockerKeys(env), { ipv6: true, "fixed-cidr-v6": "fd00:5:0:3::/64" });
});

t.test("what cannot be merged is refused", async (t) => {
  for (const text of ["{", "[]", "null", '"x"', '{"bip": "x", // mine\n}']) {
    t.throws(() => mergeDaemonJson(text, ENV), { code: "CONFIG_INVALID" }, text);
  }
  t.throws(() => mergeDaemonJson('{"bridge": "br0"}', ENV), {
    code: "CONFIG_INVALID",
    fix: /--form network/,
  });
});
