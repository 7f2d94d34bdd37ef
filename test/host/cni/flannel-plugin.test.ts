import t from "tap";
import { delegateOf, parsePlugin, typeOf } from "../../../src/host/cni/flannel-plugin.ts";
import { parseSubnetEnv } from "../../../src/lease/subnet-env.ts";

const ENV = parseSubnetEnv(
  "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\n" +
    "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
);

function delegated(config: object) {
  return delegateOf(parsePlugin(JSON.stringify({ name: "cbr0", type: "flannel", ...config })), ENV);
}

t.test("without a word it is a bridge, as flannel's plugin makes one", async (t) => {
  t.same(delegated({ cniVersion: "0.3.1" }), {
    name: "cbr0",
    cniVersion: "0.3.1",
    type: "bridge",
    mtu: 1450,
    ipMasq: false,
    isGateway: true,
    ipam: {
      type: "host-local",
      ranges: [[{ subnet: "10.244.3.0/24" }]],
      routes: [{ dst: "10.244.0.0/16" }],
    },
  });
});

t.test("what the user says of the delegate stays", async (t) => {
  const found = delegated({
    delegate: { type: "ptp", mtu: 1300, ipMasq: true, hairpinMode: true },
    ipam: { type: "host-local", dataDir: "/x", routes: [{ dst: "192.0.2.0/24" }] },
    runtimeConfig: { portMappings: [] },
  });
  t.same([found["type"], found["mtu"], found["ipMasq"]], ["ptp", 1300, true]);
  t.notOk("isGateway" in found, "that is a bridge's");
  t.notOk("cniVersion" in found);
  t.same(found["runtimeConfig"], { portMappings: [] });
  t.same(found["ipam"], {
    type: "host-local",
    dataDir: "/x",
    ranges: [[{ subnet: "10.244.3.0/24" }]],
    routes: [{ dst: "192.0.2.0/24" }, { dst: "10.244.0.0/16" }],
  });
});

t.test("what is no configuration is refused", async (t) => {
  const texts = ["", "[]", "{", '"x"', "{}", '{"name":""}', '{"name":1}'];
  const broken = [{ delegate: [] }, { delegate: { name: "x" } }, { delegate: { ipam: {} } }, {
    ipam: "x",
  }, { subnetFile: 1 }];
  texts.push(...broken.map((more) => JSON.stringify({ name: "cbr0", ...more })));
  for (const text of texts) t.throws(() => parsePlugin(text), { code: "CONFIG_INVALID" }, text);
  t.throws(() => delegated({ ipam: { ranges: {} } }), { code: "CONFIG_INVALID" });
  for (const type of ["../bridge", "/bin/sh", "", ".", "..", 7, null]) {
    t.throws(() => typeOf({ type }), { code: "CONFIG_INVALID" }, String(type));
  }
  t.equal(typeOf({ type: "bridge" }), "bridge");
});
