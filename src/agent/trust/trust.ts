import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Cluster } from "../../lease/cluster.ts";
import type { StateReader } from "../../lease/state.ts";
import type { Replica } from "../../replica/replica.ts";
import type { IdentityFolder } from "../../store/identity.ts";
import { splitBundle } from "../../transport/certificate.ts";
import type { Credentials } from "../../transport/credentials.ts";
import type { Transport } from "../../transport/transport.ts";
import { Authority } from "./authority.ts";
import { CaRotation } from "./ca-rotation.ts";
import { Certificates, type CertificateTerm } from "./certificates.ts";
import type { Mesh } from "../control/mesh.ts";
import { renewFor } from "./renewing.ts";

export interface TrustOptions {
  readonly nodeId: string;
  readonly identity: IdentityFolder;
  readonly credentials: Credentials;
  readonly transport: Transport;
  readonly mesh: Mesh;
  readonly state: () => StateReader;
  readonly replica: () => Replica | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Whom this node believes and who vouches for it: the cluster's CAs, and its own certificate. */
export class Trust implements AsyncDisposable {
  readonly authority: Authority;
  readonly rotation: CaRotation;
  readonly #options: TrustOptions;
  #certificates: Certificates | undefined;
  /** How many CAs. */
  #believed: number;

  constructor(options: TrustOptions) {
    this.#options = options;
    this.#believed = splitBundle(options.credentials.caBundle).length;
    const { nodeId, identity, credentials: { caBundle }, state, mesh, clock, logger } = options;
    this.authority = new Authority({
      ...{ state, caBundle },
      caKeys: () => identity.readPem("caKey"),
      keepCaKeys: (keys) =>
        keys === undefined ? identity.remove("caKey") : identity.writePem("caKey", keys),
    });
    this.rotation = new CaRotation({
      ...{ self: nodeId, state, mesh, authority: this.authority, clock },
      logger: logger.child("ca"),
      replica: options.replica,
    });
  }

  /** Keeps the certificate good from now on; `ask` has a request signed by another server. */
  start(cluster: Cluster, ask: (csr: string) => Promise<string>): void {
    const { nodeId, identity, credentials, transport, clock, random, logger } = this.#options;
    const { authority } = this;
    if (transport.reload === undefined) return;
    const signer = () => authority.requireSigner();
    this.#certificates = new Certificates({
      ...{ nodeId, identity, credentials, clock, random, cluster, authority },
      logger: logger.child("certificate"),
      reload: (next) => this.#reload(next),
      renew: async (csr) =>
        await authority.signer() === undefined
          ? await ask(csr)
          : (await renewFor({ cluster, clock, signer }, nodeId, { csr })).certificate,
      isServer: () => this.#options.replica() !== undefined,
    });
  }

  /**
   * Who came by a CA that is dropped now stays connected if it is a member, which has another
   * certificate by then. Whoever had the stolen key may have come as somebody that nobody knows.
   */
  #reload(next: Credentials): void {
    const { transport, mesh, state } = this.#options;
    transport.reload!(next);
    const believed = splitBundle(next.caBundle).length;
    if (believed < this.#believed) {
      mesh.dismissStrangers((node) => state().get("node", node) !== undefined);
    }
    this.#believed = believed;
  }

  /** `undefined` where this node has no certificate. */
  get term(): CertificateTerm | undefined {
    return this.#certificates?.term;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.rotation[Symbol.dispose]();
    await this.#certificates?.[Symbol.asyncDispose]();
  }
}
