import type { Cancel, Clock } from "../base/clock.ts";
import type { Message } from "../raft/mod.ts";
import type { Peers } from "./peers.ts";

type Append = Extract<Message, { kind: "append" }>;

/** While one commit follows another this closely, the next entries are probably near. */
const BUSY_MS = 10;
/** For how long the news of a commit waits for them. */
const WAIT_MS = 2;

/**
 * What leaves for the other servers. Where nothing else happens the news that something is
 * committed, an append without entries, leaves at once. Under load it goes along with the next
 * entries, which spares every server a message, and the leader its answer. A message may be late or
 * lost at any time, so nothing depends on this.
 */
export class Sending {
  readonly #peers: Peers;
  readonly #clock: Clock;
  /** The newest news for each server, by its id. */
  readonly #waiting = new Map<number, Append>();
  #lastNewsMs = -Infinity;
  #cancel: Cancel | undefined;

  constructor(peers: Peers, clock: Clock) {
    this.#peers = peers;
    this.#clock = clock;
  }

  send(messages: readonly Message[]): void {
    const nowMs = this.#clock.monotonicMs();
    const busy = nowMs - this.#lastNewsMs < BUSY_MS;
    const leaving = messages.filter((message) => !this.#waits(message, busy));
    if (messages.some(isNews)) this.#lastNewsMs = nowMs;
    if (leaving.length > 0) this.#peers.send(leaving);
    if (this.#waiting.size > 0) this.#cancel ??= this.#clock.after(WAIT_MS, () => this.#flush());
  }

  /** What waits is forgotten. */
  halt(): void {
    this.#cancel?.();
    this.#waiting.clear();
  }

  /** Whatever is appended later says as much about commits as what waits. */
  #waits(message: Message, busy: boolean): boolean {
    if (message.kind !== "append") return false;
    const waits = busy && isNews(message);
    if (waits) this.#waiting.set(message.to, message);
    else this.#waiting.delete(message.to);
    return waits;
  }

  #flush(): void {
    this.#cancel = undefined;
    const late = [...this.#waiting.values()];
    this.#waiting.clear();
    if (late.length > 0) this.#peers.send(late);
  }
}

function isNews(message: Message): boolean {
  return message.kind === "append" && message.entries.length === 0;
}
