/** How a host gets an identity, and how it is left when it gets none. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import t, { type Test } from "tap";
import { hostGw } from "../../../plugins/host-gw/mod.ts";
import { enterCluster, type Way } from "../../../src/agent/entry/entry.ts";
import { DEFAULT_SETTINGS, type Settings } from "../../../src/agent/settings.ts";
import { BackendRegistry } from "../../../src/backend/registry.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { parseAddress } from "../../../src/ip/address.ts";
import { parsePrefix } from "../../../src/ip/prefix.ts";
import { MemoryKernel } from "../../../src/kernel/memory-kernel.ts";
import { theCluster, theNetwork } from "../../../src/lease/state.ts";
import { ROUTE_PROTOCOL } from "../../../src/plan/kernel.ts";
import { Copy } from "../../../src/store/copy.ts";
import { IdentityFolder } from "../../../src/store/identity.ts";
import { storeFolder } from "../../../src/store/place.ts";
import { Store } from "../../../src/store/store.ts";
import { readIdentity } from "../../../src/transport/certificate.ts";
import { fastClock, until } from "../../support/fast-clock.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { RecordingLogger } from "../../support/log.ts";
import { freePort } from "../../support/sockets.ts";
import { kernelLink, vxlan } from "../../support/links.ts";
import { route } from "../../support/routes.ts";

/** A link that another life of this host has left. */
const marked = (network: string) => kernelLink(vxlan({ network: parsePrefix(network) }));

const NETWORK = '{"Network":"10.5.0.0/16"}';

class Host {
  readonly folder: string;
  readonly kernel = new MemoryKernel();
  readonly log = new RecordingLogger();
  readonly steps: string[] = [];
  readonly stop = new AbortController();
  readonly identity: IdentityFolder;
  settings: Settings;

  constructor(t: Test) {
    this.folder = temporaryFolder(t);
    this.identity = new IdentityFolder(join(this.folder, "identity"));
    const subnetFile = join(this.folder, "subnet.env");
    const own = { stateDir: this.folder, subnetFile, iface: "eth0", version: "0.1.0" };
    const listen = { host: "127.0.0.1", port: 0 };
    this.settings = { ...DEFAULT_SETTINGS, ...own, listen, advertise: "192.0.2.1:7470" };
    const address = { address: parseAddress("192.0.2.1"), length: 24 };
    this.kernel.addLink("eth0", { addresses: [address] });
  }

  enter(way: Way, name = "web1") {
    return enterCluster({
      ...{ settings: this.settings, name, way, identity: this.identity, kernel: this.kernel },
      place: storeFolder(join(this.folder, "store")),
      backends: new BackendRegistry([hostGw]),
      ...{ clock: fastClock(20), random: seededRandom(1), logger: this.log },
      signal: this.stop.signal,
      onStep: (step) => this.steps.push(step),
    });
  }

  found(network = NETWORK, name?: string) {
    return this.enter({ kind: "found", network }, name);
  }

  get names(): string[] {
    return readdirSync(this.folder, { recursive: true }).map(String).sort();
  }
}

t.test("a host founds a cluster of its own", async (t) => {
  const host = new Host(t);
  await host.found();
  t.same(host.steps, ["checked", "founded"]);
  const record = (await host.identity.read("node"))!;
  t.same([record.name, record.role], ["web1", "server"]);
  t.equal(readIdentity((await host.identity.readPem("cert"))!).nodeId, record.nodeId);
  t.ok(await host.identity.readPem("caKey"));
  await using store = await Store.open(join(host.folder, "store"));
  const { state } = new Copy(store.loaded.applied, store.loaded.records);
  t.equal(theCluster(state)?.clusterId, record.clusterId);
  t.same(JSON.parse(theNetwork(state)!), {
    Network: "10.5.0.0/16",
    Backend: { Type: "host-gw" },
  }, "the backend is written out");
  t.equal(state.get("node", record.nodeId)!.body.address, "192.0.2.1:7470");
});

t.test("a host that has an identity keeps it, whatever is said", async (t) => {
  const host = new Host(t);
  await host.found();
  const before = await host.identity.read("node");
  await host.found('{"Network":"10.99.0.0/16"}');
  await host.enter({ kind: "wait" });
  t.same(await host.identity.read("node"), before);
});

t.test("what keeps a host from founding leaves it as it was", async (t) => {
  const cases: readonly (readonly [string, string, (host: Host) => unknown, string?])[] = [
    ["CONFIG_INVALID", "{", () => {}],
    ["CONFIG_INVALID", '{"Network":"10.5.0.0/16","SubnetLen":12}', () => {}],
    ["CONFIG_INVALID", '{"Network":"10.5.0.0/16","Subnets":12}', () => {}],
    ["CONFIG_INVALID", NETWORK, () => {}, "a name"],
    ["INTERFACE_NOT_FOUND", NETWORK, (host) => host.kernel.removeLink("eth0")],
    [
      "NETWORK_OVERLAP",
      NETWORK,
      (host) => host.kernel.putRoute(route("10.5.7.0/24", "192.0.2.9"), { protocol: 4 }),
    ],
    [
      "CLUSTER_EXISTS",
      NETWORK,
      (host) =>
        host.kernel.putRoute(route("10.5.7.0/24", "192.0.2.9"), { protocol: ROUTE_PROTOCOL }),
    ],
    ["CLUSTER_EXISTS", NETWORK, (host) => host.kernel.putLink("denim.1", marked("10.5.0.0/16"))],
  ];
  for (const [code, network, prepare, name] of cases) {
    const host = new Host(t);
    prepare(host);
    await t.rejects(host.found(network, name), { code }, code);
    t.same(host.names, [], code);
  }
});

t.test("what is of another network is another daemon's, and keeps nobody from founding", async (t) => {
  const host = new Host(t);
  host.kernel.putLink("denim.1", marked("10.77.0.0/16"));
  host.kernel.putRoute(route("10.77.0.0/24", "192.0.2.9"), { protocol: ROUTE_PROTOCOL });
  await host.found(NETWORK);
  t.ok(host.names.length > 0);
});

t.test("a seed that answers is the cluster that this host belongs to", async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => server.close());
  const host = new Host(t);
  const seed = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  host.settings = { ...host.settings, seeds: ["127.0.0.1:1", seed] };
  await t.rejects(host.found(), { code: "CLUSTER_EXISTS", fix: `denim join ${seed}` });
  t.same(host.names, []);
});

t.test("a store without an identity is put aside, and back when that was for nothing", async (t) => {
  const host = new Host(t);
  mkdirSync(join(host.folder, "store"));
  writeFileSync(join(host.folder, "store", "old"), "old");
  await t.rejects(host.found("{"), { code: "CONFIG_INVALID" });
  t.same(host.names, ["store", "store/old"]);
  const write = host.identity.write.bind(host.identity);
  host.identity.write = (kind, record) =>
    kind === "node" ? Promise.reject(new Error("full")) : write(kind, record);
  await t.rejects(host.found(), { message: "full" });
  t.same(host.names.filter((name) => /store|key|cert|ca/.test(name)), ["store", "store/old"]);
  host.identity.write = write;
  await host.found();
  const aside = readdirSync(host.folder).find((name) => name.startsWith("store.aside-"))!;
  t.equal(readFileSync(join(host.folder, aside, "old"), "utf8"), "old");
  t.ok(existsSync(join(host.folder, "store", "CURRENT")));
});

t.test("a host that waits never forms a cluster", async (t) => {
  const host = new Host(t);
  const waiting = host.enter({ kind: "wait" });
  await until(
    "it says that it waits",
    () => host.log.lines.some((line) => /^warn .*waits.*denim join/.test(line)),
  );
  t.same(host.names, []);
  host.stop.abort();
  await t.rejects(waiting, { code: "CANCELLED" });
  t.same(host.names, []);
});

t.test("an unattended host goes on trying, says so once, and reads the token anew", async (t) => {
  const host = new Host(t);
  let count = 0;
  const joining = host.enter({
    kind: "join",
    addresses: ["127.0.0.1:1"],
    token: () => Promise.resolve(`denim1_${count++}`),
    replace: undefined,
    keepTrying: true,
  });
  await until("it has tried again", () => count >= 3);
  t.equal(host.log.lines.filter((line) => /^warn .*goes on trying/.test(line)).length, 1);
  host.stop.abort();
  await t.rejects(joining, { code: "CANCELLED" });
  t.same(host.names, []);
});

t.test("one attempt is one attempt", async (t) => {
  const host = new Host(t);
  const way = {
    kind: "join",
    addresses: ["127.0.0.1:1"],
    token: () => Promise.resolve("denim1_x"),
    replace: undefined,
    keepTrying: false,
  } as const;
  await t.rejects(host.enter(way), { code: "TOKEN_MALFORMED" });
  t.same(host.names, []);
});

t.test("a port that is taken is found out before anything is made", async (t) => {
  const server = createServer();
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  t.teardown(() => server.close());
  const host = new Host(t);
  host.settings = { ...host.settings, listen: { host: "127.0.0.1", port } };
  await t.rejects(host.found(), { code: "PORT_IN_USE", fix: /--listen/ });
  t.same(host.names, []);
  server.close();
  await new Promise((resolve) => server.once("close", resolve));
  await host.found();
});
