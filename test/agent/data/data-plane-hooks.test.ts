/** A host whose network is looked after by commands: from the cluster's state to what is run. */
import t, { type Test } from "tap";
import { extension } from "../../../plugins/extension/mod.ts";
import { hostGw } from "../../../plugins/host-gw/mod.ts";
import { Preparation } from "../../../src/agent/data/preparation.ts";
import { BackendRegistry } from "../../../src/backend/registry.ts";
import { parseAddress } from "../../../src/ip/address.ts";
import { MemoryKernel } from "../../../src/kernel/memory-kernel.ts";
import { FakePrograms, hanging } from "../../support/fake-programs.ts";
import { until } from "../../support/fast-clock.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { attributes, joiner, OPEN_TOKEN } from "../../support/ledger.ts";
import { PlaneHost } from "../../support/plane-host.ts";

const CONFIG = JSON.stringify({
  Network: "10.5.0.0/16",
  Backend: {
    Type: "extension",
    PreStartupCommand: ["make"],
    PostStartupCommand: ["up", "$SUBNET"],
    SubnetAddCommand: ["add", "$SUBNET", "$PUBLIC_IP"],
    SubnetRemoveCommand: ["remove", "$SUBNET", "$PUBLIC_IP"],
    ShutdownCommand: ["down"],
  },
});

/** Host 1, of which the others think that it runs commands as they do. */
class Host extends PlaneHost implements AsyncDisposable {
  readonly programs = new FakePrograms();

  constructor(folder: string) {
    super(folder, machine());
    this.cluster.apply({ kind: "network.set", config: CONFIG });
    this.programs.out = "mac of host1\n";
  }

  /** A peer with the same backend. */
  come(n: number, publicIp = attributes(n).publicIp): void {
    const told = { publicIp, backendType: "extension", backendData: JSON.stringify(`mac ${n}`) };
    const node = joiner(n, { attributes: told });
    this.cluster.apply({ kind: "node.join", tokenId: OPEN_TOKEN.tokenId, node });
  }

  async run(t: Test): Promise<this> {
    const { programs, clock } = this;
    return await this.start(t, {
      ...{ programs, preparation: new Preparation({ programs, clock }) },
      backends: new BackendRegistry([hostGw, extension]),
    });
  }

  /** Before its folder goes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.plane[Symbol.asyncDispose]();
  }

  /** Of what this backend looks after. */
  get states(): string {
    return this.plane.routes().filter(({ state }) => state !== "left-out")
      .map(({ about, state }) => `${about} ${state}`).join(", ");
  }
}

function machine(): MemoryKernel {
  const kernel = new MemoryKernel();
  kernel.addLink("eth0", { addresses: [{ address: parseAddress("192.168.0.1"), length: 24 }] });
  return kernel;
}

t.test("peers are told what was printed, and each of them is added", async (t) => {
  await using host = new Host(temporaryFolder(t));
  host.come(2);
  await host.run(t);
  await until("all is well", () => host.states === "10.5.2.0/24 ok, 10.5.3.0/24 ok");
  t.same(host.programs.take(), ["make", "up 10.5.2.0/24", "add 10.5.3.0/24 192.168.0.2"]);
  t.equal(host.plane.attributes().backendData, '"mac of host1"');
  await until("containers may start", () => host.plane.subnetFileWritten);
  host.cluster.apply({ kind: "node.remove", node: "id2" });
  await until("it is removed", () => host.states === "10.5.2.0/24 ok");
  t.same(host.programs.take(), ["remove 10.5.3.0/24 192.168.0.2"]);
  t.same(host.kernel.routes.filter(({ protocol }) => protocol === 68), []);
});

t.test("peers of another backend are not peers of this one", async (t) => {
  await using host = new Host(temporaryFolder(t));
  host.join(2);
  host.come(3);
  await host.run(t);
  await until("all is well", () => host.states === "10.5.2.0/24 ok, 10.5.4.0/24 ok");
  t.same(host.programs.take().at(-1), "add 10.5.4.0/24 192.168.0.3");
  const others = host.plane.routes().filter(({ state }) => state === "left-out");
  t.same(others.map(({ about }) => about), ["10.5.1.0/24", "10.5.3.0/24"]);
});

t.test("containers are not started before the own subnet's command has ended well", async (t) => {
  await using host = new Host(temporaryFolder(t));
  const { end, release } = hanging();
  host.programs.end = (words) => words.startsWith("up") ? end : undefined;
  await host.run(t);
  await until("it runs", () => host.programs.running === 1);
  await host.pass();
  t.equal(host.env, undefined);
  release();
  await until("then they are", () => host.plane.subnetFileWritten);
  t.match(host.env ?? "", /FLANNEL_SUBNET=10\.5\.2\.1\/24/);
});

t.test("a peer that hangs holds up neither this host nor the other peers", async (t) => {
  await using host = new Host(temporaryFolder(t));
  for (const n of [2, 3]) host.come(n);
  host.programs.end = (words) => words.startsWith("add 10.5.3.") ? hanging().end : undefined;
  await host.run(t);
  await until("containers may start", () => host.plane.subnetFileWritten);
  await until(
    "the other is there",
    () => host.states === "10.5.2.0/24 ok, 10.5.3.0/24 missing, 10.5.4.0/24 ok",
  );
  host.come(4);
  await until("and a newcomer", () => host.states.endsWith("10.5.5.0/24 ok"));
  t.equal(host.programs.running, 1);
});

t.test("until a leader stands behind the state, nobody is removed", async (t) => {
  await using host = new Host(temporaryFolder(t));
  host.come(2);
  await host.run(t);
  await until("all is well", () => host.states === "10.5.2.0/24 ok, 10.5.3.0/24 ok");
  await host.plane[Symbol.asyncDispose]();
  await using again = new Host(host.folder);
  const view = again.cluster.view.bind(again.cluster);
  again.cluster.view = () => ({ ...view(), leaderAgeMs: undefined, leaderNode: undefined });
  await again.run(t);
  await until("it is known", () => again.states === "10.5.2.0/24 ok, 10.5.3.0/24 extra");
  t.same(again.programs.take(), ["make", "up 10.5.2.0/24"]);
  again.cluster.view = view;
  // It is not older than what was programmed any more.
  for (const end of [" ", "  ", "   "]) {
    again.cluster.apply({ kind: "network.set", config: CONFIG + end });
  }
  await until("then it is", () => again.states === "10.5.2.0/24 ok");
  t.same(again.programs.take(), ["remove 10.5.3.0/24 192.168.0.2"]);
});

t.test("a host that moves prepares itself anew, and all are run again", async (t) => {
  await using host = new Host(temporaryFolder(t));
  host.come(2);
  await host.run(t);
  await until("all is well", () => host.states === "10.5.2.0/24 ok, 10.5.3.0/24 ok");
  host.programs.take();
  host.kernel.removeLink("eth0");
  const address = { address: parseAddress("192.168.0.1"), length: 24 };
  host.kernel.addLink("eth0", { addresses: [address] });
  await until("they are", () => host.programs.begun.length === 3);
  t.same(host.programs.take(), ["make", "up 10.5.2.0/24", "add 10.5.3.0/24 192.168.0.2"]);
});

t.test("another backend takes over: peers are removed, then what the host had", async (t) => {
  await using host = new Host(temporaryFolder(t));
  host.come(2);
  await host.run(t);
  await until("all is well", () => host.states === "10.5.2.0/24 ok, 10.5.3.0/24 ok");
  host.programs.take();
  const config = '{"Network":"10.5.0.0/16","Backend":{"Type":"host-gw"}}';
  host.cluster.apply({ kind: "network.set", config });
  await until("nothing of it is left", () => host.states === "10.5.1.0/24 ok");
  t.same(host.programs.take(), ["remove 10.5.3.0/24 192.168.0.2", "down"]);
});

t.test("a config that this host does not allow changes nothing, and is told", async (t) => {
  await using host = new Host(temporaryFolder(t));
  host.come(2);
  await host.run(t);
  await until("all is well", () => host.states === "10.5.2.0/24 ok, 10.5.3.0/24 ok");
  host.programs.allowed = false;
  host.programs.take();
  const config = CONFIG.replace('"make"', '"something","else"');
  host.cluster.apply({ kind: "network.set", config });
  await until(
    "it says so",
    () => host.log.lines.some((line) => /does not fit this host.*not allowed/.test(line)),
  );
  t.same(host.programs.take(), []);
  t.equal(host.states, "10.5.2.0/24 ok, 10.5.3.0/24 ok");
});

t.test("who leaves removes its peers, and then what it had", async (t) => {
  await using host = new Host(temporaryFolder(t));
  host.come(2);
  await host.run(t);
  await until("all is well", () => host.states === "10.5.2.0/24 ok, 10.5.3.0/24 ok");
  host.programs.take();
  await host.plane.withdraw();
  t.same(host.programs.take(), ["remove 10.5.3.0/24 192.168.0.2", "down"]);
  t.equal(host.env, undefined);
});
