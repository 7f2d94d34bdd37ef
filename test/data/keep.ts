/**
 * Makes the data directories of a small cluster as this version writes them, to be kept for the
 * tests of later ones: `node test/data/keep.ts` writes `test/data/VERSION`. See the README there.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { foundCluster } from "../../src/agent/entry/founding.ts";
import { noteStart } from "../../src/agent/entry/starts.ts";
import { hex } from "../../src/base/bytes.ts";
import { sleep, systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { Command, JoinAnswer, LeaseAnswer } from "../../src/lease/command.ts";
import { FEATURES } from "../../src/lease/feature-level.ts";
import { holdingFrom } from "../../src/lease/holding.ts";
import type { LeaseAttributes, Role } from "../../src/lease/records.ts";
import type { Peers } from "../../src/replica/peers.ts";
import { PROFILES, Replica } from "../../src/replica/replica.ts";
import { Copy } from "../../src/store/copy.ts";
import { IdentityFolder } from "../../src/store/identity.ts";
import { Store } from "../../src/store/store.ts";
import { csrKeyId } from "../../src/transport/csr.ts";
import { createCsr, createKey, issueCertificate } from "../../src/transport/pki.ts";
import { hashSecret } from "../../src/transport/token.ts";
import { root } from "../support/root.ts";

const [clock, random] = [systemClock(), systemRandom()];
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  version: string;
};
const target = join(root, "test/data", version);
const NETWORK = '{"Network":"10.5.0.0/16","Backend":{"Type":"host-gw"}}';
const TOKEN = "abcd1234";

const nobody: Peers = {
  send: () => {},
  sendSnapshot: () => Promise.resolve(false),
  forward: () => Promise.reject(new Error("there is no other server")),
};

function attributes(n: number): LeaseAttributes {
  return { publicIp: `192.0.2.${n}`, backendType: "host-gw", backendData: "null" };
}

class Server {
  readonly folder = join(target, "server");
  readonly identity = new IdentityFolder(join(this.folder, "identity"));
  store!: Store;
  copy!: Copy;
  replica!: Replica;

  get storePath(): string {
    return join(this.folder, "store");
  }

  async open(): Promise<void> {
    this.store = await Store.open(this.storePath);
    const { applied, records, format } = this.store.loaded;
    const { nodeId } = (await this.identity.read("node"))!;
    const { incarnation } = await noteStart(this.store, nodeId, random);
    this.copy = new Copy(applied, records);
    this.replica = new Replica({
      raftId: format!.raftId!,
      profile: PROFILES.lan,
      ...{ store: this.store, copy: this.copy, peers: nobody, clock, random, logger: silentLogger },
      onFailed: (error) => {
        throw error;
      },
    });
    await this.do({ kind: "node.update", node: nodeId, incarnation, version });
  }

  async do<Answer>(command: Command): Promise<Answer> {
    return await this.replica.propose(command) as Answer;
  }

  async close(): Promise<void> {
    await this.replica[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
  }
}

/** A node lets itself in with the token. Its files are written only where a folder is named. */
async function letIn(server: Server, n: number, role: Role, folder?: string): Promise<JoinAnswer> {
  const [key, caBundle, caKey] = [
    await createKey(),
    (await server.identity.readPem("ca"))!,
    (await server.identity.readPem("caKey"))!,
  ];
  const csr = await createCsr(key);
  const storeId = csrKeyId(csr).slice(0, 16);
  const answer = await server.do<JoinAnswer>({
    kind: "node.join",
    tokenId: TOKEN,
    node: {
      ...{ nodeId: `n-${hex(random.bytes(6))}`, name: `web${n}`, role, version, storeId },
      ...{ features: FEATURES, address: `192.0.2.${n}:7470`, csrKey: csrKeyId(csr) },
      certificateEndsWallMs: Math.floor(clock.wallMs()) + 90 * 86_400_000,
      attributes: attributes(n),
    },
  });
  if (folder === undefined) return answer;
  const { clusterId } = server.store.loaded.format!;
  const { nodeId, name, lease } = answer;
  const cert = await issueCertificate(
    { certPem: caBundle, keyPem: caKey },
    csr,
    { clusterId, nodeId, role },
    clock,
  );
  const identity = new IdentityFolder(join(folder, "identity"));
  await identity.writePem("key", key);
  await identity.writePem("cert", cert);
  await identity.writePem("ca", caBundle);
  await keepLease(identity, lease);
  const createdAtMs = Math.floor(clock.wallMs());
  await identity.write("node", {
    ...{ nodeId, name, clusterId, role, createdAtMs },
    epoch: lease.epoch,
  });
  await using store = await Store.open(join(folder, "store"));
  const format = { schema: 1, clusterId, epoch: lease.epoch, storeId } as const;
  await store.write({ format });
  await noteStart(store, nodeId, random);
  return answer;
}

async function keepLease(identity: IdentityFolder, lease: LeaseAnswer): Promise<void> {
  const sent = { bootMs: 5_000, wallMs: Math.floor(clock.wallMs()), bootId: "a-boot" };
  const holding = holdingFrom(lease, sent);
  await identity.write("lease", { ...holding, subnets: [...holding.subnets] });
  const { epoch, revision } = lease;
  await identity.write("programmed", { epoch, revision, networks: ["10.5.0.0/16"] });
  await identity.write("secret", { seed: hex(random.bytes(32)) });
  await identity.write("servers", { members: [], seeds: ["192.0.2.1:7470"] });
}

/** An agent's disk: its copy of what is revisioned, as the last snapshot and events left it. */
async function keepCopy(folder: string, { copy }: Server): Promise<void> {
  await using store = await Store.open(join(folder, "store"));
  const agent = new Copy(undefined, []);
  const { revision } = copy.state;
  const at = { ...agent.applied(), index: revision, term: 0, revision, clockMs: 0 };
  agent.replace(at, [...copy.state.records("revisioned")]);
  await store.install({ applied: agent.applied(), records: agent.records() });
}

async function keep(): Promise<void> {
  if (existsSync(target)) throw new Error(`${target} is there already, and is to stay as it is`);
  const server = new Server();
  const agentFolder = join(target, "agent");
  await foundCluster({
    ...{ identity: server.identity, network: NETWORK, name: "web1" },
    openStore: () => Store.open(server.storePath),
    ...{ address: "192.0.2.1:7470", attributes: attributes(1), version, clock, random },
  });
  await server.open();
  await server.do({
    kind: "token.create",
    ...{ tokenId: TOKEN, secretHash: hashSecret(random.bytes(16)), role: "server", uses: 4, name: "the first hosts" },
    expiresWallMs: Math.floor(clock.wallMs()) + 3_600_000,
  });
  const agent = await letIn(server, 2, "agent", agentFolder);
  await letIn(server, 3, "server");
  const removed = await letIn(server, 4, "agent");
  const left = await letIn(server, 5, "agent");
  await server.do({ kind: "node.remove", node: removed.nodeId });
  await server.do({ kind: "node.leave", node: left.nodeId });
  await server.do({ kind: "reservation.put", subnet: "10.5.9.0/24", nodeName: "db" });
  await server.do({ kind: "node.silent", node: agent.nodeId, silent: true });
  // What was written goes into a table; what comes now stands in LevelDB's own log.
  await server.close();
  await server.open();
  const { nodeId } = (await server.identity.read("node"))!;
  const subnets = ["10.5.1.0/24"];
  const own = await server.do<LeaseAnswer>({ kind: "lease.renew", node: nodeId, subnets });
  await keepLease(server.identity, own);
  // The state's own write follows within a second.
  while (server.copy.dirty) await sleep(clock, 50);
  await keepCopy(agentFolder, server);
  const { revision, digest, clockDigest, records, clockRecords } = server.copy.applied();
  const found = { revision, digest, clockDigest, records, clockRecords };
  await server.close();
  for (const folder of [server.folder, agentFolder]) {
    for (const name of ["LOCK", "LOG", "LOG.old"]) rmSync(join(folder, "store", name), { force: true });
  }
  writeFileSync(join(target, "expected.json"), `${JSON.stringify(found, null, 2)}\n`);
}

await keep();
