import { type Canonical, canonical } from "../base/canonical.ts";
import { type Clock, sleep } from "../base/clock.ts";
import { asDenimError, DenimError, isDenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { Cluster } from "../lease/cluster.ts";
import type { Command, CommandOf, LeaseAnswer } from "../lease/command.ts";
import { mayComeBack } from "../lease/context.ts";
import { renewAfterMs } from "../lease/deadline.ts";
import { theHold } from "../lease/hold.ts";
import { type Holding, holdingFrom, type HostTime, trustedForMs } from "../lease/holding.ts";
import { type Epoch, equalEpoch, type LeaseAttributes } from "../lease/records.ts";
import { movesOf } from "../lease/reservation-commands.ts";
import { theCluster } from "../lease/state.ts";
import { unlessStopped } from "./unless-stopped.ts";

export interface LeasingOptions {
  readonly node: string;
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly bootId: string;
  /** What this node holds as far as its disk knows; `undefined` before the first lease. */
  readonly holding: Holding | undefined;
  /** What is to be told to peers now. */
  readonly attributes: () => LeaseAttributes;
  /** What a cluster is told that has lost all knowledge of this node. */
  readonly introduction: () => Omit<CommandOf<"node.readmit">, "kind" | "node">;
  /** On disk when it resolves. */
  readonly keep: (holding: Holding) => Promise<void>;
  readonly onChange: () => void;
}

export type LeaseStanding =
  /** Nothing was ever granted. */
  | { readonly kind: "none"; readonly error?: DenimError }
  /** The cluster stands behind it, or did not long ago. */
  | { readonly kind: "held"; readonly holding: Holding; readonly trustedForMs: number }
  /** It may have been given to somebody else: kept in the own kernel, not shown as ready. */
  | { readonly kind: "fenced"; readonly holding: Holding; readonly error: DenimError | undefined };

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;
const CALL_TIMEOUT_MS = 10_000;
/** Timers stand still while the host is suspended, and leases do not: how long to sleep at most. */
const NAP_MS = 30_000;
/** While the cluster is on hold its end is waited for, and what has not shown it is asked about. */
const HOLD_RETRY_MS = 10 * 60_000;

/** The cluster's word that this node is not to use its subnets, whatever its own clocks say. */
const DISOWNED = ["LEASE_TAKEN", "NOT_A_MEMBER", "ON_HOLD"] as const;
/** What was held is to be asked for by its name. */
const TO_BE_CLAIMED = ["LEASE_LOST", "LEASE_TAKEN", "EPOCH_MISMATCH", "ON_HOLD"] as const;

/**
 * Keeps this node's lease: renews it at a third of its time, asks for the same one again when it
 * ran out or a new epoch began, and fences when it cannot be sure. It changes the subnet only where
 * an operator has moved this node: that renumbers its containers.
 */
export class Leasing implements AsyncDisposable {
  readonly #options: LeasingOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #unsubscribe: () => void;
  #holding: Holding | undefined;
  #error: DenimError | undefined;
  #wasHeld = false;
  /** The epoch and its hold, as the cluster's state was seen last. */
  #sight = "";
  /** Where this node has made itself known again. */
  #introducedIn: Epoch | undefined;
  #renewNow: AbortController = new AbortController();

  constructor(options: LeasingOptions) {
    this.#options = options;
    this.#holding = options.holding;
    this.#sight = this.#look();
    this.#unsubscribe = options.cluster.onChange(() => this.#onState());
    this.#running = this.#run();
  }

  standing(): LeaseStanding {
    const holding = this.#holding;
    if (holding === undefined) {
      return { kind: "none", ...(this.#error === undefined ? {} : { error: this.#error }) };
    }
    const leftMs = trustedForMs(holding, this.#now());
    return leftMs > 0
      ? { kind: "held", holding, trustedForMs: leftMs }
      : { kind: "fenced", holding, error: this.#error };
  }

  /** What peers are told has changed, or somebody wants to know at once. */
  renewSoon(): void {
    this.#renewNow.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe();
    this.#stop.abort();
    this.#renewNow.abort();
    await this.#running;
  }

  #look(): string {
    const epoch = this.#epoch();
    return epoch === undefined
      ? ""
      : `${epoch.n}.${epoch.random} ${this.#isOnHold()} ${this.#moves()}`;
  }

  /** Where an operator wants this node to change over to. */
  #moves(): readonly string[] {
    const state = this.#options.cluster.view()?.state;
    if (state === undefined || this.#holding === undefined || this.#isOnHold()) return [];
    return movesOf(state, this.#options.node, this.#holding.subnets);
  }

  #isOnHold(): boolean {
    const view = this.#options.cluster.view();
    return view !== undefined && theHold(view.state) !== undefined;
  }

  /** Neither a new epoch, the end of a hold nor a move is waited for by who depends on it. */
  #onState(): void {
    const sight = this.#look();
    if (sight === this.#sight) return;
    this.#sight = sight;
    const isMoved = this.#moves().length > 0;
    if (this.standing().kind !== "held" || this.#isOfOtherEpoch() || isMoved) this.renewSoon();
  }

  #isOfOtherEpoch(): boolean {
    const epoch = this.#epoch();
    return epoch !== undefined && this.#holding !== undefined &&
      !equalEpoch(epoch, this.#holding.epoch);
  }

  /** That the cluster is in, as far as this node knows. */
  #epoch(): Epoch | undefined {
    const state = this.#options.cluster.view()?.state;
    return state && theCluster(state)?.epoch;
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#options;
    let failures = 0;
    while (!this.#stop.signal.aborted) {
      const ok = await this.#renew();
      failures = ok ? 0 : failures + 1;
      const delayMs = ok
        ? renewAfterMs(this.#holding!.ttlMs, random.fraction())
        : isDenimError(this.#error, "ON_HOLD") && this.#isOnHold()
        ? HOLD_RETRY_MS
        : retryMs(failures, random);
      await this.#wait(clock, delayMs);
    }
  }

  /** Until it is time, the lease runs out (so that its fencing is told at once), or a call comes. */
  async #wait(clock: Clock, delayMs: number): Promise<void> {
    const { signal } = this.#renewNow;
    const dueMs = clock.bootMs() + delayMs;
    for (let leftMs = delayMs; leftMs > 0 && !signal.aborted; leftMs = dueMs - clock.bootMs()) {
      if (this.#tellIfFenced()) break;
      await sleep(clock, Math.min(leftMs, this.#untilFencedMs(), NAP_MS), signal);
    }
    if (!this.#stop.signal.aborted) this.#renewNow = new AbortController();
    this.#tellIfFenced();
  }

  #untilFencedMs(): number {
    const standing = this.standing();
    return standing.kind === "held" ? standing.trustedForMs + 1 : Infinity;
  }

  /** That the trust ran out is news, whatever this was waiting for when it did. */
  #tellIfFenced(): boolean {
    const isHeld = this.standing().kind === "held";
    const isNews = this.#wasHeld && !isHeld;
    this.#wasHeld = isHeld;
    if (isNews) this.#options.onChange();
    return isNews;
  }

  async #renew(): Promise<boolean> {
    const { cluster, logger } = this.#options;
    const before = this.#holding;
    try {
      const sent = this.#now();
      const { signal } = this.#stop;
      const timeoutMs = Math.min(CALL_TIMEOUT_MS, this.#untilFencedMs());
      const command = this.#command();
      const epoch = this.#epoch();
      const asked = cluster.propose(command, { timeoutMs, signal });
      const answer = await unlessStopped(asked, signal);
      if (command.kind === "node.readmit") {
        this.#introducedIn = epoch;
        return await this.#renew();
      }
      return await this.#take(holdingFrom(answer as unknown as LeaseAnswer, sent));
    } catch (error) {
      if (this.#stop.signal.aborted) return false;
      const failure = asDenimError(error);
      const again = this.#error?.code === failure.code;
      this.#error = failure;
      if (isDenimError(failure, "EPOCH_MISMATCH")) this.#introducedIn = undefined;
      if (isDenimError(failure, ...DISOWNED)) await this.#fence();
      const lost = isDenimError(failure, "LEASE_LOST") && before !== undefined;
      if (!again && !lost) {
        const { code, message, why } = failure;
        logger.warn("the lease was not confirmed", { code, message, why });
      }
      if (!again) this.#options.onChange();
      // What ran out is asked for again at once, by its name.
      return lost && !again ? await this.#renew() : false;
    }
  }

  /**
   * The first lease is acquired, and the one that this node is moved to; one that is lost, or of
   * another epoch, is claimed; everything else is a renewal. Who is not known any more has to be
   * before that.
   */
  #command(): Command {
    const { node, attributes, introduction } = this.#options;
    const holding = this.#holding;
    if (this.#isStranger()) return { kind: "node.readmit", node, ...introduction() };
    if (holding === undefined || this.#moves().length > 0) {
      return { kind: "lease.acquire", node, attributes: attributes() };
    }
    const { subnets, revision } = holding;
    const claims = this.#isOfOtherEpoch() || isDenimError(this.#error, ...TO_BE_CLAIMED);
    if (!claims) return { kind: "lease.renew", node, subnets, attributes: attributes() };
    const locallyValid = trustedForMs(holding, this.#now()) > 0;
    return {
      kind: "lease.claim",
      ...{ node, subnets, revision, locallyValid },
      attributes: attributes(),
      epoch: holding.epoch,
    };
  }

  /** The cluster does not know this node, and has not heard of it in this epoch. */
  #isStranger(): boolean {
    const state = this.#options.cluster.view()?.state;
    if (state === undefined || !mayComeBack(state, this.#options.node)) return false;
    const introduced = this.#introducedIn;
    return introduced === undefined || !equalEpoch(introduced, theCluster(state)!.epoch);
  }

  /** Nothing is trusted any more, also after a restart; what was held is asked for again. */
  async #fence(): Promise<void> {
    if (this.#holding === undefined || this.#holding.ttlMs === 0) return;
    this.#holding = { ...this.#holding, ttlMs: 0 };
    await this.#keep(this.#holding);
  }

  /** A full disk takes nothing away that the cluster has granted. */
  async #keep(holding: Holding): Promise<void> {
    try {
      await this.#options.keep(holding);
    } catch (error) {
      const { message, why } = asDenimError(error);
      this.#options.logger.error("the lease is not on disk", { message, why });
    }
  }

  /** False where the cluster itself fences this node for now. */
  async #take(holding: Holding): Promise<boolean> {
    const before = this.#holding;
    const wasFenced = before === undefined || trustedForMs(before, this.#now()) === 0;
    const mayUse = holding.ttlMs > 0;
    this.#holding = holding;
    this.#error = mayUse ? undefined : notYet(holding);
    await this.#keep(holding);
    const same = before !== undefined && canonical([...before.subnets]) ===
        canonical([...holding.subnets] as Canonical[]);
    if (mayUse && (!same || wasFenced)) {
      this.#options.logger.info("the lease is held", { subnets: holding.subnets.join(" ") });
      this.#options.onChange();
    }
    return mayUse;
  }

  #now(): HostTime {
    const { clock, bootId } = this.#options;
    return { bootMs: clock.bootMs(), wallMs: clock.wallMs(), bootId };
  }
}

function notYet({ subnets }: Holding): DenimError {
  return new DenimError("LEASE_FENCED", `${subnets.join(", ")} cannot be used yet`, {
    why: "another node claimed it first in this epoch, and may still believe that it is its own",
  });
}

function retryMs(failures: number, random: Random): number {
  const fullMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures - 1, 10));
  return fullMs * (0.5 + random.fraction() / 2);
}
