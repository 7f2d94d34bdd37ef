/** A member that no certificate speaks for comes back by a token, over TLS on loopback. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { Authority } from "../../../src/agent/trust/authority.ts";
import { SecretThrottle } from "../../../src/agent/entry/secret-throttle.ts";
import { admitJoiner } from "../../../src/agent/entry/admitting.ts";
import { needsToken, returnByToken } from "../../../src/agent/entry/returning.ts";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { seededRandom } from "../../../src/base/random.ts";
import type { CommandOf } from "../../../src/lease/command.ts";
import { IdentityFolder } from "../../../src/store/identity.ts";
import { storeFolder } from "../../../src/store/place.ts";
import { Store } from "../../../src/store/store.ts";
import { caPin, keyFits, readIdentity } from "../../../src/transport/certificate.ts";
import { csrKeyId } from "../../../src/transport/csr.ts";
import { createCsr, createKey, issueCertificate } from "../../../src/transport/pki.ts";
import { createToken, encodeToken, hashSecret } from "../../../src/transport/token.ts";
import { openPort } from "../../support/cluster-port.ts";
import { fastClock } from "../../support/fast-clock.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { EPOCH, initCommand, joiner } from "../../support/ledger.ts";
import { RecordingLogger } from "../../support/log.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { testCluster } from "../../support/pki.ts";

const { clusterId } = initCommand();
const pki = await testCluster(clusterId);
const clock = systemClock();
const random = seededRandom(5);
const DAY_MS = 86_400_000;
const longAgo: Clock = { ...clock, wallMs: () => clock.wallMs() - 91 * DAY_MS };

/** Node id1 of a cluster, whose certificate has run out. */
class Absent {
  readonly memory = new MemoryCluster(fastClock(20));
  readonly folder: string;
  readonly identity: IdentityFolder;
  address = "";
  lives = false;
  key = "";

  private constructor(folder: string) {
    this.folder = folder;
    this.identity = new IdentityFolder(join(folder, "identity"));
  }

  static async make(t: Test): Promise<Absent> {
    const absent = new Absent(temporaryFolder(t));
    const { memory, identity } = absent;
    absent.key = await createKey();
    const csr = await createCsr(absent.key);
    const certificateEndsWallMs = Math.floor(clock.wallMs()) + DAY_MS;
    const node = joiner(1, { role: "server", csrKey: csrKeyId(csr), certificateEndsWallMs });
    memory.apply({ kind: "node.join", tokenId: "open", node });
    const wanted = { clusterId, nodeId: "id1", role: "server" } as const;
    await identity.writePem("key", absent.key);
    await identity.writePem("cert", await issueCertificate(pki.ca, csr, wanted, longAgo));
    await identity.writePem("ca", pki.ca.certPem);
    const record = {
      nodeId: "id1",
      name: "host1",
      clusterId,
      epoch: EPOCH,
      role: "server",
    } as const;
    await identity.write("node", { ...record, createdAtMs: 1 });
    const port = await openPort(t, pki, {
      onJoiner: (joiner) =>
        admitJoiner({
          ...{ cluster: memory, clock, random, logger: new RecordingLogger() },
          authority: new Authority({
            ...{ state: () => memory.view().state, caBundle: pki.ca.certPem },
            caKeys: () => Promise.resolve(pki.ca.keyPem),
            keepCaKeys: () => Promise.resolve(),
          }),
          throttle: new SecretThrottle(clock),
          standDown: () => Promise.resolve(),
          lives: () => Promise.resolve(absent.lives),
        }, joiner),
    });
    absent.address = port.address;
    return absent;
  }

  token(more: Partial<CommandOf<"token.create">> = {}): string {
    const token = createToken("agent", caPin(pki.ca.certPem), random);
    this.memory.apply({
      kind: "token.create",
      ...{ tokenId: token.id, secretHash: hashSecret(token.secret), role: "agent", uses: 1 },
      expiresWallMs: Math.floor(clock.wallMs()) + DAY_MS,
      ...more,
    });
    return encodeToken(token);
  }

  async comeBack(token: string): Promise<void> {
    const { identity, address } = this;
    await returnByToken({
      ...{ identity, token, clock, version: "0.1.0", logger: new RecordingLogger() },
      record: (await identity.read("node"))!,
      place: storeFolder(join(this.folder, "store")),
      addresses: [address],
      address: "192.0.2.1:7470",
      signal: new AbortController().signal,
      onStep: () => {},
    });
  }

  get record() {
    return this.memory.view().state.get("node", "id1")!.body;
  }
}

t.test("its key and any token: a new certificate and store, the same node", async (t) => {
  const absent = await Absent.make(t);
  const { identity } = absent;
  t.ok(await needsToken(identity, clock));
  const token = absent.token();
  absent.memory.loseAnswers();
  await t.rejects(absent.comeBack(token), { code: "OUTCOME_UNKNOWN" });
  await absent.comeBack(token);
  t.notOk(await needsToken(identity, clock));
  const cert = (await identity.readPem("cert"))!;
  t.equal(await identity.readPem("key"), `${absent.key.trim()}\n`);
  t.ok(keyFits(absent.key, cert));
  t.same([readIdentity(cert).nodeId, readIdentity(cert).canServe], ["id1", true]);
  await using store = await Store.open(join(absent.folder, "store"));
  const { raftId, storeId, incarnation } = absent.record;
  t.same([store.loaded.format!.raftId, store.loaded.format!.storeId], [raftId, storeId]);
  t.same(store.loaded.starts.incarnations, [incarnation]);
  t.equal(raftId, 3, "asked for twice, given once");
  await t.rejects(returnedAgain(absent, token), { code: "TOKEN_USED" });
});

/** After it has started, which the cluster knows. */
async function returnedAgain(absent: Absent, token: string): Promise<void> {
  const incarnation = { counter: 9, startId: "later" };
  absent.memory.apply({ kind: "node.update", node: "id1", incarnation });
  await absent.comeBack(token);
}

t.test("without its key it takes a token that was made for it", async (t) => {
  const absent = await Absent.make(t);
  const { identity } = absent;
  await identity.remove("key");
  const before = absent.record;
  await t.rejects(absent.comeBack(absent.token()), { code: "JOIN_REFUSED", fix: /--node host1/ });
  t.same(absent.record, before);
  t.notOk(existsSync(join(absent.folder, "store")));
  await absent.comeBack(absent.token({ node: "id1" }));
  t.not(absent.record.csrKey, before.csrKey);
  t.ok(keyFits((await identity.readPem("key"))!, (await identity.readPem("cert"))!));
});

t.test("each refusal has its own words, and changes nothing", async (t) => {
  const absent = await Absent.make(t);
  absent.lives = true;
  await t.rejects(absent.comeBack(absent.token()), { code: "STORE_LOCKED", why: /two hosts/ });
  absent.lives = false;
  const wrong = encodeToken(createToken("agent", caPin(pki.ca.certPem), random));
  await t.rejects(absent.comeBack(wrong), { code: "TOKEN_UNKNOWN" });
  await t.rejects(absent.comeBack(absent.token({ expiresWallMs: 1 })), { code: "TOKEN_EXPIRED" });
  const other = encodeToken(createToken("agent", random.bytes(20), random));
  await t.rejects(absent.comeBack(other), { code: "JOIN_CA_MISMATCH" });
  const record = (await absent.identity.read("node"))!;
  await absent.identity.write("node", { ...record, clusterId: "another" });
  await t.rejects(absent.comeBack(absent.token()), { code: "CLUSTER_MISMATCH" });
  await absent.identity.write("node", record);
  absent.memory.apply({ kind: "node.remove", node: "id1" });
  await t.rejects(absent.comeBack(absent.token()), { code: "NOT_A_MEMBER", why: /removed/ });
  t.ok(await needsToken(absent.identity, clock), "the old certificate is still there");
});
