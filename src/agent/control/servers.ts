import { DenimError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { nodeByRaftId, type StateReader, theGroup } from "../../lease/state.ts";
import type { ServersRecord } from "../../store/identity-schema.ts";
import { formatEndpoint, tryParseEndpoint } from "../../transport/address.ts";

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

/** The same as a node keeps it on its disk, for when nothing else is known. */
export function membersToKeep(servers: readonly ServerAddress[]): ServersRecord["members"] {
  return servers.map(({ address, ...server }) => ({ ...server, addresses: [address] }));
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
  return readable([...known, ...seeds, ...remembered]);
}

/** Each of them once. */
function readable(addresses: readonly string[]): string[] {
  const all = addresses.flatMap((address) => {
    const endpoint = tryParseEndpoint(address);
    return endpoint === undefined ? [] : [formatEndpoint(endpoint)];
  });
  return [...new Set(all)];
}

/** Addresses at which there may be a member of the group that the state does not know as one. */
export function strangers(state: StateReader, { self, seeds, remembered }: Beacons): string[] {
  const members = serversOf(state);
  const known = new Set(readable(members.map(({ address }) => address)));
  const own = state.get("node", self)?.body.address;
  if (own !== undefined) known.add(own);
  const eligible = [...state.all("node")].filter(({ body }) => body.role === "server")
    .map(({ body }) => body.address);
  return readable([...eligible, ...seeds, ...remembered]).filter((address) => !known.has(address));
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
