import { DenimError } from "../../base/errors.ts";
import type { StateReader } from "../../lease/state.ts";
import { believedCas } from "../../lease/trust.ts";
import { caId, keyFits, splitBundle, splitKeys } from "../../transport/certificate.ts";

/** A CA's certificate and its key, PEM. */
export interface Signer {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface AuthorityParts {
  readonly state: () => StateReader;
  /** The CAs that this node believed when it started, the one that signed first. */
  readonly caBundle: string;
  /** The keys of CAs on this node's disk. */
  readonly caKeys: () => Promise<string | undefined>;
  /** With `undefined` they are removed. */
  readonly keepCaKeys: (keys: string | undefined) => Promise<void>;
}

/** The cluster's CAs, as the state has them, and this node's right to sign for them. */
export class Authority {
  readonly #parts: AuthorityParts;
  /** As it was named last: a state that was restored names none, and is no reason to go back. */
  #bundle: string;
  /** One change of the keys at a time: each goes on from what the one before has left. */
  #changing: Promise<void> = Promise.resolve();

  constructor(parts: AuthorityParts) {
    this.#parts = parts;
    this.#bundle = parts.caBundle;
  }

  /** Certificates of the CAs that are believed, the one that signs first. */
  get bundle(): string {
    const cas = believedCas(this.#parts.state());
    if (cas !== undefined) this.#bundle = cas.map(({ certPem }) => certPem).join("");
    return this.#bundle;
  }

  /** Id of the CA that signs. */
  get signerId(): string {
    return caId(this.bundle);
  }

  /** `undefined` on a node that does not hold the key. */
  async signer(): Promise<Signer | undefined> {
    const [certPem] = splitBundle(this.bundle);
    const keyPem = splitKeys(await this.#parts.caKeys() ?? "")
      .find((key) => keyFits(key, certPem!));
    return keyPem === undefined ? undefined : { certPem: `${certPem}\n`, keyPem };
  }

  /** The same where there has to be one. @throws `JOIN_REFUSED` */
  async requireSigner(): Promise<Signer> {
    const signer = await this.signer();
    if (signer !== undefined) return signer;
    throw new DenimError("JOIN_REFUSED", "This node cannot let anyone in", {
      why: "it does not hold the CA key: it is an agent, or not a standby yet",
      fix: "turn to one of the servers: denim node list names them",
    });
  }

  /** Every key that this node holds, for another server to hold as well. */
  async keys(): Promise<string | undefined> {
    return await this.#parts.caKeys();
  }

  /** Whether this node could sign for that CA. */
  async holdsKeyOf(certPem: string): Promise<boolean> {
    return splitKeys(await this.#parts.caKeys() ?? "").some((key) => keyFits(key, certPem));
  }

  /** Keys from another server. @throws `REQUEST_INVALID` where none is of a CA of this cluster */
  async receive(keys: string): Promise<void> {
    if (!splitKeys(keys).some((key) => fitsAny(key, this.bundle))) {
      throw new DenimError("REQUEST_INVALID", "This is not the key of the cluster's CA");
    }
    await this.add(keys);
  }

  /**
   * Takes none away: what is on its way may have been read before the newest key was made, and that
   * of the next CA comes before the state names it.
   */
  async add(keys: string): Promise<void> {
    await this.#change((held) => [...held, ...splitKeys(keys)]);
  }

  /** Forgets the keys of CAs in this bundle that are not believed any more. */
  async prune(former: string): Promise<void> {
    const { bundle } = this;
    await this.#change((held) =>
      held.filter((key) => fitsAny(key, bundle) || !fitsAny(key, former))
    );
  }

  /** Forgets every key: this node may no longer sign. */
  async drop(): Promise<void> {
    await this.#change(() => []);
  }

  #change(next: (held: readonly string[]) => readonly string[]): Promise<void> {
    const changed = this.#changing.then(async () => {
      const held = splitKeys(await this.#parts.caKeys() ?? "");
      const keys = [...new Set(next(held))];
      if (keys.length > 0 && keys.join() === held.join()) return;
      await this.#parts.keepCaKeys(keys.length === 0 ? undefined : `${keys.join("\n")}\n`);
    });
    this.#changing = changed.catch(() => {});
    return changed;
  }
}

function fitsAny(key: string, bundle: string): boolean {
  return splitBundle(bundle).some((ca) => keyFits(key, ca));
}
