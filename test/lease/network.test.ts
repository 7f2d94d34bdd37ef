import t from "tap";
import { formatPrefix } from "../../src/ip/prefix.ts";
import { parseNetworkConfig, withExplicitBackend } from "../../src/lease/network.ts";

/** The pools as `length first last`, and how many subnets that is. */
function pools(config: object): string[] {
  return parseNetworkConfig(JSON.stringify(config), { unknownKeys: "keep" }).pools.map((pool) => {
    const bits = BigInt((pool.network.family === 4 ? 32 : 128) - pool.subnetLength);
    const count = ((pool.last.base - pool.first.base) >> bits) + 1n;
    return `/${pool.subnetLength} ${formatPrefix(pool.first)} ${formatPrefix(pool.last)} ${count}`;
  });
}

const invalid = (message: string | RegExp) => ({ code: "CONFIG_INVALID", message });

function refused(config: object): { code: string; message: string; why?: string } {
  try {
    parseNetworkConfig(JSON.stringify(config));
  } catch (error) {
    return error as { code: string; message: string };
  }
  return { code: "nothing", message: "was taken" };
}

t.test("flannel's defaults follow from the size of the network", async (t) => {
  t.same(pools({ Network: "10.3.0.0/16" }), ["/24 10.3.1.0/24 10.3.255.0/24 255"]);
  t.same(pools({ Network: "10.5.0.0/24" }), ["/26 10.5.0.64/26 10.5.0.192/26 3"]);
  t.same(pools({ Network: "10.5.0.0/22" }), ["/24 10.5.1.0/24 10.5.3.0/24 3"]);
  t.same(pools({ Network: "10.5.0.0/23" }), ["/25 10.5.0.128/25 10.5.1.128/25 3"]);
  t.same(pools({ Network: "10.5.0.0/28" }), ["/30 10.5.0.4/30 10.5.0.12/30 3"]);
  t.same(pools({ EnableIPv4: false, EnableIPv6: true, IPv6Network: "fc00::/48" }), [
    "/64 fc00:0:0:1::/64 fc00:0:0:ffff::/64 65535",
  ]);
  t.same(pools({ EnableIPv4: false, EnableIPv6: true, IPv6Network: "fc00::/124" }), [
    "/126 fc00::4/126 fc00::c/126 3",
  ]);
});

t.test("host bits of the network are dropped", async (t) => {
  t.same(pools({ Network: "10.3.7.9/16" }), ["/24 10.3.1.0/24 10.3.255.0/24 255"]);
});

t.test("length and range can be chosen", async (t) => {
  const network = { Network: "10.3.0.0/16", SubnetMin: "10.3.5.0", SubnetMax: "10.3.8.0" };
  t.same(pools({ ...network, SubnetLen: 28 }), ["/28 10.3.5.0/28 10.3.8.0/28 49"]);
  t.same(pools(network), ["/24 10.3.5.0/24 10.3.8.0/24 4"]);
});

t.test("both families at once give IPv4 first", async (t) => {
  const both = { Network: "10.3.0.0/16", EnableIPv6: true, IPv6Network: "fd00:12::/48" };
  t.same(pools(both), [
    "/24 10.3.1.0/24 10.3.255.0/24 255",
    "/64 fd00:12:0:1::/64 fd00:12:0:ffff::/64 65535",
  ]);
});

t.test("what flannel refuses is refused in flannel's words", async (t) => {
  const v6 = { EnableIPv4: false, EnableIPv6: true };
  const cases: readonly (readonly [object, string])[] = [
    [{}, "please define a correct Network parameter in the flannel config"],
    [{ Network: "" }, "please define a correct Network parameter in the flannel config"],
    [v6, "please define a correct IPv6Network parameter in the flannel config"],
    [{ EnableIPv4: false }, "none defined stack"],
    [{ Network: "10.3.0.0" }, 'invalid CIDR address: "10.3.0.0"'],
    [{ Network: "fd00::/48" }, 'invalid CIDR address: "fd00::/48"'],
    [{ Network: "10.3.0.0/16", SubnetLen: 31 }, "SubnetLen must be less than /31"],
    [{ ...v6, IPv6Network: "fc00::/48", IPv6SubnetLen: 127 }, "SubnetLen must be less than /127"],
    [
      { Network: "10.3.0.0/16", SubnetLen: 17 },
      "network must be able to accommodate at least four subnets",
    ],
    [
      { ...v6, IPv6Network: "fc00::/48", IPv6SubnetLen: 49 },
      "network must be able to accommodate at least four subnets",
    ],
    [
      { Network: "10.3.0.0/29" },
      "network is too small. Minimum useful network prefix is /28",
    ],
    [
      { ...v6, IPv6Network: "fc00::/125" },
      "IPv6Network is too small. Minimum useful network prefix is /124",
    ],
    [
      { Network: "10.3.0.0/16", SubnetMin: "10.4.0.0" },
      "SubnetMin is not in the range of the Network",
    ],
    [
      { Network: "10.3.0.0/16", SubnetMax: "10.4.0.0" },
      "SubnetMax is not in the range of the Network",
    ],
    [
      { ...v6, IPv6Network: "fc00::/48", IPv6SubnetMin: "fd00::" },
      "IPv6SubnetMin is not in the range of the IPv6Network",
    ],
    [
      { Network: "10.3.0.0/16", SubnetMin: "10.3.1.5" },
      "SubnetMin is not on a SubnetLen boundary: 10.3.1.5",
    ],
    [
      { Network: "10.3.0.0/16", SubnetMax: "10.3.1.128" },
      "SubnetMax is not on a SubnetLen boundary: 10.3.1.128",
    ],
    [{ Network: "10.3.0.0/16", SubnetMin: "10.3.1" }, "invalid IP address format"],
    [
      { Network: "10.3.0.0/16", Backend: "vxlan" },
      "error decoding Backend property of config",
    ],
    [{ Network: "10.3.0.0/16", Backend: {} }, "unknown backend type: "],
  ];
  for (const [config, message] of cases) {
    const error = refused(config);
    t.same([error.code, error.message], ["CONFIG_INVALID", message]);
  }
});

t.test("what flannel does not check is checked", async (t) => {
  const backwards = { Network: "10.3.0.0/16", SubnetMin: "10.3.8.0", SubnetMax: "10.3.5.0" };
  t.equal(refused(backwards).message, "SubnetMin is above SubnetMax");
  t.throws(() => parseNetworkConfig("{"), invalid("The network config is not JSON"));
  t.throws(() => parseNetworkConfig("[]"), invalid("The network config must be a JSON object"));
});

t.test("keys may be written in any case, and the last of two wins", async (t) => {
  t.same(pools({ network: "10.3.0.0/16", SUBNETLEN: 26 }), [
    "/26 10.3.0.64/26 10.3.255.192/26 1023",
  ]);
  t.same(pools({ Network: "10.3.0.0/16", network: "10.4.0.0/16" }), [
    "/24 10.4.1.0/24 10.4.255.0/24 255",
  ]);
});

t.test("null is as if the key were not there, as in Go", async (t) => {
  t.same(pools({ Network: "10.3.0.0/16", SubnetMin: null, SubnetLen: null, LeaseTTL: null }), [
    "/24 10.3.1.0/24 10.3.255.0/24 255",
  ]);
});

t.test("an unknown key is refused with the one that was probably meant", async (t) => {
  const near = refused({ Network: "10.3.0.0/16", SubnetLenn: 24 });
  t.same([near.message, near.why], [
    'Unknown key "SubnetLenn" in the network config',
    'did you mean "SubnetLen"?',
  ]);
  t.match(refused({ Network: "10.3.0.0/16", Colour: "red" }).why ?? "", /^the keys are Network, /);
});

t.test("an unknown key is kept with a warning where another system wrote it", async (t) => {
  const text = '{"Network":"10.3.0.0/16","Backend":{"Type":"vxlan"},"Colour":"red"}';
  const config = parseNetworkConfig(text, { unknownKeys: "keep" });
  t.same(config.warnings, ['unknown key "Colour" is kept, unused']);
});

t.test("the type of the backend is found in any case, its options are kept", async (t) => {
  const config = parseNetworkConfig('{"Network":"10.3.0.0/16","backend":{"type":"VXLAN","VNI":7}}');
  t.equal(config.backendType, "vxlan");
  t.equal(config.backendOptions, '{"type":"VXLAN","VNI":7}');
  t.same(config.warnings, []);
});

t.test("a config without a backend means udp, with a warning", async (t) => {
  const config = parseNetworkConfig('{"Network":"10.3.0.0/16"}');
  t.equal(config.backendType, "udp");
  t.match(config.warnings.join(), /udp/);
});

t.test("an explicit backend is added without touching what was typed", async (t) => {
  const typed = '{\n  "Network": "10.3.0.0/16"\n}\n';
  t.equal(
    withExplicitBackend(typed),
    '{\n  "Network": "10.3.0.0/16", "Backend": {"Type":"host-gw"}\n}\n',
  );
  t.equal(withExplicitBackend("{}"), '{"Backend": {"Type":"host-gw"}}');
  t.equal(parseNetworkConfig(withExplicitBackend(typed)).backendType, "host-gw");
  t.equal(parseNetworkConfig(withExplicitBackend(typed, "vxlan")).backendType, "vxlan");
  const named = '{"Network":"10.3.0.0/16","backend":{"type":"vxlan"}}';
  t.equal(withExplicitBackend(named), named);
  const nulled = withExplicitBackend('{"Network":"10.3.0.0/16","Backend":null}');
  t.equal(parseNetworkConfig(nulled).backendType, "host-gw");
  t.throws(() => withExplicitBackend("[1]"), { code: "CONFIG_INVALID" });
});

t.test("LeaseTTL is a duration or seconds, within what holders believe", async (t) => {
  const ttl = (LeaseTTL: unknown) =>
    parseNetworkConfig(JSON.stringify({ Network: "10.3.0.0/16", LeaseTTL })).leaseTtlMs;
  t.equal(ttl(undefined), 86_400_000);
  t.equal(ttl("90m"), 5_400_000);
  t.equal(ttl(30), 30_000);
  for (const wrong of ["4s", "25h", 4, "soon", -1, 1e12]) {
    t.match(refused({ Network: "10.3.0.0/16", LeaseTTL: wrong }).message, /LeaseTTL/);
  }
});

t.test("the other extra keys are read and checked", async (t) => {
  const config = parseNetworkConfig(JSON.stringify({
    ...{ Network: "10.3.0.0/16", SilentPeer: "unreachable", MTU: 1400 },
    MasqExempt: ["10.0.0.0/8", "fd00::/8"],
  }));
  t.equal(config.silentPeer, "unreachable");
  t.equal(config.mtu, 1400);
  t.same(config.masqExempt.map(formatPrefix), ["10.0.0.0/8", "fd00::/8"]);
  const plain = parseNetworkConfig('{"Network":"10.3.0.0/16","MTU":0}');
  t.same([plain.silentPeer, plain.mtu, plain.masqExempt], ["keep", undefined, []]);
  const wrongs = [
    { SilentPeer: "drop" },
    { MTU: 100 },
    { MTU: 1400.5 },
    { MasqExempt: "10.0.0.0/8" },
    { MasqExempt: ["10.0.0.0"] },
    { EnableIPv4: "yes" },
    { SubnetLen: "24" },
  ];
  for (const wrong of wrongs) {
    t.equal(refused({ Network: "10.3.0.0/16", ...wrong }).code, "CONFIG_INVALID");
  }
});
