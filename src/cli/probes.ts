/** What `denim self-test` tries: one probe for each part that a single binary can break. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "../backend/backend.ts";
import { assert } from "../base/errors.ts";

/** One part of the program that a single binary can break; says in a few words what it found. */
export interface Probe {
  readonly name: string;
  readonly run: () => Promise<string>;
}

/** The LevelDB add-on: open, a synced batch, and the same records after opening again. */
async function probeStore(): Promise<string> {
  const { Level } = await import("level");
  const folder = await mkdtemp(join(tmpdir(), "denim-self-test-"));
  try {
    const first = new Level<string, string>(folder);
    await first.batch(
      [{ type: "put", key: "a", value: "1" }, { type: "put", key: "b", value: "2" }],
      { sync: true },
    );
    await first.close();
    const again = new Level<string, string>(folder);
    const records = await again.iterator().all();
    await again.close();
    assert(JSON.stringify(records) === '[["a","1"],["b","2"]]', "the records are there again");
    return "a synced batch, read after opening again";
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The HTTP server: an answer over loopback. */
async function probeApi(): Promise<string> {
  const [{ Hono }, { serve }] = await Promise.all([import("hono"), import("@hono/node-server")]);
  const app = new Hono().get("/livez", (c) => c.text("alive"));
  return await new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => {
      fetch(`http://127.0.0.1:${port}/livez`)
        .then((answer) => answer.text())
        .then((text) => {
          assert(text === "alive", "the server answers what it was told to");
          resolve("an answer over loopback");
        })
        .catch(reject)
        .finally(() => server.close());
    });
    server.once("error", reject);
  });
}

/** The libc binding: a netlink socket, a request and its answer. */
async function probeKernel(): Promise<string> {
  const { LinuxKernel } = await import("../kernel/linux-kernel.ts");
  await using kernel = await LinuxKernel.open();
  const { links, routes } = await kernel.read();
  assert(links.some((link) => link.name === "lo"), "the loopback link is there");
  return `${links.length} links, ${routes.length} routes`;
}

/** The binding of libnftables, where this host has it, or what takes its place. */
async function probeRules(): Promise<string> {
  const { LinuxPacketFilter } = await import("../kernel/linux-packet-filter.ts");
  await using filter = new LinuxPacketFilter();
  const tool = await filter.masqueradesBy();
  return tool === undefined ? "neither libnftables nor iptables" : `masquerading by ${tool}`;
}

/** Certificates and TLS: a node that is let in by another of its cluster, over loopback. */
async function probeTransport(): Promise<string> {
  const { systemClock } = await import("../base/clock.ts");
  const { silentLogger } = await import("../base/log.ts");
  const pki = await import("../transport/pki.ts");
  const { listen } = await import("../transport/listener.ts");
  const { dial } = await import("../transport/dialer.ts");
  const clock = systemClock();
  const clusterId = "self-test";
  const ca = await pki.createCa(clusterId, clock);
  const key = await pki.createKey();
  const wanted = { clusterId, nodeId: "n-1", role: "server" } as const;
  const cert = await pki.issueCertificate(ca, await pki.createCsr(key), wanted, clock);
  const ours = {
    clock,
    credentials: { key, cert, caBundle: ca.certPem },
    admit: () => ({ ok: true } as const),
  };
  const hello = {
    ...wanted,
    wants: "peer" as const,
    protocol: { min: 1, max: 1 },
    features: { min: 1, max: 1 },
    version: "self-test",
    epoch: { n: 1, random: "0" },
    incarnation: { counter: 1, startId: "self-test" },
    starts: [{ counter: 1, startId: "self-test" }],
  };
  await using listener = await listen({
    ...ours,
    host: "127.0.0.1",
    port: 0,
    log: silentLogger,
    hello: () => hello,
    onPeer() {},
  });
  await using channel = (await dial(`127.0.0.1:${listener.port}`, { ...ours, hello })).channel;
  return `mutual TLS over loopback, ${channel.isClosed ? "lost" : "let in"}`;
}

export function probesOf(backends: readonly Backend[]): readonly Probe[] {
  return [
    { name: "store", run: probeStore },
    { name: "api", run: probeApi },
    { name: "kernel", run: probeKernel },
    { name: "rules", run: probeRules },
    { name: "transport", run: probeTransport },
    nodeProbe(backends),
  ];
}

/** What a start does, and no more, for a node that lives in a folder. */
export function startProbesOf(backends: readonly Backend[], folder: string): readonly Probe[] {
  return [{ name: "kernel", run: probeKernel }, nodeProbe(backends, folder)];
}

function nodeProbe(backends: readonly Backend[], folder?: string): Probe {
  return {
    name: "node",
    run: async () => (await import("./probe-node.ts")).probeNode(backends, folder),
  };
}

/** A backend from the disk, in its thread: an answer, and no route for a host without peers. */
export function foreignProbe(path: string): Probe {
  return {
    name: "foreign",
    async run() {
      const { backendAt } = await import("../host/backends/folder.ts");
      const { BackendWorker } = await import("../host/backends/backend-worker.ts");
      const { systemClock } = await import("../base/clock.ts");
      const folder = backendAt(path);
      await using worker = new BackendWorker({ folder, clock: systemClock(), draft: true });
      const network = { family: 4, base: 0n, length: 0 } as const;
      const host = {
        link: { name: "lo", index: 1, mtu: 1500 },
        ...{ addresses: [], onLink: [], secret: new Uint8Array(32) },
      };
      const { data, mtu } = await worker.ask("publish", { host, config: null });
      const own = { node: "self-test", subnets: [], publicIps: [], data };
      const scene = { network, host, config: null, own, peers: [] };
      const { plan } = await worker.ask("plan", scene);
      assert(plan.length === 0, "a host without peers has no routes");
      return `backend ${folder.name}, MTU ${mtu}, in a thread of its own`;
    },
  };
}
