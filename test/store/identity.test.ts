import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import t from "tap";
import { IdentityFolder } from "../../src/store/identity.ts";
import type { LeaseRecord, NodeRecord } from "../../src/store/identity-schema.ts";
import type { Test } from "../support/tap.ts";

const node: NodeRecord = {
  nodeId: "n-7k2m4q",
  name: "web1",
  clusterId: "amber",
  epoch: { n: 1, random: "00000000000000aa" },
  role: "server",
  createdAtMs: 1_800_000_000_000,
};
const lease: LeaseRecord = {
  subnets: ["10.244.7.0/24"],
  epoch: node.epoch,
  revision: 812,
  ttlMs: 86_400_000,
  sent: { wallMs: 1_800_000_000_000, bootMs: 12_345.5, bootId: "b-1" },
};
const pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

function newFolder(t: Test): IdentityFolder {
  const parent = mkdtempSync(join(tmpdir(), "denim-identity-"));
  t.teardown(() => rmSync(parent, { recursive: true }));
  return new IdentityFolder(join(parent, "identity"));
}

t.test("what was never written is absent", async (t) => {
  const folder = newFolder(t);
  t.equal(await folder.read("node"), undefined);
  t.equal(await folder.readPem("key"), undefined);
  await folder.remove("caKey");
  await folder.wipe();
});

t.test("every file reads back as it was written", async (t) => {
  const folder = newFolder(t);
  const { epoch } = node;
  await folder.write("node", node);
  await folder.write("lease", lease);
  await folder.write("boot", { bootId: "b-1", atMs: 1, atBootMs: 2.5 });
  await folder.write("programmed", { epoch, revision: 3, networks: ["10.244.0.0/16"] });
  await folder.write("servers", {
    members: [{ nodeId: "n-1", name: "web1", addresses: ["192.0.2.11:7470"] }],
    seeds: ["192.0.2.12"],
  });
  await folder.write("secret", { seed: "ab".repeat(32) });
  for (const kind of ["key", "cert", "ca", "caKey"] as const) await folder.writePem(kind, pem);

  t.same(await folder.read("node"), node);
  t.same(await folder.read("lease"), lease);
  t.same(await folder.read("boot"), { bootId: "b-1", atMs: 1, atBootMs: 2.5 });
  t.same((await folder.read("programmed"))?.networks, ["10.244.0.0/16"]);
  t.same((await folder.read("servers"))?.seeds, ["192.0.2.12"]);
  t.same(await folder.read("secret"), { seed: "ab".repeat(32) });
  t.equal(await folder.readPem("caKey"), pem);
  t.same(readdirSync(folder.path), [
    "boot.json",
    "ca-key.pem",
    "ca.pem",
    "cert.pem",
    "key.pem",
    "lease.json",
    "node.json",
    "programmed.json",
    "secret.json",
    "servers.json",
  ]);
});

t.test("only the owner may read, also where the folder was wide open", async (t) => {
  const folder = newFolder(t);
  const before = process.umask(0);
  t.teardown(() => process.umask(before));
  await folder.write("node", node);
  chmodSync(folder.path, 0o755);
  await folder.writePem("key", pem);
  t.equal(statSync(folder.path).mode & 0o777, 0o700);
  t.equal(statSync(join(folder.path, "node.json")).mode & 0o777, 0o600);
  t.equal(statSync(join(folder.path, "key.pem")).mode & 0o777, 0o600);
});

t.test("a file is replaced as a whole, also after a crash in the middle of it", async (t) => {
  const folder = newFolder(t);
  await folder.write("node", node);
  writeFileSync(join(folder.path, ".node.json.new"), '{"format": 1, "nod');
  t.same(await folder.read("node"), node);
  await folder.write("node", { ...node, name: "web2" });
  t.equal((await folder.read("node"))?.name, "web2");
  t.same(readdirSync(folder.path), ["node.json"]);
});

t.test("a damaged file is named, with what to do about it", async (t) => {
  const folder = newFolder(t);
  await folder.write("lease", lease);
  const damages = {
    "": /not JSON/,
    "{": /not JSON/,
    "null": /format/,
    '{"subnets":[]}': /format/,
    '{"format":1}': /subnets/,
    [JSON.stringify({ format: 1, ...lease, revision: -1 })]: /revision/,
    [JSON.stringify({ format: 2, ...lease })]: /format 2/,
  };
  for (const [text, why] of Object.entries(damages)) {
    writeFileSync(join(folder.path, "lease.json"), text);
    await t.rejects(folder.read("lease"), {
      code: "STORE_DAMAGED",
      message: /lease\.json/,
      why,
      fix: /remove the file|newer version/,
    }, text);
  }
  writeFileSync(join(folder.path, "key.pem"), "\0\0\0\0");
  await t.rejects(folder.readPem("key"), { code: "STORE_DAMAGED", fix: /denim rejoin/ });
});

t.test("a fault of the disk is no damage", async (t) => {
  const folder = newFolder(t);
  writeFileSync(folder.path, "a file where the folder should be");
  await t.rejects(folder.write("node", node), { code: "STORE_FAILED", message: /node\.json/ });
  rmSync(folder.path);
});

t.test("a wiped node leaves nothing", async (t) => {
  const folder = newFolder(t);
  await folder.write("node", node);
  await folder.writePem("key", pem);
  await folder.wipe();
  t.throws(() => statSync(folder.path), { code: "ENOENT" });
  t.equal(await folder.read("node"), undefined);
});
