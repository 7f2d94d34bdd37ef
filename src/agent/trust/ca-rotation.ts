import { type Clock, every } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { theHold } from "../../lease/hold.ts";
import { nodeByRaftId, type StateReader, theCluster, theGroup } from "../../lease/state.ts";
import { rotationOf } from "../../lease/trust.ts";
import type { Replica } from "../../replica/replica.ts";
import { caId } from "../../transport/certificate.ts";
import type { KeyPair } from "../../transport/pki.ts";
import { type CaDelivery, KIND } from "../../transport/protocol.ts";
import { Attempts } from "../attempts.ts";
import type { Authority } from "./authority.ts";
import type { Mesh } from "../control/mesh.ts";

export interface CaRotationOptions {
  readonly self: string;
  readonly state: () => StateReader;
  readonly replica: () => Replica | undefined;
  readonly mesh: Mesh;
  readonly authority: Authority;
  readonly clock: Clock;
  readonly logger: Logger;
}

const TURN_MS = 500;
const ASK_TIMEOUT_MS = 5_000;

/**
 * What the leader does when the CA is changed: it makes the next one, and takes each step when all
 * nodes have followed the one before: see `lease/trust-commands.ts`. A leader that takes over goes
 * on where the state is.
 */
export class CaRotation implements Disposable {
  readonly #options: CaRotationOptions;
  readonly #attempts: Attempts;
  readonly #cancel: () => void;
  #beginning: Promise<void> | undefined;
  /** Made, and maybe handed out in part: the next attempt goes on with it. */
  #made: KeyPair | undefined;
  #busy = false;

  constructor(options: CaRotationOptions) {
    this.#options = options;
    this.#attempts = new Attempts(options.logger);
    this.#cancel = every(options.clock, TURN_MS, () => void this.#turn());
  }

  /**
   * Begins a change; one that is under way goes on. With `leaveSilent` nodes that nobody hears are
   * not waited for.
   *
   * @throws `NOT_LEADER` `ON_HOLD`; `PEER_UNREACHABLE` where a server would be left without the key
   */
  async begin(leaveSilent: boolean): Promise<void> {
    const leader = this.#leader();
    if (leader === undefined) throw new DenimError("NOT_LEADER", "This server does not lead");
    if (rotationOf(this.#options.state()) === undefined) {
      this.#beginning ??= this.#begin(leader).finally(() => (this.#beginning = undefined));
      await this.#beginning;
    }
    if (leaveSilent) await leader.propose({ kind: "ca.leave-silent" });
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }

  #leader(): Replica | undefined {
    const replica = this.#options.replica();
    return replica?.leads === true ? replica : undefined;
  }

  /**
   * A server that believes the next CA and could not sign for it would be no replacement. This one
   * has the key first: it hands over all that it has to whoever becomes a standby meanwhile.
   */
  async #begin(leader: Replica): Promise<void> {
    const { authority, state, clock, logger } = this.#options;
    const signer = await authority.requireSigner();
    const { createCa } = await import("../../transport/pki.ts");
    this.#made ??= await createCa(theCluster(state())!.clusterId, clock);
    const { certPem, keyPem } = this.#made;
    await authority.add(keyPem);
    await this.#handOut(certPem);
    this.#made = undefined;
    const next = { id: caId(certPem), certPem };
    const former = { id: authority.signerId, certPem: signer.certPem };
    await leader.propose({ kind: "ca.add", former, next });
    logger.info("the CA is being changed", { former: former.id, next: next.id });
  }

  async #turn(): Promise<void> {
    const leader = this.#leader();
    const rotation = rotationOf(this.#options.state());
    if (this.#busy || leader === undefined || rotation === undefined) return;
    const { phase, former, next, missing } = rotation;
    if (missing.length > 0 || theHold(this.#options.state()) !== undefined) return;
    this.#busy = true;
    await this.#attempts.make("the next step to another CA failed", async () => {
      if (phase === "spreading") {
        await this.#handOut(next.certPem);
        await leader.propose({ kind: "ca.use", ca: next.id });
        this.#options.logger.info("another CA signs from now on", { ca: next.id });
      } else {
        await leader.propose({ kind: "ca.drop", ca: former.id });
        this.#options.logger.info("the former CA is not believed any more", { ca: former.id });
      }
    });
    this.#busy = false;
  }

  /**
   * That CA's key and what else is here, to every other server of the group, which answers when it
   * has them on disk.
   */
  async #handOut(certPem: string): Promise<void> {
    const { state, mesh, self, authority } = this.#options;
    const caKey = await authority.keys();
    if (caKey === undefined || !await authority.holdsKeyOf(certPem)) throw lacksKey();
    const { voters, learners } = theGroup(state());
    for (const raftId of [...voters, ...learners]) {
      const node = nodeByRaftId(state(), raftId);
      if (node === undefined || node.key === self) continue;
      try {
        const delivery: CaDelivery = { caKey, raftId };
        await mesh.ask(node.key, KIND.ca, delivery, ASK_TIMEOUT_MS);
      } catch (cause) {
        throw new DenimError("PEER_UNREACHABLE", `${node.body.name} did not take the new CA key`, {
          why: (cause as Error).message,
          fix: `start it, or remove it first: denim node rm ${node.body.name}`,
          cause,
        });
      }
    }
  }
}

/** It became a standby in the moment in which the change began. */
function lacksKey(): DenimError {
  return new DenimError("NOT_FOUND", "This server does not hold the key of the next CA", {
    why: "another one has to lead until it is handed out",
    fix: "restart this server's daemon: then another one leads",
  });
}
