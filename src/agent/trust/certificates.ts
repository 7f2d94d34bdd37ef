import { type Clock, sleep } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Cluster } from "../../lease/cluster.ts";
import type { NodeTrust } from "../../lease/records.ts";
import type { StateReader } from "../../lease/state.ts";
import { theTrust } from "../../lease/trust.ts";
import type { IdentityFolder } from "../../store/identity.ts";
import {
  caId,
  issuerId,
  judgeCertificate,
  keyFits,
  readTerm,
  splitBundle,
} from "../../transport/certificate.ts";
import type { Credentials } from "../../transport/credentials.ts";
import { Attempts } from "../attempts.ts";
import type { Authority } from "./authority.ts";
import { unlessStopped } from "../unless-stopped.ts";

export interface CertificatesOptions {
  readonly nodeId: string;
  readonly cluster: Cluster;
  readonly identity: IdentityFolder;
  readonly authority: Authority;
  /** As they are on disk. */
  readonly credentials: Credentials;
  /** Connections from now on use these; those that stand are not touched. */
  readonly reload: (credentials: Credentials) => void;
  /** Has a request signed, here or by a server. */
  readonly renew: (csr: string) => Promise<string>;
  /** This node is one of those that others ask. */
  readonly isServer: () => boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** A certificate is renewed somewhere in this part of its life, so that a fleet spreads. */
const RENEWED_FROM = 0.5;
const RENEWED_TO = 0.8;
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 60_000;
/** The wall clock may be set while this waits. */
const LOOK_MS = 3_600_000;
/** When the CA changes everybody renews, and a leader writes only so many entries a second. */
const SPREAD_PER_NODE_MS = 10;
const SPREAD_MAX_MS = 60_000;

/** Wall clock, milliseconds since 1970. */
export interface CertificateTerm {
  readonly endsMs: number;
  readonly renewMs: number;
  /** Until it ends, by this host's clock. */
  readonly leftMs: number;
}

/**
 * This node's papers: renews its certificate long before it ends, believes the CAs that the state
 * names, and tells the cluster which ones it has on disk. The key stays for life: so there is one
 * file to put in another's place, and no moment at which key and certificate are no pair.
 */
export class Certificates implements AsyncDisposable {
  readonly #options: CertificatesOptions;
  readonly #attempts: Attempts;
  readonly #fraction: number;
  readonly #unsubscribe: () => void;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #credentials: Credentials;
  /** Of the credentials: reading them takes a while, and is asked for often. */
  #own: NodeTrust;
  #term: Omit<CertificateTerm, "leftMs">;
  #wake: () => void = () => {};
  /** What the state said when it was looked at last. */
  #seen: readonly unknown[] = [];
  /** The CA that this node is about to get a certificate of, and when by the monotonic clock. */
  #turn: { readonly signer: string; readonly atMs: number } | undefined;

  constructor(options: CertificatesOptions) {
    this.#options = options;
    this.#credentials = options.credentials;
    this.#own = trustOf(options.credentials);
    this.#attempts = new Attempts(options.logger);
    this.#fraction = RENEWED_FROM + options.random.fraction() * (RENEWED_TO - RENEWED_FROM);
    this.#term = this.#termOf(options.credentials);
    this.#unsubscribe = options.cluster.onChange(() => {
      if (this.#saidNow().some((said, at) => said !== this.#seen[at])) this.#wake();
    });
    this.#running = this.#run();
  }

  /** When the certificate ends, and when it is to be renewed; wall clock. */
  get term(): CertificateTerm {
    return { ...this.#term, leftMs: this.#term.endsMs - this.#options.clock.wallMs() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe();
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted;) {
      this.#seen = this.#saidNow();
      const went = await this.#attempts.make("this node's papers are not in order", async () => {
        await this.#follow();
        await this.#renewIfDue();
        await this.#tell();
      });
      failures = went ? 0 : failures + 1;
      const retryMs = Math.min(RETRY_MS * 2 ** (failures - 1), RETRY_MAX_MS);
      await this.#rest(failures > 0 ? retryMs : this.#idleMs());
    }
  }

  /** Ends early when the state says something else. */
  async #rest(delayMs: number): Promise<void> {
    const rest = new AbortController();
    this.#wake = () => rest.abort();
    if (this.#saidNow().some((said, at) => said !== this.#seen[at])) return;
    const signal = AbortSignal.any([rest.signal, this.#stop.signal]);
    await sleep(this.#options.clock, delayMs, signal);
  }

  #idleMs(): number {
    const { clock } = this.#options;
    const renewMs = this.term.renewMs - clock.wallMs();
    const turnMs = this.#turn === undefined ? Infinity : this.#turn.atMs - clock.monotonicMs();
    return Math.min(Math.max(Math.min(renewMs, turnMs), RETRY_MS), LOOK_MS);
  }

  /** Records are replaced, never changed: so the same ones say the same. */
  #saidNow(): readonly unknown[] {
    const state = this.#options.cluster.view()?.state;
    return [state && theTrust(state), state?.get("node", this.#options.nodeId)?.body.trust];
  }

  /** Believes whom the cluster believes. */
  async #follow(): Promise<void> {
    const { authority, identity, logger } = this.#options;
    const caBundle = authority.bundle;
    if (caBundle.trim() === this.#credentials.caBundle.trim()) return;
    const former = this.#credentials.caBundle;
    await identity.writePem("ca", caBundle);
    this.#use({ ...this.#credentials, caBundle });
    logger.info("the cluster's CAs have changed", { believes: this.#own.cas.join(" ") });
    await authority.prune(former);
  }

  async #renewIfDue(): Promise<void> {
    const { authority, identity, clock, logger, renew } = this.#options;
    const { signerId } = authority;
    const isOfSigner = this.#own.issuer === signerId;
    if (isOfSigner) this.#turn = undefined;
    if (isOfSigner ? clock.wallMs() < this.term.renewMs : !this.#isItsTurn(signerId)) return;
    const { createCsr } = await import("../../transport/pki.ts");
    const cert = await unlessStopped(
      renew(await createCsr(this.#credentials.key)),
      this.#stop.signal,
    );
    const { caBundle, key } = this.#credentials;
    // What cannot be used must not take the place of what can.
    judgeCertificate(cert, caBundle, clock.wallMs());
    if (!keyFits(key, cert)) throw notOurs();
    await identity.writePem("cert", cert);
    this.#use({ caBundle, key, cert });
    this.#turn = undefined;
    const until = new Date(this.term.endsMs).toISOString();
    logger.info("the certificate was renewed", { until, by: this.#own.issuer });
  }

  /** Agents take turns by chance; those that others connect to do not wait. */
  #isItsTurn(signer: string): boolean {
    const { clock, random, isServer } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#turn?.signer !== signer) {
      const nodes = [...this.#state()?.all("node") ?? []].length;
      const spreadMs = isServer() ? 0 : Math.min(nodes * SPREAD_PER_NODE_MS, SPREAD_MAX_MS);
      this.#turn = { signer, atMs: nowMs + random.fraction() * spreadMs };
    }
    return nowMs >= this.#turn.atMs;
  }

  /** Says what is on disk, as far as the cluster wants to know. */
  async #tell(): Promise<void> {
    const { cluster, nodeId } = this.#options;
    const state = this.#state();
    if (state === undefined || theTrust(state) === undefined) return;
    const known = state.get("node", nodeId)?.body.trust;
    if (JSON.stringify(known) === JSON.stringify(this.#own)) return;
    const { signal } = this.#stop;
    const update = { kind: "node.update", node: nodeId, trust: this.#own } as const;
    await unlessStopped(cluster.propose(update, { signal }), signal);
  }

  #state(): StateReader | undefined {
    return this.#options.cluster.view()?.state;
  }

  #termOf({ cert }: Credentials): Omit<CertificateTerm, "leftMs"> {
    const { madeMs, endsMs } = readTerm(cert);
    return { endsMs, renewMs: madeMs + (endsMs - madeMs) * this.#fraction };
  }

  #use(credentials: Credentials): void {
    this.#credentials = credentials;
    this.#own = trustOf(credentials);
    this.#term = this.#termOf(credentials);
    this.#options.reload(credentials);
  }
}

/** Whom one believes that has these, and who vouches for it. */
function trustOf({ caBundle, cert }: Credentials): NodeTrust {
  return { cas: splitBundle(caBundle).map(caId), issuer: issuerId(cert, caBundle) ?? "" };
}

function notOurs(): DenimError {
  return new DenimError("PROTOCOL", "The new certificate is of another key");
}
