import { readdirSync } from "node:fs";
import { join } from "node:path";
import { hostGw } from "../../plugins/host-gw/mod.ts";
import type { NodeParts } from "../../src/agent/assemble.ts";
import { enterCluster, type Way } from "../../src/agent/entry/entry.ts";
import { Node } from "../../src/agent/node.ts";
import { DEFAULT_SETTINGS } from "../../src/agent/settings.ts";
import { BackendRegistry } from "../../src/backend/registry.ts";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { bootId } from "../../src/host/boot.ts";
import { subnetFileAt } from "../../src/host/subnet-file.ts";
import { parseAddress } from "../../src/ip/address.ts";
import { MemoryKernel } from "../../src/kernel/memory-kernel.ts";
import { MemoryPacketFilter } from "../../src/kernel/memory-packet-filter.ts";
import { IdentityFolder } from "../../src/store/identity.ts";
import { storeFolder } from "../../src/store/place.ts";
import { caPin } from "../../src/transport/certificate.ts";
import { tlsTransport } from "../../src/transport/tls-transport.ts";
import { createToken, encodeToken, hashSecret } from "../../src/transport/token.ts";
import { until } from "./fast-clock.ts";
import { temporaryFolder } from "./folders.ts";
import { RecordingLogger } from "./log.ts";
import { freePort } from "./sockets.ts";
import type { Test } from "./tap.ts";

export const FOUND: Way = { kind: "found", network: '{"Network":"10.5.0.0/16"}' };
const clock = systemClock();
const random = systemRandom();

/** A node over real files and TLS on loopback; its kernel is in memory. */
export class RealHost {
  readonly folder: string;
  readonly address: string;
  readonly log = new RecordingLogger();
  readonly parts: NodeParts;
  node!: Node;
  #isUp = false;

  private constructor(folder: string, number: number, port: number) {
    this.folder = folder;
    this.address = `127.0.0.1:${port}`;
    const kernel = new MemoryKernel();
    const address = { address: parseAddress(`192.0.2.${number}`), length: 24 };
    kernel.addLink("eth0", { addresses: [address] });
    this.parts = {
      settings: {
        ...DEFAULT_SETTINGS,
        ...{ stateDir: folder, subnetFile: join(folder, "subnet.env"), version: "0.1.0" },
        listen: { host: "127.0.0.1", port },
        advertise: this.address,
        // A disk that is busy with other things silences whoever waits for it, as a slow line does.
        profile: "wan",
        iface: "eth0",
      },
      identity: new IdentityFolder(join(folder, "identity")),
      place: storeFolder(join(folder, "store")),
      ...{ kernel, packetFilter: new MemoryPacketFilter() },
      ...{ backends: new BackendRegistry([hostGw]), logger: this.log, clock, random },
      ...{ transport: tlsTransport, bootId: bootId() },
      subnetFile: subnetFileAt(join(folder, "subnet.env")),
      forward: () => ({ wasOff: false }),
    };
  }

  static async enter(
    t: Test,
    number: number,
    way: Way,
    folder = temporaryFolder(t),
  ): Promise<RealHost> {
    const host = new RealHost(folder, number, await freePort());
    await enterCluster({
      ...host.parts,
      ...{ name: `web${number}`, way, onStep: () => {} },
      signal: new AbortController().signal,
    });
    await host.start();
    t.teardown(() => host.stop());
    return host;
  }

  async start(): Promise<void> {
    this.node = await Node.start(this.parts);
    this.#isUp = true;
  }

  async stop(): Promise<void> {
    if (this.#isUp) await this.node[Symbol.asyncDispose]();
    this.#isUp = false;
  }

  get store(): string {
    return join(this.folder, "store");
  }

  get asides(): string[] {
    return readdirSync(this.folder).filter((name) => name.startsWith("store.aside-"));
  }

  get votes(): boolean {
    const { replica } = this.node.control;
    return replica?.status().configuration.voters.includes(replica.raftId) === true;
  }

  get subnet(): string {
    const standing = this.node.standing();
    return standing.kind === "held" ? standing.holding.subnets.join() : standing.kind;
  }
}

/** A token that lets in any number of servers. */
export async function tokenOf({ node, parts }: RealHost): Promise<string> {
  const token = createToken("server", caPin((await parts.identity.readPem("ca"))!), random);
  await node.control.cluster.propose({
    kind: "token.create",
    ...{ tokenId: token.id, secretHash: hashSecret(token.secret), role: "server", uses: null },
    expiresWallMs: Math.floor(clock.wallMs()) + 3_600_000,
  });
  return encodeToken(token);
}

/** Three servers that all vote. */
export async function threeVoters(t: Test): Promise<readonly [RealHost, RealHost, RealHost]> {
  const first = await RealHost.enter(t, 1, FOUND);
  await until("it leads", () => first.node.control.replica?.leads === true);
  const token = await tokenOf(first);
  const way: Way = {
    ...{ kind: "join", addresses: [first.address], replace: undefined, keepTrying: false },
    token: () => Promise.resolve(token),
  };
  const second = await RealHost.enter(t, 2, way);
  const third = await RealHost.enter(t, 3, way);
  const all = [first, second, third] as const;
  await until("three vote", () => all.every(({ votes }) => votes));
  return all;
}
