/** What earlier versions have written is opened by this one, and is what it was: see the README. */
import { globSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import t, { type Test } from "tap";
import { requireLevelOf } from "../../src/lease/feature-level.ts";
import type { LeaseAnswer } from "../../src/lease/command.ts";
import { leaseOf, theCluster, theGroup } from "../../src/lease/state.ts";
import { PROFILES, Replica } from "../../src/replica/replica.ts";
import { seededRandom } from "../../src/base/random.ts";
import { Copy } from "../../src/store/copy.ts";
import { IdentityFolder } from "../../src/store/identity.ts";
import { Store } from "../../src/store/store.ts";
import { keyFits, readIdentity } from "../../src/transport/certificate.ts";
import { fastClock, until } from "../support/fast-clock.ts";
import { copyFolder, temporaryFolder } from "../support/folders.ts";
import { RecordingLogger } from "../support/log.ts";
import { root } from "../support/root.ts";

interface Expected {
  readonly revision: number;
  readonly digest: string;
  readonly clockDigest: string;
  readonly records: number;
  readonly clockRecords: number;
}

const kept = globSync("test/data/*/expected.json", { cwd: root }).sort()
  .map((path) => join(root, dirname(path)));

/** A copy of one of the directories, as a daemon would find it. */
function found(t: Test, folder: string, who: "server" | "agent") {
  const copy = copyFolder(join(folder, who), join(temporaryFolder(t), who));
  return { identity: new IdentityFolder(join(copy, "identity")), store: join(copy, "store") };
}

function expectedIn(folder: string): Expected {
  return JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as Expected;
}

/** Everything in an identity can be read, and belongs together. */
async function readAll(identity: IdentityFolder) {
  const [record, lease, programmed, servers, secret] = [
    await identity.read("node"),
    await identity.read("lease"),
    await identity.read("programmed"),
    await identity.read("servers"),
    await identity.read("secret"),
  ];
  const [key, cert, ca] = [
    await identity.readPem("key"),
    await identity.readPem("cert"),
    await identity.readPem("ca"),
  ];
  return { record: record!, lease: lease!, programmed, servers, secret, key, cert, ca };
}

t.test("there is something to open", async (t) => {
  t.ok(kept.length > 0);
});

for (const folder of kept) {
  const version = basename(folder);

  t.test(`${version}: a server goes on with its log, its lease and its keys`, async (t) => {
    const { identity, store: path } = found(t, folder, "server");
    const { record, lease, programmed, key, cert, ca } = await readAll(identity);
    t.same(readIdentity(cert!).nodeId, record.nodeId);
    t.ok(keyFits(key!, cert!) && keyFits((await identity.readPem("caKey"))!, ca!));
    t.same(programmed?.networks, ["10.5.0.0/16"]);

    await using store = await Store.open(path);
    requireLevelOf(store.loaded.records);
    const copy = new Copy(store.loaded.applied, store.loaded.records);
    const { revision, digest, clockDigest, records, clockRecords } = copy.applied();
    t.same({ revision, digest, clockDigest, records, clockRecords }, expectedIn(folder));
    t.equal(theCluster(copy.state)?.clusterId, record.clusterId);
    t.ok(store.loaded.entries.length > 0 && store.loaded.starts.incarnations.length > 0);

    await using replica = new Replica({
      raftId: store.loaded.format!.raftId!,
      profile: PROFILES.lan,
      ...{ store, copy, clock: fastClock(5), random: seededRandom(1) },
      logger: new RecordingLogger(),
      peers: {
        send: () => {},
        sendSnapshot: () => Promise.resolve(false),
        forward: () => Promise.reject(new Error("there is nobody else")),
      },
      onFailed: (error) => t.equal(error, undefined),
    });
    await until("it leads", () => replica.leads);
    const { subnets } = lease;
    const renewal = { kind: "lease.renew", node: record.nodeId, subnets } as const;
    const answer = await replica.propose(renewal) as LeaseAnswer;
    t.same([answer.subnets, answer.epoch], [lease.subnets, lease.epoch]);
    t.same(theGroup(replica.view().state).voters, [replica.raftId]);
  });

  t.test(`${version}: an agent goes on with its copy of the same state`, async (t) => {
    const { identity, store: path } = found(t, folder, "agent");
    const { record, lease, servers, secret, key, cert } = await readAll(identity);
    t.same([readIdentity(cert!).nodeId, record.role], [record.nodeId, "agent"]);
    t.ok(keyFits(key!, cert!) && secret !== undefined);
    t.same(servers?.seeds, ["192.0.2.1:7470"]);

    await using store = await Store.open(path);
    const copy = new Copy(store.loaded.applied, store.loaded.records);
    const { revision, digest, records } = expectedIn(folder);
    t.same([copy.state.revision, copy.digest], [revision, digest]);
    t.equal([...copy.state.records("revisioned")].length, records);
    t.same(leaseOf(copy.state, record.nodeId)?.body.subnets, lease.subnets);
    t.equal(store.loaded.hardState, undefined);
  });
}
