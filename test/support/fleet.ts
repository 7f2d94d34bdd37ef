import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostGw } from "../../plugins/host-gw/mod.ts";
import type { NodeParts } from "../../src/agent/assemble.ts";
import { enterCluster } from "../../src/agent/entry/entry.ts";
import { Node } from "../../src/agent/node.ts";
import { DEFAULT_SETTINGS } from "../../src/agent/settings.ts";
import { BackendRegistry } from "../../src/backend/registry.ts";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { bootId } from "../../src/host/boot.ts";
import { subnetFileAt } from "../../src/host/subnet-file.ts";
import { formatAddress, parseAddress } from "../../src/ip/address.ts";
import { formatPrefix } from "../../src/ip/prefix.ts";
import { MemoryKernel } from "../../src/kernel/memory-kernel.ts";
import { MemoryPacketFilter } from "../../src/kernel/memory-packet-filter.ts";
import { ROUTE_PROTOCOL } from "../../src/plan/kernel.ts";
import { IdentityFolder } from "../../src/store/identity.ts";
import { storeFolder } from "../../src/store/place.ts";
import { tlsTransport } from "../../src/transport/tls-transport.ts";
import { fastClock } from "./fast-clock.ts";
import { RecordingLogger } from "./log.ts";

export interface FleetOptions {
  /** `192.0.2.1`: a server to join by; agents spread over all of them afterwards. */
  readonly server: string;
  readonly token: string;
}

/** A name and the address that an agent's kernel has for it: on no real link. */
export interface FleetMember {
  readonly name: string;
  readonly address: string;
  /** Bits of the link that all of them share. */
  readonly length: number;
}

/** Sixty that join in one process wait for each other, too, and not only for the server. */
const PATIENT = fastClock(1 / 4);

/** An agent as the daemon runs it, but for its kernel, which is a map, and its API. */
export interface Agent extends FleetMember {
  readonly kernel: MemoryKernel;
  readonly node: Node;
  readonly log: RecordingLogger;
}

/**
 * Many agents in one process: each has its own directory, identity, LevelDB store, certificate and
 * TLS connection. They differ from daemons in their kernel alone.
 */
export class Fleet implements AsyncDisposable {
  readonly agents: Agent[] = [];
  readonly #options: FleetOptions;
  readonly #folder = mkdtempSync(join(tmpdir(), "denim-fleet-"));

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  /** All of them at the same moment. Resolves with why each of those that failed did. */
  async join(members: readonly FleetMember[]): Promise<unknown[]> {
    const joins = await Promise.allSettled(members.map((member) => this.#join(member)));
    return joins.flatMap((join) => join.status === "rejected" ? [join.reason] : []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.agents.map(({ node }) => node[Symbol.asyncDispose]()));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #join(member: FleetMember): Promise<void> {
    const { server, token } = this.#options;
    const { name, address, length } = member;
    const kernel = new MemoryKernel();
    kernel.addLink("eth0", { addresses: [{ address: parseAddress(address), length }] });
    const log = new RecordingLogger(name);
    const stateDir = join(this.#folder, name);
    const parts: NodeParts = {
      settings: {
        ...DEFAULT_SETTINGS,
        ...{ stateDir, subnetFile: join(stateDir, "subnet.env"), version: "0.1.0" },
        listen: { host: "127.0.0.1", port: 0 },
        advertise: `${address}:7470`,
      },
      identity: new IdentityFolder(join(stateDir, "identity")),
      place: storeFolder(join(stateDir, "store")),
      ...{ kernel, packetFilter: new MemoryPacketFilter() },
      ...{ backends: new BackendRegistry([hostGw]), logger: log },
      ...{ clock: systemClock(), random: systemRandom() },
      ...{ transport: tlsTransport, bootId: bootId() },
      subnetFile: subnetFileAt(join(stateDir, "subnet.env")),
      forward: () => ({ wasOff: false }),
    };
    const reach = await enterCluster({
      ...parts,
      clock: PATIENT,
      name,
      way: {
        kind: "join",
        addresses: [server],
        token: () => Promise.resolve(token),
        replace: undefined,
        keepTrying: false,
      },
      signal: new AbortController().signal,
      onStep: () => {},
    });
    const node = await Node.start({ ...parts, ...(reach === undefined ? {} : { reach }) });
    this.agents.push({ ...member, kernel, node, log });
  }
}

/** What an agent holds now. */
export function subnetsOf({ node }: Agent): readonly string[] {
  const standing = node.standing();
  return standing.kind === "none" ? [] : standing.holding.subnets;
}

/** `10.244.7.0/24 via 192.0.2.16`: what an agent's kernel has of Denim's, in order. */
export function routesOf({ kernel }: Agent): string[] {
  return kernel.routes.filter(({ protocol }) => protocol === ROUTE_PROTOCOL)
    .map(({ destination, via }) => `${formatPrefix(destination)} via ${formatAddress(via!)}`)
    .sort();
}
