import { existsSync } from "node:fs";
import { hex } from "../../base/bytes.ts";
import { DenimError } from "../../base/errors.ts";
import type { Epoch, HoldBody } from "../../lease/records.ts";
import { nodeByName, type StateReader, theGroup } from "../../lease/state.ts";
import { restore } from "../../replica/reform.ts";
import type { Backup } from "../../store/backup.ts";
import { Copy } from "../../store/copy.ts";
import type { IdentityFolder } from "../../store/identity.ts";
import type { NodeRecord } from "../../store/identity-schema.ts";
import { unseal } from "../../store/seal.ts";
import {
  keyFits,
  NODE_CERTIFICATE_MS,
  splitBundle,
  splitKeys,
} from "../../transport/certificate.ts";
import { csrKeyId } from "../../transport/csr.ts";
import {
  createCa,
  createCsr,
  createKey,
  issueCertificate,
  type KeyPair,
} from "../../transport/pki.ts";
import type { Offline } from "./offline.ts";
import { epochAfter, membersOf, type MemberView, refuseLive } from "./recovering.ts";
import { readKey } from "./returning.ts";

export interface RestoreWish {
  /** Id or name of the node whose place a host without an identity takes. */
  readonly as: string | undefined;
  /** A store that is here is set aside. */
  readonly replaceStore: boolean;
  /** The nodes' certificates are to be made anew, whatever there is. */
  readonly newCa: boolean;
}

/** What a restore will do here, once it is allowed to. */
export interface RestorePlan {
  readonly node: MemberView;
  readonly record: NodeRecord | undefined;
  readonly hasStore: boolean;
  /** Where the CA key comes from: this host, the backup, or it is a new one. */
  readonly ca: "here" | "backup" | "new";
  /** Other servers of the backup. */
  readonly servers: readonly MemberView[];
}

export interface Restored {
  readonly epoch: Epoch;
  readonly hold: HoldBody;
  readonly aside: string | undefined;
}

/**
 * Who this host will be: the node that it is by its identity, else the one that somebody names.
 *
 * @throws `CLUSTER_MISMATCH` `CLUSTER_EXISTS` `USAGE` `NOT_A_MEMBER`, with nothing changed
 */
export async function planRestore(
  { identity, place }: Offline,
  { manifest, records }: Backup,
  wish: RestoreWish,
): Promise<RestorePlan> {
  const record = await identity.read("node");
  const { state } = new Copy(manifest.applied, records);
  const wanted = wantedNode(record, manifest.cluster, wish.as, state);
  const hasStore = existsSync(place.path);
  if (record !== undefined && hasStore && !wish.replaceStore) throw hasItsOwn(record);
  const node = serverOf(state, wanted);
  const { voters, learners } = theGroup(state);
  const servers = membersOf(state, [...voters, ...learners]).filter(({ id }) => id !== node.id);
  const isHere = record !== undefined && await ownCa(identity) !== undefined;
  const ca = wish.newCa ? "new" : isHere ? "here" : manifest.ca.key ? "backup" : "new";
  return { node, record, hasStore, ca, servers };
}

/**
 * The cluster begins anew from the backup, with this host as its only voter, in a new epoch and on
 * hold. The store is made first: what fails then leaves everything as it was.
 *
 * @throws `PASSPHRASE_WRONG`; `CLUSTER_EXISTS` while a server of the backup answers
 */
export async function restoreCluster(
  offline: Offline,
  backup: Backup,
  plan: RestorePlan,
  passphrase: string | undefined,
): Promise<Restored> {
  const { identity, clock, random } = offline;
  const { id: clusterId, epoch: former } = backup.manifest.cluster;
  await refuseLive(plan.servers);
  const ca = await caOf(offline, backup, plan, passphrase);
  const key = await readKey(identity) ?? await createKey();
  const csr = await createCsr(key);
  const about = { clusterId, nodeId: plan.node.id, role: "server" as const };
  const cert = await issueCertificate(ca.signer, csr, about, clock);
  const epoch = await epochAfter(former, identity, random);
  const { hold, aside } = await restoreStore(offline, backup, {
    kind: "cluster.reform",
    ...{ epoch, reason: "restore", node: plan.node.id },
    place: {
      storeId: hex(random.bytes(8)),
      csrKey: csrKeyId(csr),
      certificateEndsWallMs: Math.floor(clock.wallMs()) + NODE_CERTIFICATE_MS,
    },
  });
  await keep(offline, { key, cert, ...ca }, {
    ...{ nodeId: plan.node.id, name: plan.node.name, clusterId, epoch, role: "server" },
    createdAtMs: plan.record?.createdAtMs ?? Math.floor(clock.wallMs()),
  });
  return { epoch, hold, aside };
}

async function restoreStore(
  { place, clock }: Offline,
  { manifest, records }: Backup,
  command: Parameters<typeof restore>[3],
): Promise<{ hold: HoldBody; aside: string | undefined }> {
  const wallMs = Math.floor(clock.wallMs());
  const aside = await place.setAside(wallMs);
  try {
    await using store = await place.open();
    const capture = { applied: manifest.applied, records };
    return { hold: await restore(store, capture, { elapsedMs: 0, wallMs }, command), aside };
  } catch (error) {
    await place.putBack(aside);
    throw error;
  }
}

/** What names the node is written last: without it the same command can be typed again. */
async function keep(
  { identity }: Offline,
  { key, cert, bundle, keys }: CaFiles & { readonly key: string; readonly cert: string },
  record: NodeRecord,
): Promise<void> {
  await identity.writePem("key", key);
  await identity.writePem("cert", cert);
  await identity.writePem("ca", bundle);
  await identity.writePem("caKey", keys);
  await identity.write("node", record);
}

/** PEM. */
interface CaFiles {
  readonly bundle: string;
  readonly keys: string;
  readonly signer: KeyPair;
}

async function caOf(
  { identity, clock }: Offline,
  { manifest: { ca, cluster } }: Backup,
  plan: RestorePlan,
  passphrase: string | undefined,
): Promise<CaFiles> {
  if (plan.ca === "here") return (await ownCa(identity))!;
  if (plan.ca === "new") {
    const made = await createCa(cluster.id, clock);
    return { bundle: made.certPem, keys: made.keyPem, signer: made };
  }
  const files = pairIn(ca.bundle, await unseal(ca.key!, passphrase ?? "", cluster.id));
  if (files === undefined) throw noPair();
  return files;
}

/** What this host has had all the time. */
async function ownCa(identity: IdentityFolder): Promise<CaFiles | undefined> {
  const [bundle, keys] = [await identity.readPem("ca"), await identity.readPem("caKey")];
  return bundle === undefined || keys === undefined ? undefined : pairIn(bundle, keys);
}

/** The first certificate of the bundle that there is a key for: who signs stands first. */
function pairIn(bundle: string, keys: string): CaFiles | undefined {
  const all = splitKeys(keys);
  for (const certPem of splitBundle(bundle)) {
    const keyPem = all.find((key) => keyFits(key, certPem));
    if (keyPem !== undefined) return { bundle, keys, signer: { certPem, keyPem } };
  }
  return undefined;
}

/** Of the identity, or whom the operator names. */
function wantedNode(
  record: NodeRecord | undefined,
  cluster: Backup["manifest"]["cluster"],
  as: string | undefined,
  state: StateReader,
): string {
  if (record === undefined) {
    if (as !== undefined) return as;
    throw new DenimError("USAGE", "This host has no identity of that cluster", {
      why: "it takes the place of one of the servers in the backup, which must be gone for good",
      fix: `say which: --as NODE, one of ${serverNames(state)}`,
    });
  }
  if (record.clusterId !== cluster.id) {
    throw new DenimError("CLUSTER_MISMATCH", "This host is in another cluster", {
      why: `it is of cluster ${record.clusterId}, the backup of ${cluster.name} (${cluster.id})`,
      fix: "restore on another host, or name another state directory: --state-dir DIR",
    });
  }
  if (as === undefined || as === record.name || as === record.nodeId) return record.nodeId;
  throw new DenimError("USAGE", `This host is ${record.name}`, {
    why: `its identity is here, and it cannot be ${as}`,
    fix: "leave out --as",
  });
}

function serverOf(state: StateReader, wanted: string): MemberView {
  const node = state.get("node", wanted) ?? nodeByName(state, wanted);
  if (node?.body.raftId !== undefined) {
    return { id: node.key, name: node.body.name, address: node.body.address };
  }
  throw new DenimError("NOT_A_MEMBER", `${wanted} is no server in the backup`, {
    why: node === undefined ? "the backup does not know it" : "it is an agent there",
    fix: `restore on one of ${serverNames(state)}, or on a host without an identity: --as NODE`,
  });
}

function serverNames(state: StateReader): string {
  return [...state.all("node")].filter(({ body }) => body.raftId !== undefined)
    .map(({ body }) => body.name).sort().join(", ");
}

function hasItsOwn({ name }: NodeRecord): DenimError {
  return new DenimError("CLUSTER_EXISTS", `${name} has a store of that cluster`, {
    why: "it may know more than the backup",
    fix: "go on from it: denim cluster recover. To go back to the backup, with the store set " +
      "aside: --replace-store",
  });
}

function noPair(): DenimError {
  return new DenimError("BACKUP_DAMAGED", "The backup's CA key belongs to none of its CAs", {
    fix: "make a new CA: denim restore FILE --new-ca",
  });
}
