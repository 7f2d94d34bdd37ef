/** Whole daemons in one process, in a network namespace of their own. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import t, { type Test } from "tap";
import { backends } from "../../plugins/mod.ts";
import type { Way } from "../../src/agent/entry/entry.ts";
import { DEFAULT_SETTINGS, type Settings } from "../../src/agent/settings.ts";
import { startDaemon } from "../../src/agent/start.ts";
import { ApiClient } from "../../src/api/client.ts";
import { reform } from "../../src/replica/reform.ts";
import { Copy } from "../../src/store/copy.ts";
import { Store } from "../../src/store/store.ts";
import { until } from "../support/fast-clock.ts";
import { temporaryFolder } from "../support/folders.ts";
import { RecordingLogger } from "../support/log.ts";
import { cannotUnshare, inNamespace, ip } from "../support/namespace.ts";

const options = { skip: cannotUnshare, timeout: 300_000 };
const NETWORK = '{"Network":"10.5.0.0/16"}';

/** A host with one address; several daemons on it need different ports and places. */
class Host {
  readonly folder: string;
  readonly log = new RecordingLogger();
  readonly stop = new AbortController();

  constructor(t: Test, address = "192.0.2.1") {
    this.folder = temporaryFolder(t);
    inNamespace(t as never);
    ip("link set lo up");
    ip("link add eth0 type veth peer name wire");
    ip(`addr add ${address}/24 dev eth0`);
    ip("link set eth0 up");
  }

  settings(more: Partial<Settings> = {}): Settings {
    return {
      ...DEFAULT_SETTINGS,
      stateDir: join(this.folder, "state"),
      socketPath: join(this.folder, "denim.sock"),
      subnetFile: join(this.folder, "subnet.env"),
      listen: { host: "127.0.0.1", port: 7470 },
      iface: "eth0",
      version: "0.1.0",
      ...more,
    };
  }

  start(way: Way, more: Partial<Settings> = {}, signal = this.stop.signal) {
    return startDaemon({
      ...{ settings: this.settings(more), name: "web1", way, backends, signal },
      ...{ logger: this.log, onStep: () => {} },
    });
  }

  get files(): string[] {
    return readdirSync(this.folder, { recursive: true }).map(String).sort();
  }
}

const found: Way = { kind: "found", network: NETWORK };

t.test("founded, stopped, started again, left", options, async (t) => {
  const host = new Host(t);
  const first = await host.start(found);
  await until("it is ready", () => first.service.status().ready);
  const { lease, role } = first.service.status();
  t.same([lease.subnets, role], [["10.5.1.0/24"], "leader"]);
  t.match(readFileSync(join(host.folder, "subnet.env"), "utf8"), /FLANNEL_SUBNET=10\.5\.1\.1\/24/);
  const client = new ApiClient(join(host.folder, "denim.sock"));
  t.match((await client.text("/metrics")).text, /^denim_ready 1$/m);
  await first[Symbol.asyncDispose]();
  t.ok(existsSync(join(host.folder, "subnet.env")), "stopping takes nothing away");

  const second = await host.start({ kind: "wait" });
  await until("it is ready again", () => second.service.status().ready);
  t.same(second.service.status().lease.subnets, ["10.5.1.0/24"]);
  t.same(await second.service.leave(), { subnets: ["10.5.1.0/24"], stays: [] });
  await second.retired;
  await second[Symbol.asyncDispose]();
  t.same(host.files, ["state", "state/lock"], "nothing is left of it");
});

t.test(
  "a network config that its backend cannot read is refused, and changes nothing",
  options,
  async (t) => {
    const host = new Host(t);
    const only = await host.start(found);
    await until("it is ready", () => only.service.status().ready);
    const before = await only.service.network("stale");
    for (const Backend of [{ Type: "vxlan", VNI: -1 }, { Type: "udp" }]) {
      const config = JSON.stringify({ Network: "10.5.0.0/16", Backend });
      await t.rejects(only.service.setNetwork(config, undefined), { code: "CONFIG_INVALID" });
    }
    t.same(await only.service.network("stale"), before);
    await only[Symbol.asyncDispose]();
  },
);

t.test("recovered: on hold, and its own lease is claimed at once", options, async (t) => {
  const host = new Host(t);
  const first = await host.start(found);
  await until("it is ready", () => first.service.status().ready);
  const { id } = first.service.status().node;
  await t.rejects(first.service.releaseHold(), { code: "NOT_FOUND" });
  await first[Symbol.asyncDispose]();
  const store = await Store.open(join(host.folder, "state", "store"));
  await reform(store, { elapsedMs: 0, wallMs: Date.now() }, {
    kind: "cluster.reform",
    ...{ epoch: { n: 2, random: "00000000000000bb" }, reason: "recover", node: id },
  });
  await store[Symbol.asyncDispose]();

  const second = await host.start({ kind: "wait" });
  const status = () => second.service.status();
  await until("it has claimed", () => status().cluster?.hold?.claimed === 1);
  await until("it is ready", () => status().ready);
  t.same(status().lease.subnets, ["10.5.1.0/24"]);
  t.equal(status().cluster?.epoch.n, 2);
  await until("nothing is taken away", () => status().dataPlane.mode === "add-only");
  const client = new ApiClient(join(host.folder, "denim.sock"));
  t.match((await client.text("/readyz")).text, /^ok {3}hold: it was recovered from one server: /m);
  t.match((await client.text("/metrics")).text, /^denim_on_hold 1$/m);
  t.same(await second.service.releaseHold(), { claimed: 1, unclaimed: 0 });
  await until("it is over", () => status().cluster?.hold === null);
  await until("routes are cared for as before", () => status().dataPlane.mode === "full");
  t.match((await client.text("/metrics")).text, /^denim_fork_seen 0$/m);
  await second[Symbol.asyncDispose]();
});

t.test("a state that this program cannot read is left alone", options, async (t) => {
  const host = new Host(t);
  const first = await host.start(found);
  await first[Symbol.asyncDispose]();
  const store = await Store.open(join(host.folder, "state", "store"));
  const copy = new Copy(store.loaded.applied, store.loaded.records);
  const before = copy.state.get("cluster", "it")!;
  const after = { ...before, body: { ...before.body, featureLevel: 2 } };
  copy.take(copy.state.revision, [{ before, after }]);
  const { changes, applied } = copy.takeUnwritten();
  // `take` is for an agent's copy; this one follows a log.
  const { index, term } = store.loaded.applied!;
  await store.write({ state: { changes, applied: { ...applied, index, term } } });
  await store[Symbol.asyncDispose]();
  await t.rejects(host.start({ kind: "wait" }), {
    code: "UPGRADE_NEEDED",
    why: "this program supports 1 to 1",
    fix: /newer Denim/,
  });
});

t.test("each thing that is in the way is named, and leaves no trace", options, async (t) => {
  const host = new Host(t);
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(7470, "127.0.0.1", resolve));
  await t.rejects(host.start(found), { code: "PORT_IN_USE", fix: /--listen/ });
  t.same(host.files, []);
  await new Promise((resolve) => taken.close(resolve));

  const api = createServer();
  await new Promise<void>((resolve) => api.listen(7475, "127.0.0.1", resolve));
  await t.rejects(host.start(found), { code: "PORT_IN_USE", fix: /--api-port/ });
  t.same(host.files, []);
  await new Promise((resolve) => api.close(resolve));

  ip("route add 10.5.7.0/24 via 192.0.2.9");
  await t.rejects(host.start(found), { code: "NETWORK_OVERLAP" });
  ip("route del 10.5.7.0/24");
  ip("route add 10.5.7.0/24 via 192.0.2.9 proto 68");
  await t.rejects(host.start(found), { code: "CLUSTER_EXISTS", fix: /--network 10\.5\.0\.0\/16/ });
  t.same(host.files, []);
  ip("route del 10.5.7.0/24 proto 68");
  const daemon = await host.start(found);
  t.equal(daemon.service.status().node.name, "web1", "nothing was held on to");
  await daemon[Symbol.asyncDispose]();
});

t.test("a daemon that is turned away disturbs the one that is there", options, async (t) => {
  const host = new Host(t);
  const waiting = host.start({ kind: "wait" });
  const socket = join(host.folder, "denim.sock");
  await until("it waits", () => existsSync(socket));
  const before = host.files;
  const other = { socketPath: join(host.folder, "other.sock"), apiPort: undefined };
  await t.rejects(host.start(found, other), { code: "STORE_LOCKED", why: /pid/ });
  t.same(host.files, before);
  const answer = await new ApiClient(socket).text("/readyz");
  t.same(answer.status, 503);
  t.match(answer.text, /in no cluster yet/);
  await t.rejects(new ApiClient(socket).call("/v1/nodes"), {
    code: "NOT_FOUND",
    fix: /denim init/,
  });
  host.stop.abort();
  await t.rejects(waiting, { code: "CANCELLED" });
  t.same(host.files, []);
});

t.test("a damaged identity is said at the start, not hours later", options, async (t) => {
  const host = new Host(t);
  const first = await host.start(found);
  await until("it is ready", () => first.service.status().ready);
  await first[Symbol.asyncDispose]();
  for (const name of ["programmed.json", "lease.json", "node.json"]) {
    const path = join(host.folder, "state", "identity", name);
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.slice(0, -9));
    await t.rejects(host.start({ kind: "wait" }), { code: "STORE_DAMAGED", fix: /file/ }, name);
    writeFileSync(path, text);
  }
  const daemon = await host.start({ kind: "wait" });
  await until("it is ready", () => daemon.service.status().ready);
  t.equal(daemon.service.status().role, "leader");
  await daemon[Symbol.asyncDispose]();
});

t.test("two hosts: one joins, becomes a standby, and leaves again", options, async (t) => {
  const host = new Host(t);
  ip("addr add 192.0.2.2/24 dev eth0");
  const first = await host.start(found);
  await until("it is ready", () => first.service.status().ready);
  const { token } = await first.service.createToken({ role: "server", uses: 1, ttlMs: 60_000 });
  const place = join(host.folder, "second");
  const more = {
    stateDir: place,
    socketPath: join(host.folder, "second.sock"),
    subnetFile: join(host.folder, "second.env"),
    ...{ apiPort: undefined, iface: "192.0.2.2", listen: { host: "127.0.0.1", port: 7471 } },
  };
  const second = await host.start({
    ...{ kind: "join", addresses: ["127.0.0.1:7470"], token: () => Promise.resolve(token) },
    ...{ replace: undefined, keepTrying: false },
  }, more);
  await until("it is ready", () => second.service.status().ready);
  const hasKey = () => existsSync(join(place, "identity", "ca-key.pem"));
  await until("it is a standby", () => second.service.status().role === "standby");
  t.ok(hasKey(), "a standby can sign");
  t.same((await second.service.nodes("linearizable")).map(({ name }) => name), ["web1", "web1-2"]);
  const routes = await first.service.routes("web1-2") as { about: string }[];
  // Both have one kernel here, and so see each other's routes besides.
  t.ok(routes.some(({ about }) => about === "10.5.1.0/24"));
  await second.service.leave();
  await second[Symbol.asyncDispose]();
  await until("it is gone", () => first.service.status().cluster?.nodes === 1);
  t.notOk(existsSync(join(place, "identity")));
  await first[Symbol.asyncDispose]();
});

t.test("a port of etcd's that is in use ends the daemon, or is only said", options, async (t) => {
  const host = new Host(t);
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(2379, "127.0.0.1", resolve));
  t.teardown(() => other.close());
  const etcd = { host: "127.0.0.1", port: 2379, prefix: "/coreos.com/network", isRequired: true };
  await t.rejects(host.start(found, { etcd }), { code: "PORT_IN_USE", fix: /--etcd-listen/ });
  await using daemon = await host.start(found, { etcd: { ...etcd, isRequired: false } });
  await until("it is ready", () => daemon.service.status().ready);
  t.ok(host.log.lines.some((line) => /warn test\.etcd Cannot listen on 127/.test(line)));
});
