import { systemClock } from "../../src/base/clock.ts";
import {
  createCa,
  createCsr,
  createKey,
  issueCertificate,
  type KeyPair,
} from "../../src/transport/pki.ts";
import type { Credentials } from "../../src/transport/credentials.ts";
import type { Hello } from "../../src/transport/handshake.ts";
import type { TokenRole } from "../../src/transport/token.ts";

/** A cluster's CA and what it gives its nodes. */
export interface TestCluster {
  readonly id: string;
  readonly ca: KeyPair;
  issue(nodeId: string, role?: TokenRole): Promise<Credentials>;
  hello(nodeId: string, more?: Partial<Hello>): Hello;
}

export async function testCluster(id = "amber"): Promise<TestCluster> {
  const clock = systemClock();
  const ca = await createCa(id, clock);
  return {
    id,
    ca,
    async issue(nodeId, role = "server") {
      const key = await createKey();
      const wanted = { clusterId: id, nodeId, role, ips: ["127.0.0.1"] };
      const cert = await issueCertificate(ca, await createCsr(key), wanted, clock);
      return { key, cert, caBundle: ca.certPem };
    },
    hello: (nodeId, more = {}) => ({
      wants: "peer",
      protocol: { min: 1, max: 1 },
      features: { min: 1, max: 1 },
      version: "0.1.0",
      clusterId: id,
      epoch: { n: 1, random: "00000000000000aa" },
      nodeId,
      role: "server",
      incarnation: { counter: 1, startId: `start-${nodeId}` },
      starts: [{ counter: 1, startId: `start-${nodeId}` }],
      ...more,
    }),
  };
}
