/** What this host gives to the network. */
import t from "tap";
import { hostGw } from "../../../plugins/host-gw/mod.ts";
import { advertised, attributesOf, findPlace } from "../../../src/agent/data/place.ts";
import { DEFAULT_SETTINGS } from "../../../src/agent/settings.ts";
import { type Backend, defineBackend } from "../../../src/backend/backend.ts";
import { BackendRegistry } from "../../../src/backend/registry.ts";
import { hex } from "../../../src/base/bytes.ts";
import { parseAddress } from "../../../src/ip/address.ts";
import { BACKEND_DATA_MAX } from "../../../src/lease/records.ts";
import { MemoryKernel } from "../../../src/kernel/memory-kernel.ts";

const NETWORK = '{"Network":"10.5.0.0/16","Backend":{"Type":"host-gw"}}';

async function find(options: {
  readonly network?: string;
  readonly iface?: string;
  readonly publicIp?: string;
  readonly seed?: string;
  readonly backends?: readonly Backend[];
}) {
  const kernel = new MemoryKernel();
  const address = (text: string) => ({ address: parseAddress(text), length: 24 });
  kernel.addLink("eth0", { addresses: [address("192.0.2.1")] });
  kernel.addLink("eth1", { addresses: [address("198.51.100.1")], mtu: 9000 });
  const { iface = "eth0", publicIp } = options;
  const publicIps = publicIp === undefined ? [] : [parseAddress(publicIp)];
  return await findPlace({
    kernel: await kernel.read(),
    backends: new BackendRegistry(options.backends ?? [hostGw]),
    wish: { iface, publicIps },
    seed: options.seed ?? "11".repeat(32),
    network: options.network ?? NETWORK,
  });
}

t.test("the link gives the MTU, the address is what peers are told", async (t) => {
  t.same(attributesOf(await find({ iface: "eth1" })), {
    publicIp: "198.51.100.1",
    backendType: "host-gw",
    backendData: "null",
  });
  t.equal((await find({ iface: "eth1" })).mtu, 9000);
  const network = '{"Network":"10.5.0.0/16","MTU":1400,"Backend":{"Type":"host-gw"}}';
  t.equal((await find({ network })).mtu, 1400, "the network's word counts");
});

t.test("each backend of a node has a secret of its own, the same at each start", async (t) => {
  const secrets: string[] = [];
  const keyed = (name: string) =>
    defineBackend({
      contract: 1,
      name,
      parseConfig: () => null,
      parseData: () => null,
      publish(host) {
        secrets.push(hex(host.secret));
        return { data: null, mtu: 1420 };
      },
      plan: () => [],
    });
  const backends = [keyed("one"), keyed("two")];
  const network = (type: string) => NETWORK.replace("host-gw", type);
  await find({ backends, network: network("one") });
  await find({ backends, network: network("one") });
  await find({ backends, network: network("two") });
  await find({ backends, network: network("one"), seed: "22".repeat(32) });
  t.equal(secrets[0], secrets[1]);
  t.equal(new Set(secrets).size, 3);
});

t.test("what does not fit is refused, with what to do", async (t) => {
  await t.rejects(find({ iface: "eth7" }), { code: "INTERFACE_NOT_FOUND", fix: /--iface/ });
  await t.rejects(find({ publicIp: "203.0.113.9" }), {
    code: "CONFIG_INVALID",
    fix: /--public-ip/,
  });
  await t.rejects(find({ network: NETWORK.replace("host-gw", "vxlam") }), {
    code: "CONFIG_INVALID",
    fix: /host-gw/,
  });
});

t.test("others are told where this node listens, unless something else was said", async (t) => {
  const settings = { ...DEFAULT_SETTINGS, version: "0" };
  const ip = parseAddress("192.0.2.1");
  t.equal(advertised(settings, ip), "192.0.2.1:7470");
  const listen = (host: string) => ({ ...settings, listen: { host, port: 99 } });
  t.equal(advertised(listen("10.9.0.1"), ip), "10.9.0.1:99");
  t.equal(advertised(listen("0.0.0.0"), ip), "192.0.2.1:99");
  t.equal(advertised(listen("fd00::1"), ip), "[fd00::1]:99");
  t.equal(advertised({ ...listen("10.9.0.1"), advertise: "lb.example:7" }, ip), "lb.example:7");
});

t.test("more than the other hosts would keep is refused before it is published", async (t) => {
  const wordy = (length: number) =>
    defineBackend({
      ...{ contract: 1, name: "wordy" },
      parseConfig: () => null,
      parseData: () => null,
      publish: () => ({ data: "\n".repeat(length), mtu: 1420 }),
      plan: () => [],
    });
  const network = '{"Network":"10.5.0.0/16","Backend":{"Type":"wordy"}}';
  const placeOf = (length: number) => find({ network, backends: [wordy(length)] });
  t.equal(attributesOf(await placeOf(8_191)).backendData.length, BACKEND_DATA_MAX);
  await t.rejects(placeOf(8_192), {
    code: "CONFIG_INVALID",
    why: "16386 characters of JSON; every other host keeps up to 16384 of them",
  });
});
