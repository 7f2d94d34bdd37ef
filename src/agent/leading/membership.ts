/** What an operator asks of the cluster's members, and what comes of it. */
import type { Consistency, LevelView, NodeRemoved, NodeView } from "../../api/service.ts";
import { type Clock, sleep } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";
import { type StateReader, theCluster, theGroup } from "../../lease/state.ts";
import type { Node } from "../node.ts";
import { nodeViews } from "../views.ts";

const LOOK_EVERY_MS = 100;
/** How long the planner is given to do what was asked before an answer says how far it is. */
const PATIENCE_MS = 10_000;

/** Puts a node out. @throws `NODE_ALIVE` unless it is forced */
export async function removeNode(node: Node, id: string, force: boolean): Promise<NodeRemoved> {
  const { cluster, errands } = node.control;
  if (id === node.record.nodeId) {
    throw new DenimError("USAGE", "This is the node itself", { fix: "denim leave" });
  }
  const { state } = await cluster.read("stale");
  const body = state.get("node", id)?.body;
  const name = body?.name ?? id;
  if (!force && await errands.lives(id)) {
    throw new DenimError("NODE_ALIVE", `${name} is there, and uses its subnet`, {
      why: "it is connected to a server of the cluster now",
      fix: `let it go by itself: on ${name}, denim leave; ` +
        `or put it out all the same: denim node rm ${name} --force`,
    });
  }
  await errands.letGo(id, "remove");
  return { id, name, wasServer: body?.raftId !== undefined };
}

/** Has a server's role chosen by hand, and gives the planner a moment to get there. */
export async function preferNode(
  node: Node,
  clock: Clock,
  id: string,
  preferred: NodeView["preferred"],
): Promise<NodeView> {
  const { cluster } = node.control;
  await cluster.propose({ kind: "node.prefer", node: id, preferred });
  const endMs = clock.monotonicMs() + PATIENCE_MS;
  for (;; await sleep(clock, LOOK_EVERY_MS)) {
    const { state, leaderNode } = await cluster.read("stale");
    const shown = nodeViews(state, node.record.nodeId, leaderNode).find((view) => view.id === id);
    const isDone = shown !== undefined && shown.preferred === preferred && (
      preferred === null || isVoter(state, shown) === (preferred === "voter")
    );
    if (shown !== undefined && (isDone || clock.monotonicMs() >= endMs)) return shown;
    if (shown === undefined) throw new DenimError("NOT_FOUND", `${id} has left meanwhile`);
  }
}

function isVoter(state: StateReader, { raftId }: NodeView): boolean {
  return raftId !== null && theGroup(state).voters.includes(raftId);
}

export async function levelsOf(node: Node, consistency: Consistency): Promise<LevelView> {
  return levelView((await node.control.cluster.read(consistency)).state);
}

/** @throws `UPGRADE_NEEDED` while some node does not support more than the cluster has */
export async function finalizeUpgrade(node: Node): Promise<LevelView> {
  const { cluster } = node.control;
  const { level, supported, newest, behind } = await levelsOf(node, "linearizable");
  if (supported > level) {
    await cluster.propose({ kind: "cluster.raise-level", to: supported });
  } else if (newest > level) {
    const names = behind.map(({ name, version }) => `${name} (${version})`).slice(0, 5);
    throw new DenimError("UPGRADE_NEEDED", `The cluster cannot go beyond feature level ${level}`, {
      why: `${behind.length} nodes do not support more, for example ${names.join(", ")}`,
      fix: "upgrade them, or remove those that are gone (denim node rm), and try again",
    });
  }
  return await levelsOf(node, "linearizable");
}

export function levelView(state: StateReader): LevelView {
  const nodes = [...state.all("node")].map(({ body }) => body);
  const highest = nodes.map(({ features }) => features.max);
  const newest = Math.max(...highest);
  const behind = nodes.filter(({ features }) => features.max < newest)
    .map(({ name, version, features }) => ({ name, version, features }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const level = theCluster(state)?.featureLevel ?? 1;
  return { level, supported: Math.min(...highest), newest, behind };
}
