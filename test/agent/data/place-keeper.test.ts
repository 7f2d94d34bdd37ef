/** Where a host stands, while its links and addresses come and go. */
import t, { type Test } from "tap";
import { hostGw } from "../../../plugins/host-gw/mod.ts";
import { PlaceKeeper } from "../../../src/agent/data/place-keeper.ts";
import type { Backend } from "../../../src/backend/backend.ts";
import { BackendRegistry } from "../../../src/backend/registry.ts";
import type { InterfaceWish } from "../../../src/host/interfaces.ts";
import { parseAddress } from "../../../src/ip/address.ts";
import { parsePrefix } from "../../../src/ip/prefix.ts";
import { MemoryKernel } from "../../../src/kernel/memory-kernel.ts";
import { IdentityFolder } from "../../../src/store/identity.ts";
import { FakeClock } from "../../support/clock.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { RecordingLogger } from "../../support/log.ts";
import { route } from "../../support/routes.ts";

const NETWORK = '{"Network":"10.5.0.0/16","Backend":{"Type":"host-gw"}}';
const DEFAULT = parsePrefix("0.0.0.0/0");

const at = (text: string) => {
  const [address, length] = text.split("/");
  return { address: parseAddress(address!), length: Number(length) };
};

/** A host with eth0 (10.0.0.1) and eth1 (10.1.0.1), and the default route by eth0. */
class Machine {
  readonly kernel = new MemoryKernel();
  readonly clock = new FakeClock();
  readonly log = new RecordingLogger();
  readonly keeper: PlaceKeeper;
  /** What peers were told, and whether it was an address. */
  readonly told: boolean[] = [];
  /** How often it asked to be shown the kernel again. */
  lasting = 0;

  constructor(identity: IdentityFolder, wish: InterfaceWish) {
    this.kernel.addLink("eth0", { addresses: [at("10.0.0.1/24")] });
    this.kernel.addLink("eth1", { addresses: [at("10.1.0.1/24")], mtu: 9000 });
    this.defaultBy("eth0", "10.0.0.254");
    const { clock, log: logger } = this;
    const onAttributes = (hasMoved: boolean) => void this.told.push(hasMoved);
    const backends = new BackendRegistry([hostGw, { ...hostGw, name: "other" } as Backend]);
    const onLasting = () => void this.lasting++;
    const options = { backends, wish, identity, clock, logger, onAttributes, onLasting };
    this.keeper = new PlaceKeeper(options);
  }

  static async start(t: Test, wish: InterfaceWish = {}, network = NETWORK): Promise<Machine> {
    const identity = new IdentityFolder(temporaryFolder(t));
    await identity.write("secret", { seed: "11".repeat(32) });
    const machine = new Machine(identity, wish);
    await machine.keeper.prepare(network, await machine.kernel.read());
    return machine;
  }

  defaultBy(device: string, gateway: string): void {
    this.kernel.putRoute(route("0.0.0.0/0", gateway, device), { protocol: 3 });
  }

  async look(): Promise<boolean> {
    return await this.keeper.look(await this.kernel.read());
  }

  /** True where what was seen is followed once it has lasted. */
  async lookTwice(): Promise<boolean> {
    if (await this.look()) throw new Error("it was followed at once");
    await this.clock.advance(5_000);
    return await this.look();
  }

  /** What the node tells, in short. */
  get place(): string {
    const { host, mtu } = this.keeper.place!;
    return `${host.link.name} ${host.link.index} ${this.keeper.attributes().publicIp} ${mtu}`;
  }

  get warnings(): string[] {
    return this.log.lines.filter((line) => line.startsWith("warn"));
  }
}

t.test("where nothing has changed nothing is done", async (t) => {
  const machine = await Machine.start(t);
  t.equal(machine.place, "eth0 2 10.0.0.1 1500");
  t.equal(await machine.look(), false);
  machine.kernel.putRoute(route("10.77.0.0/24", "10.0.0.9"), { protocol: 4 });
  t.equal(await machine.look(), false);
  await machine.clock.advance(1_000);
  t.same([machine.told, machine.warnings], [[], []]);
});

t.test("the default route moves, and the place with it; peers hear of it once", async (t) => {
  const machine = await Machine.start(t);
  machine.defaultBy("eth1", "10.1.0.254");
  t.equal(await machine.lookTwice(), true);
  t.equal(machine.lasting, 1);
  t.equal(machine.place, "eth1 3 10.1.0.1 9000");
  t.same(machine.told, [], "it may be for a moment only");
  await machine.clock.advance(1_000);
  t.same(machine.told, [true]);
  t.equal(await machine.look(), false);
});

t.test("what was for a moment only is not followed", async (t) => {
  const machine = await Machine.start(t);
  machine.defaultBy("eth1", "10.1.0.254");
  t.equal(await machine.look(), false);
  await machine.clock.advance(4_000);
  machine.defaultBy("eth0", "10.0.0.254");
  t.equal(await machine.look(), false);
  machine.defaultBy("eth1", "10.1.0.254");
  t.equal(await machine.look(), false);
  await machine.clock.advance(4_000);
  t.equal(await machine.look(), false, "its time begins anew");
  t.same([machine.place, machine.told], ["eth0 2 10.0.0.1 1500", []]);
});

t.test("an address that is away for a moment is not given up for another one", async (t) => {
  const machine = await Machine.start(t, { iface: "eth0" });
  machine.kernel.addAddress("eth0", at("10.0.0.100/32"));
  t.equal(await machine.look(), false);
  machine.kernel.removeLink("eth0");
  machine.kernel.addLink("eth0", { addresses: [at("10.0.0.100/32")] });
  t.equal(await machine.look(), false);
  await machine.clock.advance(1_000);
  machine.kernel.addAddress("eth0", at("10.0.0.1/24"));
  t.equal(await machine.look(), true, "another index");
  await machine.clock.advance(5_000);
  t.equal(await machine.look(), false);
  t.same([machine.place, machine.told], ["eth0 4 10.0.0.1 1500", []]);
});

t.test("a better default route by a VPN moves nothing", async (t) => {
  const machine = await Machine.start(t);
  const better = { ...route("0.0.0.0/0", "10.1.0.254", "eth1"), metric: 0 };
  machine.kernel.dropRoute(DEFAULT);
  machine.kernel.putRoute({ ...route("0.0.0.0/0", "10.0.0.254"), metric: 100 }, { protocol: 3 });
  machine.kernel.putRoute(better, { protocol: 4 });
  t.equal(await machine.lookTwice(), false);
  t.equal(machine.place, "eth0 2 10.0.0.1 1500");
});

t.test("without a default route all stays, and says why", async (t) => {
  const machine = await Machine.start(t);
  machine.kernel.dropRoute(DEFAULT);
  t.equal(await machine.look(), false);
  t.equal(await machine.look(), false);
  t.equal(machine.place, "eth0 2 10.0.0.1 1500");
  t.equal(machine.keeper.failure?.why, "there is no default route for IPv4");
  t.equal(machine.warnings.length, 1, "once for as long as it lasts");
  machine.defaultBy("eth0", "10.0.0.254");
  t.equal(await machine.look(), false);
  t.equal(machine.keeper.failure, undefined);
});

t.test("an address is exchanged together with the routes through it", async (t) => {
  const machine = await Machine.start(t);
  const { index } = machine.keeper.place!.host.link;
  machine.kernel.removeLink("eth0");
  t.equal(await machine.look(), false, "not found: the former place");
  t.equal(machine.place, `eth0 ${index} 10.0.0.1 1500`);
  machine.kernel.addLink("eth0", { addresses: [at("10.0.0.7/24")], mtu: 1400 });
  t.equal(await machine.lookTwice(), true, "by no default route, but it is the same interface");
  t.equal(machine.place, "eth0 4 10.0.0.7 1400");
  t.match(machine.keeper.failure!.why!, /no default route/);
  await machine.clock.advance(1_000);
  t.same(machine.told, [true]);
});

t.test("another MTU is another place, and no news for peers", async (t) => {
  const machine = await Machine.start(t, { iface: "eth0" });
  machine.kernel.removeLink("eth0");
  machine.kernel.addLink("eth0", { addresses: [at("10.0.0.1/24")], mtu: 1400 });
  t.equal(await machine.look(), true);
  t.equal(machine.place, "eth0 4 10.0.0.1 1400");
  await machine.clock.advance(1_000);
  t.same(machine.told, []);
});

t.test("another network config is followed at the next look, or said not to fit", async (t) => {
  const machine = await Machine.start(t);
  machine.keeper.network = NETWORK.replace("host-gw", "vxlam");
  t.equal(await machine.look(), false);
  t.match(machine.keeper.failure!.message, /vxlam/);
  t.match(machine.warnings.join(), /new network config does not fit this host/);
  machine.keeper.network = NETWORK.replace("{", '{"MTU":1300,');
  t.equal(await machine.look(), true);
  t.equal(machine.place, "eth0 2 10.0.0.1 1300");
  t.equal(machine.keeper.failure, undefined);
  machine.keeper.network = NETWORK.replace("host-gw", "other");
  t.equal(await machine.look(), true);
  await machine.clock.advance(1_000);
  t.same(machine.told, [false], "peers hear of another backend; the host is where it was");
});

t.test("an address that the backend refuses changes nothing", async (t) => {
  const publicIps = [parseAddress("10.0.0.1")];
  const machine = await Machine.start(t, { iface: "eth0", publicIps });
  machine.kernel.removeLink("eth0");
  machine.kernel.addLink("eth0", { addresses: [at("10.0.0.7/24")] });
  t.equal(await machine.lookTwice(), false);
  t.equal(machine.keeper.attributes().publicIp, "10.0.0.1");
  t.match(machine.keeper.failure!.why!, /10\.0\.0\.1, but eth0 has 10\.0\.0\.7/);
});

const BOTH = NETWORK.replace("{", '{"EnableIPv6":true,"IPv6Network":"fd05::/48",');

t.test("a host that starts with one family of two does with it until the other is back", async (t) => {
  const machine = await Machine.start(t, { iface: "eth0" }, BOTH);
  t.equal(machine.place, "eth0 2 10.0.0.1 1500");
  t.equal(machine.keeper.attributes().publicIpv6, undefined);
  t.equal(machine.keeper.failure?.why, "it has no usable IPv6 address");
  t.equal(await machine.look(), false);
  t.equal(machine.warnings.length, 1);

  machine.kernel.removeLink("eth0");
  machine.kernel.addLink("eth0", { addresses: [at("10.0.0.9/24")] });
  t.equal(await machine.lookTwice(), true, "what it has is followed");
  t.equal(machine.place, "eth0 4 10.0.0.9 1500");

  machine.kernel.addAddress("eth0", at("fd00::9/64"));
  t.equal(await machine.lookTwice(), true);
  t.equal(machine.keeper.attributes().publicIpv6, "fd00::9");
  t.equal(machine.keeper.failure, undefined);
  await machine.clock.advance(1_000);
  t.same(machine.told, [true, true], "peers hear of both");
});

t.test("a family that goes while the host is up is kept as it was known", async (t) => {
  const identity = new IdentityFolder(temporaryFolder(t));
  await identity.write("secret", { seed: "11".repeat(32) });
  const machine = new Machine(identity, { iface: "eth0" });
  machine.kernel.addAddress("eth0", at("fd00::1/64"));
  await machine.keeper.prepare(BOTH, await machine.kernel.read());
  machine.kernel.removeLink("eth0");
  machine.kernel.addLink("eth0", { addresses: [at("10.0.0.1/24")] });
  t.equal(await machine.look(), false);
  t.equal(machine.keeper.attributes().publicIpv6, "fd00::1");
});

t.test("without an address in any family there is no place", async (t) => {
  await t.rejects(Machine.start(t, { iface: "eth9" }, BOTH), { code: "INTERFACE_NOT_FOUND" });
});
