import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeParts } from "../agent/assemble.ts";
import { enterCluster } from "../agent/entry/entry.ts";
import { Node } from "../agent/node.ts";
import { DEFAULT_SETTINGS } from "../agent/settings.ts";
import type { Backend } from "../backend/backend.ts";
import { BackendRegistry } from "../backend/registry.ts";
import { systemClock } from "../base/clock.ts";
import { assert } from "../base/errors.ts";
import { systemRandom } from "../base/random.ts";
import { bootId } from "../host/boot.ts";
import { processLogger } from "../host/logger.ts";
import { subnetFileAt } from "../host/subnet-file.ts";
import { parseAddress } from "../ip/address.ts";
import { MemoryKernel } from "../kernel/memory-kernel.ts";
import { MemoryPacketFilter } from "../kernel/memory-packet-filter.ts";
import { IdentityFolder } from "../store/identity.ts";
import { storeFolder } from "../store/place.ts";
import { tlsTransport } from "../transport/tls-transport.ts";

const NETWORK = JSON.stringify({ Network: "10.244.0.0/16", Backend: { Type: "host-gw" } });

/**
 * All parts together: a cluster of one, founded where it is new and started twice, up to its subnet
 * file. Its kernel is a map, so the host is left as it is. In a folder that stays it walks the way
 * of every start, which is how the single binary learns what to keep compiled.
 */
export async function probeNode(
  backends: readonly Backend[],
  givenFolder?: string,
): Promise<string> {
  const folder = givenFolder ?? await mkdtemp(join(tmpdir(), "denim-self-test-"));
  try {
    const parts = partsIn(folder, backends);
    await enterCluster({
      ...parts,
      name: "self-test",
      way: { kind: "found", network: NETWORK },
      signal: new AbortController().signal,
      onStep: () => {},
    });
    const first = await subnetOf(parts);
    const again = await subnetOf(parts);
    assert(first !== undefined, "a node that founds a cluster has a subnet");
    assert(first === again, "a node has the same subnet after a restart");
    return `a cluster of one, ${first} twice`;
  } finally {
    if (givenFolder === undefined) await rm(folder, { recursive: true, force: true });
  }
}

function partsIn(folder: string, backends: readonly Backend[]): NodeParts {
  const kernel = new MemoryKernel();
  const logger = processLogger({ level: "error", format: "text" });
  kernel.addLink("eth0", { addresses: [{ address: parseAddress("192.0.2.1"), length: 24 }] });
  return {
    settings: {
      ...DEFAULT_SETTINGS,
      ...{ stateDir: folder, subnetFile: join(folder, "subnet.env"), version: "self-test" },
      ...{ listen: { host: "127.0.0.1", port: 0 }, iface: "eth0" },
    },
    identity: new IdentityFolder(join(folder, "identity")),
    place: storeFolder(join(folder, "store")),
    ...{ kernel, packetFilter: new MemoryPacketFilter() },
    ...{ backends: new BackendRegistry(backends), logger },
    ...{ clock: systemClock(), random: systemRandom() },
    ...{ transport: tlsTransport, bootId: bootId() },
    subnetFile: subnetFileAt(join(folder, "subnet.env")),
    forward: () => ({ wasOff: false }),
  };
}

/** What a node that is started now tells the containers. */
async function subnetOf(parts: NodeParts): Promise<string | undefined> {
  await using node = await Node.start(parts);
  await node.data.settled;
  const text = await readFile(parts.settings.subnetFile, "utf8");
  return /^FLANNEL_SUBNET=(.*)$/m.exec(text)?.[1];
}
