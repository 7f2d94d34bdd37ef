/** What `denim self-test` tries: one probe for each part that a single binary can break. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assert } from "../base/errors.ts";
import type { Probe } from "./self-test.ts";

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

/** Certificates and TLS: a CA that signs, and a chain that is believed. */
async function probeTransport(): Promise<string> {
  const { createCa, createCsr, createKey, issueCertificate, judgeCertificate } = await import(
    "../transport/pki.ts"
  );
  const { systemClock } = await import("../base/clock.ts");
  const clock = systemClock();
  const ca = await createCa("self-test", clock);
  const csr = await createCsr(await createKey());
  const wanted = { clusterId: "self-test", nodeId: "n-1", role: "server" } as const;
  const certificate = await issueCertificate(ca, csr, wanted, clock);
  return `${judgeCertificate(certificate, ca.certPem, clock.wallMs()).nodeId} has a certificate`;
}

export const PROBES: readonly Probe[] = [
  { name: "store", run: probeStore },
  { name: "api", run: probeApi },
  { name: "kernel", run: probeKernel },
  { name: "transport", run: probeTransport },
];

/** A module from the disk that says `export const backend = defineBackend({…})`. */
export function foreignProbe(path: string): Probe {
  return {
    name: "foreign",
    async run() {
      const { importForeign } = await import("../host/foreign.ts");
      const { backend } = await importForeign(path) as { backend?: Record<string, unknown> };
      assert(typeof backend?.["name"] === "string", "the module exports a backend");
      return `backend ${backend["name"]}, contract ${backend["contract"]}`;
    },
  };
}
