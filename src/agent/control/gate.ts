import type { ErrorJson } from "../../base/errors.ts";
import { FEATURES, supports } from "../../lease/feature-level.ts";
import {
  type ClusterBody,
  type Epoch,
  equalEpoch,
  type Incarnation,
  isFork,
  type Role,
} from "../../lease/records.ts";
import { isGone, type StateReader, theCluster } from "../../lease/state.ts";
import type { Admission, Hello } from "../../transport/handshake.ts";
import type { NodeIdentity } from "../../transport/certificate.ts";
import { PROTOCOL } from "../../transport/protocol.ts";
import type { Copy } from "../../store/copy.ts";
import type { Store } from "../../store/store.ts";

/** What a node is, apart from what it knows. */
export interface Self {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly role: Role;
  readonly version: string;
  readonly incarnation: Incarnation;
  /** Starts of this disk, newest last, the present one included. */
  readonly starts: readonly Incarnation[];
  readonly store: Store;
}

/** What this node says of itself. One that has no copy yet names the epoch that it joined in. */
export function helloOf(self: Self, copy: Copy, wants: "peer" | "watch"): Hello {
  const { clusterId, nodeId, role, version, incarnation, starts, store } = self;
  const { storeId, raftId, spentRaftId, epoch } = store.format!;
  const id = raftId ?? spentRaftId;
  return {
    ...{ wants, version, clusterId, nodeId, role, incarnation },
    protocol: PROTOCOL,
    features: FEATURES,
    epoch: copy.state.revision > 0 ? copy.epoch : epoch,
    starts: [...starts],
    storeId,
    ...(id === undefined ? {} : { raftId: id }),
  };
}

/**
 * Whether a peer with a good certificate is let in. What this node's copy of the state says
 * decides, and of what it cannot know yet the certificate alone does.
 */
export function judgePeer(
  state: StateReader,
  hello: Hello,
  identity: NodeIdentity,
): Admission | ErrorJson {
  if (hello.role === "server" && !identity.canServe) {
    return refusal("PEER_REFUSED", "its certificate is an agent's");
  }
  const cluster = theCluster(state);
  if (cluster === undefined) return { ok: true };
  if (hello.wants === "rejoin") return judgeReturner(state, cluster, hello);
  // Who watches from an earlier epoch is given this one's state whole.
  const moves = hello.wants === "watch" && hello.epoch.n < cluster.epoch.n;
  if (!moves && !equalEpoch(hello.epoch, cluster.epoch)) {
    return otherHistory(cluster.epoch, hello.epoch);
  }
  return judgeMember(state, cluster, hello) ?? judgeStore(state, hello);
}

/** Whether a member, with a program that fits. */
function judgeMember(
  state: StateReader,
  { featureLevel }: ClusterBody,
  { features, nodeId }: Hello,
): ErrorJson | undefined {
  if (!supports(features, featureLevel)) {
    return refusal(
      "UPGRADE_NEEDED",
      `the cluster is at feature level ${featureLevel}, and its program supports ` +
        `${features.min} to ${features.max}`,
      "run a newer Denim there",
    );
  }
  return isWelcome(state, nodeId) ? undefined : refusal("NOT_A_MEMBER", "it left or was removed");
}

/**
 * Who comes back without a store has nothing to show but its certificate. An operator may bring it
 * from an earlier epoch, or from the other side of a fork.
 */
function judgeReturner(
  state: StateReader,
  cluster: ClusterBody,
  hello: Hello,
): Admission | ErrorJson {
  if (hello.epoch.n > cluster.epoch.n) return otherHistory(cluster.epoch, hello.epoch);
  return judgeMember(state, cluster, hello) ?? { ok: true };
}

/** Whether a node goes on with a server that it has dialed. */
export function judgeAnswer(
  state: StateReader,
  own: Hello,
  server: Hello,
  leaderlessMs: number | undefined,
): Admission | ErrorJson {
  const verdict = judgeServer(own, server, leaderlessMs);
  // What an earlier epoch knew of its disk does not bind it: it may have been restored since.
  const isOurs = "ok" in verdict && equalEpoch(own.epoch, server.epoch);
  return isOurs ? judgeStore(state, server) : verdict;
}

/**
 * Whether this is the disk that the node has had all the time: another one, or a copy of an earlier
 * day, must not vote, nor follow under its name.
 */
export function judgeStore(state: StateReader, hello: Hello): Admission | ErrorJson {
  const node = state.get("node", hello.nodeId)?.body;
  // It joined after what this node has heard of: after a long absence that may be everybody.
  if (node === undefined) return { ok: true };
  if (node.raftId !== undefined && node.storeId !== hello.storeId) {
    // Raft ids only go up: it has a new store since what this node has heard of.
    const isNewer = (hello.raftId ?? 0) > node.raftId;
    if (isNewer) return { ok: true };
    return refusal("PEER_REFUSED", "its store is not the one that it has here", NEW_STORE);
  }
  if (node.incarnation !== undefined && !descends(hello.starts, node.incarnation)) {
    const why = "its disk is an older copy of a node that went on since";
    return refusal("PEER_REFUSED", why, NEW_STORE);
  }
  return { ok: true };
}

const NEW_STORE = "if no other host runs as that node, it comes back by: denim rejoin HOST";

/**
 * Whether a disk with these starts, oldest first, went through the start that is recorded here. A
 * disk names the newest start that it knows to be recorded, and every later one; so where all of
 * them are later, it is this node's record that is old.
 */
function descends(starts: readonly Incarnation[], recorded: Incarnation): boolean {
  const [oldest] = starts;
  if (oldest !== undefined && recorded.counter < oldest.counter) return true;
  return starts.some(({ startId }) => startId === recorded.startId);
}

/**
 * Whether a node may be connected. Of one that this copy of the state does not know its certificate
 * alone decides: it joined later, or in what a recovery has lost.
 */
export function isWelcome(state: StateReader, node: string): boolean {
  return !isGone(state, node);
}

/** Without a leader of its own for this long an agent goes on in a later epoch. */
const MOVE_AFTER_MS = 60_000;

/**
 * Whether a node goes on with a server that answers it. Epochs only go up, and only who watches,
 * and so holds no log, changes its own by itself: once it has had no leader for long enough.
 */
export function judgeServer(
  { wants, epoch: own }: Pick<Hello, "wants" | "epoch">,
  { epoch: theirs }: Pick<Hello, "epoch">,
  leaderlessMs = 0,
): Admission | ErrorJson {
  if (equalEpoch(own, theirs)) return { ok: true };
  if (wants !== "watch" || theirs.n <= own.n) return otherHistory(own, theirs);
  if (leaderlessMs >= MOVE_AFTER_MS) return { ok: true };
  const waitS = Math.ceil((MOVE_AFTER_MS - leaderlessMs) / 1_000);
  return refusal(
    "EPOCH_MISMATCH",
    `it is in epoch ${theirs.n}, and the servers of epoch ${own.n} have ${waitS} s to come back`,
  );
}

function otherHistory(own: Epoch, theirs: Epoch): ErrorJson {
  if (isFork(own, theirs)) {
    return refusal(
      "EPOCH_MISMATCH",
      `both sides are in an epoch ${own.n}, and neither goes on from the other`,
      "two clusters were recovered from one: decide for one, and stop the servers of the other",
    );
  }
  return refusal(
    "EPOCH_MISMATCH",
    `one side is in epoch ${theirs.n}, the other in ${own.n}`,
    "a server of the earlier epoch comes into the later one by: denim rejoin HOST",
  );
}

function refusal(code: ErrorJson["code"], why: string, fix?: string): ErrorJson {
  return { code, message: "The peer is not let in", why, ...(fix === undefined ? {} : { fix }) };
}
