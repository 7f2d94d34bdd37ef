import type { Canonical } from "../base/canonical.ts";
import type { Clock } from "../base/clock.ts";
import { assert, DenimError } from "../base/errors.ts";
import { type Command, encodeEntry } from "../lease/command.ts";
import { refuseForLevel } from "../lease/feature-level.ts";
import type { Change, ProposeResult, Raft } from "../raft/mod.ts";
import type { Copy } from "../store/copy.ts";
import type { Call } from "./call.ts";
import { Leading } from "./leading.ts";
import type { Waiters } from "./waiters.ts";

/** The text of one entry: far above any command that a node has reason to send. */
const ENTRY_CHARS_MAX = 256 * 1024;

export interface ProposalsParts {
  readonly core: Raft;
  readonly clock: Clock;
  readonly copy: Copy;
  readonly waiters: Waiters;
}

/** A command that has not got its place in the log yet, and who waits for it. */
interface Pending {
  readonly text: string;
  /** Gives its time back to the lease clock. */
  readonly unstamp: () => void;
  readonly resolve: (answer: Promise<Canonical>) => void;
  readonly reject: (error: DenimError) => void;
}

/** What goes into the log where this server leads, and who waits for it. */
export class Proposals {
  readonly #core: Raft;
  readonly #clock: Clock;
  readonly #copy: Copy;
  readonly #waiters: Waiters;
  #leading: Leading | undefined;
  #pending: Pending[] = [];

  constructor(parts: ProposalsParts) {
    this.#core = parts.core;
    this.#clock = parts.clock;
    this.#copy = parts.copy;
    this.#waiters = parts.waiters;
  }

  /**
   * @throws the refusal; `NOT_LEADER` `OVERLOADED` `REQUEST_INVALID` `UPGRADE_NEEDED`
   * `OUTCOME_UNKNOWN`
   */
  async command(command: Command, call: Call): Promise<Canonical> {
    const leading = this.look();
    if (leading === undefined) throw new DenimError("NOT_LEADER", "This server does not lead");
    refuseForLevel(this.#copy.state, command.kind);
    const stamp = leading.stamp();
    const text = encodeEntry(stamp, command);
    if (text.length > ENTRY_CHARS_MAX) {
      throw new DenimError("REQUEST_INVALID", `A ${command.kind} of this size is refused`, {
        why: `it takes ${text.length} characters, the most is ${ENTRY_CHARS_MAX}`,
      });
    }
    leading.stamped(stamp);
    const unstamp = () => leading.unstamped(stamp);
    return await call.answer(
      new Promise((resolve, reject) => this.#pending.push({ text, unstamp, resolve, reject })),
    );
  }

  get waiting(): boolean {
    return this.#pending.length > 0;
  }

  /**
   * To be called before every turn: what has come since the last one gets its places in the log
   * together, and so is sent, written, acknowledged and committed as one.
   */
  place(): void {
    const pending = this.#pending;
    if (pending.length === 0) return;
    this.#pending = [];
    const result = this.#core.propose(pending.map(({ text }) => text));
    if (result.kind !== "accepted") { for (const { unstamp } of pending) unstamp(); }
    pending.forEach(({ resolve }, i) => resolve(this.#accepted(result, i)));
  }

  /** For good: nothing is placed any more. */
  refuse(error: DenimError): void {
    for (const { reject } of this.#pending.splice(0)) reject(error);
  }

  /** @throws `NOT_LEADER` `OVERLOADED` `OUTCOME_UNKNOWN` */
  async change(change: Change, call: Call): Promise<void> {
    const core = this.#core;
    if (core.role !== "leader" || core.termAt(core.commit) !== core.term) {
      throw new DenimError("NOT_LEADER", "This server does not lead, or not yet");
    }
    await call.answer(this.#accepted(core.proposeChange(change)));
  }

  /** The leader's own entry that is due now, if any. */
  due(): Command | undefined {
    return this.look()?.due(this.#copy.state, this.#copy.checkpoint);
  }

  /**
   * To be called after every turn too: a leadership begins when it is won. Each term's is a new
   * one, even where it follows the last one at once.
   */
  look(): Leading | undefined {
    const { role, term } = this.#core;
    if (role !== "leader") this.#leading = undefined;
    else if (this.#leading?.term !== term) this.#leading = new Leading(this.#clock, term);
    return this.#leading;
  }

  async #accepted(result: ProposeResult, offset = 0): Promise<Canonical> {
    switch (result.kind) {
      case "accepted":
        return await this.#waiters.wait(result.firstIndex + offset, result.term);
      case "overloaded":
        throw new DenimError("OVERLOADED", "Too many changes are under way", {
          fix: "try again in a moment",
        });
      case "change-pending":
        throw new DenimError("OVERLOADED", "Another change of the group is under way");
      case "no-leader":
      case "transferring":
        throw new DenimError("NOT_LEADER", "This server does not lead any more");
      case "forwarded":
        assert(false, "the core does not forward");
    }
  }
}
