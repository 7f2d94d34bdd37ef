import type { ErrorJson } from "../base/errors.ts";
import { equalEpoch, type Incarnation, type Role } from "../lease/records.ts";
import { type StateReader, theCluster } from "../lease/state.ts";
import type { Admission, Hello } from "../transport/handshake.ts";
import type { NodeIdentity } from "../transport/certificate.ts";
import { PROTOCOL } from "../transport/protocol.ts";
import type { Copy } from "../store/copy.ts";
import type { Store } from "../store/store.ts";

/** What a node is, apart from what it knows. */
export interface Self {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly role: Role;
  readonly version: string;
  readonly incarnation: Incarnation;
  /** Starts of this disk, newest last, the present one included. */
  readonly starts: readonly string[];
  readonly store: Store;
}

/** What this node says of itself. One that has no copy yet names the epoch that it joined in. */
export function helloOf(self: Self, copy: Copy, wants: "peer" | "watch"): Hello {
  const { clusterId, nodeId, role, version, incarnation, starts, store } = self;
  const { storeId, raftId, epoch } = store.loaded.format!;
  return {
    ...{ wants, version, clusterId, nodeId, role, incarnation },
    protocol: PROTOCOL,
    epoch: copy.state.revision > 0 ? copy.epoch : epoch,
    starts: [...starts],
    storeId,
    ...(raftId === undefined ? {} : { raftId }),
  };
}

/**
 * Whether a peer with a good certificate is let in. What this node's copy of the state says
 * decides; a node that has no copy yet believes the certificate alone.
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
  if (!equalEpoch(hello.epoch, cluster.epoch)) {
    return refusal("EPOCH_MISMATCH", "it belongs to another history of this cluster");
  }
  const node = state.get("node", hello.nodeId)?.body;
  if (node === undefined) {
    return refusal("NOT_A_MEMBER", "it left or was removed, or joined a moment ago");
  }
  const ownStore = node.raftId === undefined ||
    (node.storeId === hello.storeId && node.raftId === hello.raftId);
  if (!ownStore) return refusal("PEER_REFUSED", "its store is not the one that it joined with");
  const recorded = node.incarnation?.startId;
  if (recorded !== undefined && !hello.starts.includes(recorded)) {
    return refusal("PEER_REFUSED", "its disk is an older copy of a node that went on since");
  }
  return { ok: true };
}

function refusal(code: ErrorJson["code"], why: string): ErrorJson {
  return { code, message: "The peer is not let in", why };
}
