import type { Backend, LeftOut } from "../../backend/backend.ts";
import { type DroppedPeer, type RawScene, readScene, splitPlan } from "../../backend/scene.ts";
import type { Cancel, Clock } from "../../base/clock.ts";
import { asDenimError, type DenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { formatPrefix, type Prefix } from "../../ip/prefix.ts";
import {
  type Confidence,
  type Mode,
  modeOf,
  type Position,
  positionAfter,
} from "../../plan/confidence.ts";
import { diff } from "../../plan/diff.ts";
import type { Item } from "../../plan/difference.ts";
import type { Hook } from "../../plan/hook.ts";
import type { Change, Kernel, KernelState, Outcome } from "../../plan/kernel.ts";
import type { Wanted } from "../../plan/wanted.ts";
import { formatSubject } from "../../plan/subject.ts";
import { withUnreachable } from "../../plan/silent.ts";
import { Applier, keyOf } from "./applier.ts";
import { HeadStart } from "./head-start.ts";
import { Retries } from "./retries.ts";

/** What is known right now; one pass works with one of these. */
export interface Situation extends RawScene {
  readonly backend: Backend;
  /**
   * Every network that this data directory ever programmed, the current ones included. The caller
   * has them on disk already: a route that is not remembered could never be removed.
   */
  readonly networks: readonly Prefix[];
  readonly confidence: Confidence;
  /** Peers that were left out of the scene already, and why. */
  readonly unread?: readonly DroppedPeer[];
  /** Subnets that no backend was asked about, and why. */
  readonly leftOut?: readonly LeftOut[];
  /** Subnets whose peers are to be unreachable: nobody hears them. */
  readonly silent?: readonly Prefix[];
  /** Subnets that were claimed in this epoch; see {@link diff}. */
  readonly claimed?: readonly Prefix[];
}

/** What one pass found and did. */
export interface Pass {
  readonly mode: Mode;
  readonly wanted: readonly Wanted[];
  /** What programs are to look after: nothing of that has been done here. */
  readonly hooks: readonly Hook[];
  /** {@link Situation.claimed}, as it was then. */
  readonly claimed: readonly Prefix[];
  /** How everything stood before the changes. */
  readonly items: readonly Item[];
  readonly conflicts: readonly Item[];
  /** What was added ahead of this pass comes first. */
  readonly changes: readonly Change[];
  /** One for each change. What waits for its next try carries its last error. */
  readonly outcomes: readonly Outcome[];
  readonly dropped: readonly DroppedPeer[];
  /** What cannot be reached from this host. */
  readonly leftOut: readonly LeftOut[];
  /** To be recorded as programmed; absent when the record should stay as it is. */
  readonly programmed?: Position;
  readonly passMs: number;
  /** Wall clock, milliseconds, at the end. */
  readonly at: number;
}

/** A situation, and what the backend makes of it. */
interface Planned extends Pick<Pass, "wanted" | "hooks" | "leftOut" | "dropped"> {
  readonly now: Situation;
}

export interface ReconcilerOptions {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: Logger;
  /** The kernel was read: true where what is known is different now. */
  readonly onKernel?: (state: KernelState) => Promise<boolean>;
  /** `undefined`: nothing is known yet, so nothing is done. */
  readonly situation: () => Situation | undefined;
  /**
   * Every peer has been tried once when this is called: what one peer cannot have must not keep
   * this node from being ready.
   */
  readonly onPass: (pass: Pass) => void;
  /** The pass itself could not be made; it is tried again. Nothing was changed. */
  readonly onFailure?: (error: DenimError) => void;
}

/** The safety net under the kernel's events. */
const PERIOD_MS = 30_000;

/** Passes may use a tenth of one core, however large the tables and however busy the kernel. */
const TIME_PER_COST = 10;

/** What the cheapest pass counts for: a busy kernel gets 20 of them in a second, not all it asks. */
const COST_MIN_MS = 5;

/**
 * How far that may be in arrears: after a quiet time a new route waits for nothing, also when
 * several come one after the other, as they do when hosts join.
 */
const ARREARS_MAX_MS = 500;

/**
 * How long after a head start the kernel is read: hosts that join one after the other cost one
 * reading, and many daemons on one machine have all of their routes before the first one reads.
 */
const READ_AFTER_MS = 100;

/** Many may have the same cause: a link that is down has all its routes fail. */
const REPORTED_MAX = 20;

/** The key of a pass as a whole among the things that can fail. */
const WHOLE_PASS = "pass";

/**
 * Keeps the kernel at what the backend wants: looks at the whole, makes the difference, looks
 * again. It works on levels and never on events, so a lost one costs time and no correctness.
 * Stopping it removes nothing: the data plane outlives the daemon.
 */
export class Reconciler implements AsyncDisposable {
  readonly #options: ReconcilerOptions;
  readonly #applier: Applier;
  /** Of passes as a whole. */
  readonly #failures = new Retries();
  readonly #headStart = new HeadStart();
  /** What was added ahead of the next pass. */
  #ahead: readonly Outcome[] = [];
  /** When that pass has to be; `Infinity`: it waits for nothing but its turn. */
  #passDueMs = Infinity;
  #unwatch: (() => void) | undefined;
  #wake: { readonly atMs: number; readonly cancel: Cancel } | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  /** When all passes so far will have used their share of the time and no more. */
  #paidAtMs = -Infinity;
  #stopped = false;
  #reported = new Map<string, string>();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#applier = new Applier(options);
  }

  start(): void {
    this.#unwatch = this.#options.kernel.watch(() => {
      this.#applier.hurry();
      this.#failures.hurry();
      this.lookAnew();
    });
    this.trigger();
  }

  /** What was read of the kernel does not count any more, or was not looked at for this. */
  lookAnew(): void {
    this.#headStart.forget();
    this.trigger();
  }

  /** Something may have changed: look soon. Cheap, and may be called at any rate. */
  trigger(): void {
    if (this.#running !== undefined) this.#again = true;
    else this.#wakeAt(this.#mayStartAtMs());
  }

  /** Waits for a running pass. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#unwatch?.();
    this.#wake?.cancel();
    await this.#running;
  }

  #wakeAt(atMs: number): void {
    if (this.#stopped || (this.#wake !== undefined && this.#wake.atMs <= atMs)) return;
    this.#wake?.cancel();
    const { clock } = this.#options;
    const start = () => {
      this.#wake = undefined;
      this.#running = this.#turn();
    };
    const delayMs = atMs - clock.monotonicMs();
    // A timer of nothing would still let other work go first.
    if (delayMs <= 0) start();
    else this.#wake = { atMs, cancel: clock.after(delayMs, start) };
  }

  #mayStartAtMs(): number {
    return this.#paidAtMs - ARREARS_MAX_MS;
  }

  /** One pass, and the date of the next. */
  async #turn(): Promise<void> {
    const { clock, onPass, onFailure } = this.#options;
    const startedMs = clock.monotonicMs();
    try {
      const pass = await this.#pass(startedMs);
      this.#failures.keepOnly(new Set());
      if (pass !== undefined) onPass(pass);
    } catch (caught) {
      const error = asDenimError(caught);
      const text = error.why === undefined ? error.message : `${error.message}: ${error.why}`;
      const isNews = this.#failures.failed(WHOLE_PASS, text, clock.monotonicMs());
      if (isNews) this.#options.log.error("Cannot look after the kernel", { error: text });
      onFailure?.(error);
    }
    const endedMs = clock.monotonicMs();
    const costMs = Math.max(COST_MIN_MS, endedMs - startedMs);
    this.#paidAtMs = Math.max(this.#paidAtMs, startedMs) + costMs * TIME_PER_COST;
    const retryMs = Math.min(this.#failures.nextDueMs() ?? Infinity, this.#applier.nextDueMs);
    const dueMs = this.#again ? -Infinity : Math.min(retryMs, this.#passDueMs, endedMs + PERIOD_MS);
    this.#again = false;
    this.#running = undefined;
    this.#wakeAt(Math.max(dueMs, this.#mayStartAtMs()));
  }

  /** `undefined` where nothing is known, or a head start is all for now. */
  async #pass(startedMs: number): Promise<Pass | undefined> {
    const { kernel, clock, onKernel } = this.#options;
    const early = await (this.#headStart.isReady ? this.#plan() : undefined);
    if (early !== undefined) {
      const ahead = this.#headStart.take(early.wanted, early.now.networks);
      const isAll = !this.#headStart.lacks(early.wanted);
      if (ahead.length > 0 && await this.#addAhead(ahead, startedMs) && isAll) return undefined;
    }
    this.#passDueMs = Infinity;
    const state = await this.#headStart.read(kernel);
    const isNew = await onKernel?.(state) === true || early === undefined;
    const planned = isNew ? await this.#plan() : early;
    if (planned === undefined) {
      this.#applier.forget();
      return undefined;
    }
    const { now, wanted, hooks, leftOut, dropped } = planned;
    this.#headStart.know(state, wanted);
    const mode = modeOf(now.confidence);
    const { networks, claimed = [] } = now;
    const { items, changes } = diff(wanted, state, { networks, mode, claimed });
    const outcomes = [...this.#ahead, ...await this.#applier.apply(changes)];
    this.#ahead = [];
    this.#noteRepairs(items, outcomes);
    const programmed = positionAfter(now.confidence);
    const pass: Pass = {
      ...{ mode, wanted, hooks, claimed, items },
      conflicts: items.filter((item) => item.state === "conflict"),
      changes: outcomes.map(({ change }) => change),
      outcomes,
      ...{ dropped, leftOut },
      ...(programmed === undefined ? {} : { programmed }),
      passMs: clock.monotonicMs() - startedMs,
      at: clock.wallMs(),
    };
    this.#report(pass);
    return pass;
  }

  /** What the backend wants now, and of whom it knows nothing. */
  async #plan(): Promise<Planned | undefined> {
    const now = this.#options.situation();
    if (now === undefined) return undefined;
    const { scene, dropped } = readScene(now.backend, now);
    const { wanted, hooks, leftOut } = splitPlan(await now.backend.plan(scene));
    return {
      ...{ now, hooks },
      leftOut: [...now.leftOut ?? [], ...leftOut],
      wanted: withUnreachable(wanted, now.silent ?? []),
      dropped: [...now.unread ?? [], ...dropped],
    };
  }

  /** True where that will do until the pass that is due soon, which also looks after failures. */
  async #addAhead(changes: readonly Change[], nowMs: number): Promise<boolean> {
    const outcomes = await this.#options.kernel.apply(changes);
    const added = outcomes.filter(({ error }) => error === undefined);
    this.#ahead = [...this.#ahead, ...added];
    this.#passDueMs = Math.min(this.#passDueMs, nowMs + READ_AFTER_MS);
    return added.length === outcomes.length && nowMs < this.#passDueMs;
  }

  #noteRepairs(items: readonly Item[], outcomes: readonly Outcome[]): void {
    const undone = this.#applier.note(items, outcomes);
    if (undone === undefined) return;
    this.#options.log.warn("What is put back is taken away again and again", {
      ...undone,
      fix: "ip monitor link address neigh route shows when; a network manager can leave foreign " +
        "routes alone, systemd-networkd by ManageForeignRoutes=no in networkd.conf",
    });
  }

  /** Says what is new, and each trouble once for as long as it lasts. */
  #report(pass: Pass): void {
    const { log } = this.#options;
    const troubles = new Map<string, string>();
    for (const { change, error } of pass.outcomes) {
      if (error !== undefined) troubles.set(`Cannot ${keyOf(change)}`, error);
      else log.debug(keyOf(change));
    }
    for (const { about, why } of pass.conflicts) {
      troubles.set(`Cannot have ${formatSubject(about)}`, why ?? "");
    }
    for (const { destination, why } of pass.leftOut) {
      troubles.set(`Cannot route ${formatPrefix(destination)}`, why);
    }
    for (const { node, why } of pass.dropped) troubles.set(`Cannot use the record of ${node}`, why);
    const news = [...troubles].filter(([message, error]) => this.#reported.get(message) !== error);
    for (const [message, error] of news.slice(0, REPORTED_MAX)) log.warn(message, { error });
    const more = news.length - REPORTED_MAX;
    if (more > 0) log.warn("And so for more of them", { more, fix: "denim route --drift" });
    this.#reported = troubles;
    const count = pass.outcomes.filter((outcome) => outcome.error === undefined).length;
    if (count > 0) log.info("Kernel changed", { count, mode: pass.mode });
  }
}
