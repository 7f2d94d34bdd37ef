import { DenimError } from "../../base/errors.ts";
import { nodeByRaftId, type StateReader, theGroup } from "../../lease/state.ts";

/** How the voters stand, as far as one node can see. */
export interface Quorum {
  readonly voters: number;
  readonly reachable: number;
  /** So many have to reach each other. */
  readonly needed: number;
  /** Names of those that are not reached. */
  readonly missing: readonly string[];
  /** The cluster could go on from the node that says this. */
  readonly holdsLog: boolean;
}

export function quorumOf(
  state: StateReader,
  isReachable: (node: string) => boolean,
  holdsLog: boolean,
): Quorum {
  const voters = votersOf(state);
  const missing = voters.filter(({ node }) => !isReachable(node)).map(({ name }) => name).sort();
  return {
    voters: voters.length,
    reachable: voters.length - missing.length,
    needed: Math.floor(voters.length / 2) + 1,
    ...{ missing, holdsLog },
  };
}

/** The voters, by id and name. */
export function votersOf(state: StateReader): { readonly node: string; readonly name: string }[] {
  return theGroup(state).voters.map((raftId) => {
    const record = nodeByRaftId(state, raftId);
    return { node: record?.key ?? "", name: record?.body.name ?? `server ${raftId}` };
  });
}

/** For example `1 of 3 voters reachable (need 2)`. */
export function countText({ reachable, voters, needed }: Quorum): string {
  return `${reachable} of ${voters} voters reachable (need ${needed})`;
}

/** What to type; `undefined` where enough voters are there, and only have to elect. */
export function wayOut(quorum: Quorum): string | undefined {
  const { missing, needed, reachable, voters, holdsLog } = quorum;
  if (reachable >= needed || voters === 0) return undefined;
  const wanted = needed - reachable;
  const names = missing.length === wanted
    ? list(missing, "and")
    : wanted === 1
    ? list(missing, "or")
    : `${wanted} of ${list(missing, "and")}`;
  const all = missing.length === 1 ? "it is" : missing.length === 2 ? "both are" : "they are";
  const where = holdsLog ? "" : ", on a server that is left";
  return `start ${names} - or, if ${all} gone for good${where}: denim cluster recover`;
}

/** The same as an error that a caller gets who wants to change something. */
export function withoutLeader(quorum: Quorum): DenimError {
  const fix = wayOut(quorum);
  return new DenimError("NO_LEADER", `No server leads the cluster: ${countText(quorum)}`, {
    why: "routes on this host are kept, and nothing can be changed",
    fix: fix ?? "try again in a moment: the voters are electing one",
  });
}

function list(names: readonly string[], word: "and" | "or"): string {
  return names.length < 2
    ? names.join("")
    : `${names.slice(0, -1).join(", ")} ${word} ${names.at(-1)!}`;
}
