import { DenimError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { nodeByRaftId, type StateReader, theGroup } from "../lease/state.ts";
import { formatEndpoint, tryParseEndpoint } from "../transport/address.ts";

/** A server as others find it. */
export interface ServerAddress {
  readonly nodeId: string;
  readonly name: string;
  readonly address: string;
}

/** The members of the Raft group and where they listen, voters first. */
export function serversOf(state: StateReader): ServerAddress[] {
  const { voters, learners } = theGroup(state);
  return [...voters, ...learners].flatMap((raftId) => {
    const node = nodeByRaftId(state, raftId);
    if (node === undefined) return [];
    return [{ nodeId: node.key, name: node.body.name, address: node.body.address }];
  });
}

/** Where servers may be, as far as that is known without the state. */
export interface Beacons {
  readonly self: string;
  /** Members as the disk has them, which is from the joiner's answer at first. */
  readonly remembered: readonly string[];
  /** Given by hand. */
  readonly seeds: readonly string[];
}

/**
 * Where to look for a server: the members as they are known now, in random order, so that a fleet
 * spreads over them, also one that has just joined by way of a single server; then the addresses
 * that somebody gave, in case everything known has moved. An address that cannot be read, as a
 * careless node may have told one, is left out.
 */
export function serversToTry(
  state: StateReader,
  { self, remembered, seeds }: Beacons,
  random: Random,
): string[] {
  const current = serversOf(state)
    .filter((server) => server.nodeId !== self)
    .map(({ address }) => address);
  const known = inAnyOrder(current.length > 0 ? current : remembered, random);
  const all = [...known, ...seeds, ...remembered].flatMap((address) => {
    const endpoint = tryParseEndpoint(address);
    return endpoint === undefined ? [] : [formatEndpoint(endpoint)];
  });
  return [...new Set(all)];
}

function inAnyOrder(addresses: readonly string[], random: Random): string[] {
  return addresses.map((address) => ({ address, at: random.fraction() }))
    .sort((a, b) => a.at - b.at)
    .map(({ address }) => address);
}

/** What an agent tells a joiner. */
export function cannotAdmit(state: StateReader): DenimError {
  const servers = serversOf(state).map(({ address }) => address);
  return new DenimError("JOIN_REFUSED", "This node is an agent and cannot let anyone in", {
    fix: `join a server: ${servers.join(", ") || "none is known here"}`,
  });
}
