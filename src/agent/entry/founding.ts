import { hex } from "../../base/bytes.ts";
import type { Clock } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { formatPrefix, overlaps, type Prefix } from "../../ip/prefix.ts";
import { FEATURES } from "../../lease/feature-level.ts";
import type { LeaseAttributes } from "../../lease/records.ts";
import { type KernelState, ROUTE_PROTOCOL } from "../../plan/kernel.ts";
import { networkOf } from "../../plan/mark.ts";
import { formatSubject } from "../../plan/subject.ts";
import { bootstrap } from "../../replica/bootstrap.ts";
import type { IdentityFolder } from "../../store/identity.ts";
import type { Store } from "../../store/store.ts";
import { NODE_CERTIFICATE_MS } from "../../transport/certificate.ts";
import { csrKeyId } from "../../transport/csr.ts";
import { createCa, createCsr, createKey, issueCertificate } from "../../transport/pki.ts";
import { clusterName } from "./names.ts";

export interface FoundingOptions {
  readonly identity: IdentityFolder;
  readonly openStore: () => Promise<Store>;
  /** The network config, with its backend written out. */
  readonly network: string;
  readonly name: string;
  readonly address: string;
  readonly attributes: LeaseAttributes;
  readonly version: string;
  readonly zone?: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Makes a new cluster of this node alone. What names the node is written last, so that a crash in
 * between leaves nothing that would be taken for a member.
 *
 * @throws what the first entry refuses, with the identity as it was
 */
export async function foundCluster(options: FoundingOptions): Promise<void> {
  try {
    await found(options);
  } catch (error) {
    for (const kind of ["caKey", "ca", "cert", "key"] as const) await options.identity.remove(kind);
    throw error;
  }
}

async function found(options: FoundingOptions): Promise<void> {
  const { identity, clock, random, name, version, address, attributes, network, zone } = options;
  const [clusterId, nodeId] = [hex(random.bytes(16)), `n-${hex(random.bytes(6))}`];
  const epoch = { n: 1, random: hex(random.bytes(8)) };
  const ca = await createCa(clusterId, clock);
  const key = await createKey();
  const csr = await createCsr(key);
  const request = { clusterId, nodeId, role: "server" as const };
  const cert = await issueCertificate(ca, csr, request, clock);
  await identity.writePem("key", key);
  await identity.writePem("cert", cert);
  await identity.writePem("ca", ca.certPem);
  await identity.writePem("caKey", ca.keyPem);
  const wallMs = Math.floor(clock.wallMs());
  await using store = await options.openStore();
  const { name: finalName } = await bootstrap(store, { elapsedMs: 0, wallMs }, {
    kind: "cluster.init",
    ...{ clusterId, epoch, name: clusterName(random), config: network },
    node: {
      ...{ nodeId, name, role: "server", address, version, attributes, features: FEATURES },
      ...(zone === undefined ? {} : { zone }),
      csrKey: csrKeyId(csr),
      storeId: hex(random.bytes(8)),
      certificateEndsWallMs: wallMs + NODE_CERTIFICATE_MS,
    },
  });
  const record = { nodeId, name: finalName, clusterId, epoch, role: "server" as const };
  await identity.write("node", { ...record, createdAtMs: wallMs });
}

/**
 * Routes and links of ours on a host without an identity were made by an earlier life of it: its
 * cluster may be alive, and a second one over the same subnets must not come to be. Another
 * network's are another daemon's.
 *
 * @throws `CLUSTER_EXISTS`
 */
export function refuseLeftovers(
  { routes, links }: Pick<KernelState, "routes" | "links">,
  networks: readonly Prefix[],
): void {
  const isMet = (block: Prefix) => networks.some((network) => overlaps(network, block));
  const left = [
    ...routes.filter(({ protocol, destination }) =>
      protocol === ROUTE_PROTOCOL && isMet(destination)
    ),
    ...links.filter((link) => {
      const of = networkOf(link);
      return of !== undefined && isMet(of);
    }).map(({ name }) => ({ kind: "link" as const, name })),
  ];
  if (left.length === 0) return;
  const what = new Set(left.map(({ kind }) => `${kind}s`));
  const flags = networks.map((network) => `--network ${formatPrefix(network)}`).join(" ");
  throw new DenimError(
    "CLUSTER_EXISTS",
    `This host has ${[...what].join(" and ")} of a cluster already`,
    {
      why: `${left.length} carry Denim's mark, for example ${formatSubject(left[0]!)}`,
      fix: "join that cluster again (denim join HOST); if it is gone for good, remove them: " +
        `denim cleanup ${flags}`,
    },
  );
}
