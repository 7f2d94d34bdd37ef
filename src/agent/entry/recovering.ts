import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hex } from "../../base/bytes.ts";
import { DenimError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { theHold } from "../../lease/hold.ts";
import type { Epoch, HoldBody } from "../../lease/records.ts";
import { nodeByRaftId, type StateReader, theCluster, theGroup } from "../../lease/state.ts";
import { reform, type Remains, remainsIn } from "../../replica/reform.ts";
import type { IdentityFolder } from "../../store/identity.ts";
import type { NodeRecord } from "../../store/identity-schema.ts";
import { Store } from "../../store/store.ts";
import { answers } from "../../transport/knock.ts";
import { memberHere, type Offline } from "./offline.ts";

export interface MemberView {
  readonly id: string;
  readonly name: string;
  readonly address: string;
}

/** What there is on a host that a lost cluster could go on from. */
export interface RemainsView {
  readonly node: {
    readonly id: string;
    readonly name: string;
    readonly role: "voter" | "standby" | "none";
  };
  readonly cluster: { readonly id: string; readonly name: string; readonly epoch: Epoch };
  /** How the log ends: of several survivors the greatest term, then the greatest index, has most. */
  readonly log: { readonly term: number; readonly index: number };
  /** Up to here its entries were known to be committed and had taken effect, on its disk. */
  readonly applied: number;
  /** When the last entry was proposed, by the leader's clock; `null` where none is kept. */
  readonly time: string | null;
  readonly voters: readonly MemberView[];
  readonly standbys: readonly MemberView[];
  readonly nodes: number;
  readonly leases: number;
  /** Whether new hosts can be let in, and certificates renewed, from here. */
  readonly caKey: boolean;
  readonly hold: boolean;
}

export interface Recovered {
  readonly epoch: Epoch;
  readonly hold: HoldBody;
}

/**
 * Looks at a copy of the store: to open a database is to write to it, and this changes nothing.
 *
 * @throws `NOT_FOUND` `NOT_A_MEMBER` `STORE_DAMAGED`
 */
export async function inspectRemains(offline: Offline): Promise<RemainsView> {
  const record = await memberHere(offline);
  const { path } = offline.place;
  if (!existsSync(path)) throw noLog(record, "there is no store");
  const folder = mkdtempSync(join(tmpdir(), "denim-inspect-"));
  try {
    const copy = join(folder, "store");
    cpSync(path, copy, { recursive: true });
    await using store = await Store.open(copy);
    return await viewOf(store, record, offline.identity);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The cluster goes on from this host's store alone, in a new epoch and on hold.
 *
 * @throws `CLUSTER_EXISTS` while another voter answers; what {@link reform} does
 */
export async function recoverCluster(
  { identity, place, clock, random }: Offline,
  remains: RemainsView,
): Promise<Recovered> {
  await refuseLive(remains.voters.filter(({ id }) => id !== remains.node.id));
  const epoch = await epochAfter(remains.cluster.epoch, identity, random);
  await using store = await place.open();
  const hold = await reform(store, { elapsedMs: 0, wallMs: Math.floor(clock.wallMs()) }, {
    kind: "cluster.reform",
    ...{ epoch, reason: "recover", node: remains.node.id },
  });
  return { epoch, hold };
}

/** Later than all that this host has heard of. */
export async function epochAfter(
  epoch: Epoch,
  identity: IdentityFolder,
  random: Random,
): Promise<Epoch> {
  const files = [
    await identity.read("node"),
    await identity.read("lease"),
    await identity.read("programmed"),
  ];
  const known = [epoch, ...files.flatMap((file) => file === undefined ? [] : [file.epoch])];
  return { n: Math.max(...known.map(({ n }) => n)) + 1, random: hex(random.bytes(8)) };
}

async function viewOf(
  store: Store,
  { nodeId, name, clusterId }: NodeRecord,
  identity: IdentityFolder,
): Promise<RemainsView> {
  const remains = remainsIn(store);
  if (remains === undefined || store.loaded.format?.clusterId !== clusterId) {
    throw noLog({ name }, "its store is an agent's, or not its own");
  }
  const { copy: { state }, last, lastWallMs } = remains;
  const [cluster, group] = [theCluster(state)!, theGroup(state)];
  return {
    node: { id: nodeId, name, role: roleOf(remains, store.loaded.format.raftId!) },
    cluster: { id: clusterId, name: cluster.name, epoch: cluster.epoch },
    log: { term: last.term, index: last.index },
    applied: store.loaded.applied!.index,
    time: lastWallMs === undefined ? null : new Date(lastWallMs).toISOString(),
    voters: membersOf(state, group.voters),
    standbys: membersOf(state, group.learners),
    nodes: [...state.all("node")].length,
    leases: [...state.all("lease")].length,
    caKey: await identity.readPem("caKey") !== undefined,
    hold: theHold(state) !== undefined,
  };
}

function roleOf({ copy }: Remains, raftId: number): RemainsView["node"]["role"] {
  const { voters, learners } = theGroup(copy.state);
  if (voters.includes(raftId)) return "voter";
  return learners.includes(raftId) ? "standby" : "none";
}

/** Of the Raft group, by their raft ids. */
export function membersOf(state: StateReader, raftIds: readonly number[]): MemberView[] {
  return raftIds.flatMap((raftId) => {
    const node = nodeByRaftId(state, raftId);
    return node === undefined
      ? []
      : [{ id: node.key, name: node.body.name, address: node.body.address }];
  });
}

/** A new epoch drops every other server: beside one that lives, it would be a second cluster. */
export async function refuseLive(others: readonly MemberView[]): Promise<void> {
  const live = await Promise.all(others.map(({ address }) => answers(address)));
  const names = others.filter((_, at) => live[at]).map(({ name }) => name);
  if (names.length === 0) return;
  throw new DenimError("CLUSTER_EXISTS", `${names.join(" and ")} can be reached`, {
    why: "a server that runs is not lost, and would go on beside the new epoch",
    fix: "start the missing voters, so that there is a majority. If they are gone for good, stop " +
      `the daemon on ${names.join(" and ")}, and go on from the host that has most`,
  });
}

function noLog({ name }: Pick<NodeRecord, "name">, why: string): DenimError {
  return new DenimError("NOT_A_MEMBER", `${name} does not hold the log of the cluster`, {
    why,
    fix: "recover on a host that was a voter or a standby; if none is left, restore a backup: " +
      "denim restore FILE",
  });
}
