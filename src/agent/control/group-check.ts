import { abortAfter, type Clock, every } from "../../base/clock.ts";
import { NOBODY } from "../../raft/mod.ts";
import type { Replica } from "../../replica/replica.ts";
import type { Channel } from "../../transport/channel.ts";
import { type GroupAnswer, KIND } from "../../transport/protocol.ts";
import type { Mesh } from "./mesh.ts";

export interface GroupCheckOptions {
  readonly clock: Clock;
  readonly mesh: Pick<Mesh, "ask">;
  readonly replica: () => Replica | undefined;
  readonly otherServers: () => readonly string[];
  /** Where other nodes may be that this one does not know as servers. */
  readonly beacons: () => readonly string[];
  readonly dial: (address: string, signal: AbortSignal) => Promise<Channel>;
  /** The group goes on without this replica. */
  readonly onOut: (replica: Replica) => void;
}

const LOOK_EVERY_MS = 2_000;
/** Without a leader for this long a server asks whether it is still one. */
const LEADERLESS_MS = 10_000;
const ASK_TIMEOUT_MS = 3_000;

/**
 * Who is taken out of the group while it is down, or cut off, hears no more of the group, and
 * would wait for a leader for ever. So a server without one asks the others about itself, and where
 * none of them is left, whoever is found at an address that it was given once. Their answer has
 * seen every change, so that it never speaks of a time before this server was added.
 */
export class GroupCheck implements Disposable {
  readonly #options: GroupCheckOptions;
  readonly #cancel: () => void;
  #ledMs: number;
  #busy = false;

  constructor(options: GroupCheckOptions) {
    this.#options = options;
    this.#ledMs = options.clock.monotonicMs();
    this.#cancel = every(options.clock, LOOK_EVERY_MS, () => void this.#look());
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }

  async #look(): Promise<void> {
    const { clock, replica, onOut } = this.#options;
    const own = replica();
    if (own === undefined || own.status().leader !== NOBODY) this.#ledMs = clock.monotonicMs();
    if (own === undefined || this.#busy) return;
    if (clock.monotonicMs() - this.#ledMs < LEADERLESS_MS) return;
    this.#busy = true;
    const isOut = await this.#isOut(own.raftId);
    this.#busy = false;
    this.#ledMs = clock.monotonicMs();
    if (isOut && replica() === own) onOut(own);
  }

  async #isOut(raftId: number): Promise<boolean> {
    const { mesh, otherServers, beacons } = this.#options;
    const ways = [
      ...otherServers().map((server) => () => mesh.ask(server, KIND.group, {}, ASK_TIMEOUT_MS)),
      ...beacons().map((address) => () => this.#askAt(address)),
    ];
    for (const ask of ways) {
      try {
        return !(await ask() as GroupAnswer).members.includes(raftId);
      } catch {
        // It is not there, or knows of no leader either.
      }
    }
    return false;
  }

  async #askAt(address: string): Promise<unknown> {
    const { clock, dial } = this.#options;
    using limit = abortAfter(clock, ASK_TIMEOUT_MS);
    await using channel = await dial(address, limit.signal);
    return await channel.request(KIND.group, {}, { timeoutMs: ASK_TIMEOUT_MS });
  }
}
