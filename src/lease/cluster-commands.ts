import type { Canonical } from "../base/canonical.ts";
import { assert, DenimError } from "../base/errors.ts";
import { tryParsePrefix } from "../ip/prefix.ts";
import { fitsPool } from "./allocate.ts";
import type { CommandOf } from "./command.ts";
import { clusterOf, type Context } from "./context.ts";
import { refuseOnHold } from "./hold.ts";
import { parseNetworkConfig } from "./network.ts";
import { addNode, admitted } from "./node-commands.ts";
import { SINGLE } from "./records.ts";
import { theCluster } from "./state.ts";

const VOTERS_WANTED = 3;

/** The first entry of a cluster's first log. */
export function initCluster(context: Context, command: CommandOf<"cluster.init">): Canonical {
  const { draft } = context;
  const existing = theCluster(draft);
  if (existing !== undefined) {
    throw new DenimError("CLUSTER_EXISTS", `This is the cluster ${existing.name} already`);
  }
  assert(command.node.role === "server", "who makes a cluster holds its log");
  parseNetworkConfig(command.config, { unknownKeys: "keep" });
  draft.put("cluster", SINGLE, {
    clusterId: command.clusterId,
    name: command.name,
    epoch: command.epoch,
    lastRaftId: 0,
    votersWanted: VOTERS_WANTED,
    featureLevel: 1,
    createdWallMs: context.wallMs,
  });
  draft.put("network", SINGLE, { config: command.config });
  addNode(context, command.node);
  draft.put("group", SINGLE, { voters: [1], learners: [] });
  return admitted(context, command.node.nodeId, command.node);
}

/** How many voters the planner aims for. */
export function setVoters(context: Context, command: CommandOf<"cluster.set-voters">): Canonical {
  const { voters } = command;
  const cluster = clusterOf(context);
  if (voters !== 3 && voters !== 5) {
    throw new DenimError("REQUEST_INVALID", `A cluster cannot be told to have ${voters} voters`, {
      why: "three go on without any one of them, and five without any two; more only cost time",
      fix: "denim cluster set voters 3, or 5",
    });
  }
  if (cluster.votersWanted !== voters) {
    context.draft.put("cluster", SINGLE, { ...cluster, votersWanted: voters });
  }
  return { voters };
}

/** Replaces the network config; refused while leases would be left outside it. */
export function setNetwork(context: Context, command: CommandOf<"network.set">): Canonical {
  const { draft } = context;
  refuseOnHold(context, "The network cannot be changed now");
  const now = draft.get("network", SINGLE);
  if (command.ifRevision !== undefined && command.ifRevision !== now?.modRevision) {
    throw new DenimError("REVISION_MISMATCH", "The network config has changed meanwhile", {
      why: `it is at revision ${
        now?.modRevision ?? 0
      }, the change was made for ${command.ifRevision}`,
      fix: "look at it again, then repeat the change: denim network show",
    });
  }
  const { pools } = parseNetworkConfig(command.config, { unknownKeys: "keep" });
  const outside = [...draft.all("lease")].filter(({ body }) =>
    body.subnets.length !== pools.length || !body.subnets.every((text, i) => {
      const subnet = tryParsePrefix(text);
      return subnet !== undefined && fitsPool(pools[i]!, subnet);
    })
  );
  if (outside.length > 0) {
    throw new DenimError(
      "NETWORK_IN_USE",
      `${outside.length} leases would be outside the network`,
      {
        why: `for example ${outside[0]!.key}; hosts are never renumbered behind their back`,
        fix: "choose a range that contains the leases, or let those hosts leave first",
      },
    );
  }
  if (now?.body.config === command.config) return { revision: now.modRevision };
  return { revision: draft.put("network", SINGLE, { config: command.config }).modRevision };
}
