import type { Clock } from "../../base/clock.ts";
import { asDenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Cluster } from "../../lease/cluster.ts";
import { theHold } from "../../lease/hold.ts";
import { type Epoch, isFork } from "../../lease/records.ts";
import { type StateReader, theCluster } from "../../lease/state.ts";
import type { Admit } from "../../transport/handshake.ts";

export interface EpochWatchOptions {
  readonly cluster: Pick<Cluster, "propose">;
  readonly state: () => StateReader;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A cluster that knows of the fork is told again this often, so that it stays on hold. */
const REMIND_MS = 3_600_000;
/** One that does not, no more often than this: agents try their servers every few seconds. */
const REPORT_MS = 10_000;

/**
 * What this node has met of other histories of its cluster. Two clusters that go on from one past
 * do not know each other: only who has met both can say so, and each then goes on hold.
 */
export class EpochWatch {
  readonly #options: EpochWatchOptions;
  #met: Epoch | undefined;
  #quietUntilMs = -Infinity;

  constructor(options: EpochWatchOptions) {
    this.#options = options;
  }

  /** Another history with the number of this one. */
  get fork(): Epoch | undefined {
    return this.#metIf(isFork);
  }

  /** A history that went on without this node. */
  get later(): Epoch | undefined {
    return this.#metIf((met, own) => met.n > own.n);
  }

  /** Looks at every hello before it is judged. */
  noting(admit: Admit): Admit {
    return (hello, identity) => {
      this.meet(hello.epoch);
      return admit(hello, identity);
    };
  }

  /** A node of this cluster, proved by its certificate, has said which epoch it is in. */
  meet(other: Epoch): void {
    const own = theCluster(this.#options.state())?.epoch;
    if (own === undefined) return;
    if (other.n < own.n || (other.n === own.n && !isFork(other, own))) return;
    const isNews = this.#met?.n !== other.n || this.#met.random !== other.random;
    this.#met = other;
    if (isFork(other, own)) {
      if (isNews) this.#tell("another cluster goes on from the same past", own, other);
      void this.#report(own, other);
    } else if (isNews) {
      this.#tell("a later epoch of this cluster is alive", own, other);
    }
  }

  #metIf(fits: (met: Epoch, own: Epoch) => boolean): Epoch | undefined {
    const own = theCluster(this.#options.state())?.epoch;
    return own !== undefined && this.#met !== undefined && fits(this.#met, own)
      ? this.#met
      : undefined;
  }

  #tell(message: string, own: Epoch, other: Epoch): void {
    this.#options.logger.error(message, { own: formatEpoch(own), other: formatEpoch(other) });
  }

  async #report(epoch: Epoch, other: Epoch): Promise<void> {
    const { cluster, clock, state, logger } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#quietUntilMs) return;
    this.#quietUntilMs = nowMs + REPORT_MS;
    try {
      await cluster.propose({ kind: "cluster.fork-seen", epoch, other });
      if (theHold(state())?.fork !== undefined) this.#quietUntilMs = nowMs + REMIND_MS;
    } catch (error) {
      logger.warn("a fork could not be reported yet", { why: asDenimError(error).message });
    }
  }
}

/** As it stands in the ids of events. */
export function formatEpoch({ n, random }: Epoch): string {
  return `${n}.${random}`;
}
