/**
 * What runs inside a container of the lab: answers datagrams, and sends some to others when its
 * standard input says so. In place of `ping`, which a bare machine may not have.
 */
import { createSocket, type Socket } from "node:dgram";
import process from "node:process";
import { createInterface } from "node:readline";
import { type Cancel, type Clock, every, sleep } from "../../base/clock.ts";

/** Free of any service that a container may run. */
export const PROBE_PORT = 7479;

/** One line of standard input. */
export type ProbeRequest =
  | { readonly kind: "ask"; readonly to: readonly string[]; readonly timeoutMs: number }
  | { readonly kind: "watch"; readonly to: readonly string[]; readonly periodMs: number }
  | { readonly kind: "report" };

/** One line of standard output, for each line of input. */
export type ProbeAnswer =
  | { readonly kind: "ready" }
  | { readonly kind: "asked"; readonly tripMs: Readonly<Record<string, number | null>> }
  | { readonly kind: "watched"; readonly losses: readonly Loss[] };

/** What became of the datagrams that one target was sent. */
export interface Loss {
  readonly to: string;
  readonly sent: number;
  readonly lost: number;
  /** The longest time without an answer. */
  readonly gapMs: number;
}

const ASK_PERIOD_MS = 50;
/** An answer that takes longer than this after the end counts as lost. */
const GRACE_MS = 1_000;

/** Serves until the input ends: with the lab that started it, even when that was killed. */
export async function serveProbe(clock: Clock): Promise<void> {
  const responders = await Promise.all([respond("udp4"), respond("udp6")]);
  using asker = new Asker(clock);
  let watch: Watch | undefined;
  say({ kind: "ready" });
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as ProbeRequest;
    if (request.kind === "ask") {
      const found = request.to.map(async (to) =>
        [to, await asker.ask(to, request.timeoutMs)] as const
      );
      say({ kind: "asked", tripMs: Object.fromEntries(await Promise.all(found)) });
    } else if (request.kind === "watch") {
      watch = new Watch(clock, asker, request.to, request.periodMs);
      say({ kind: "ready" });
    } else {
      say({ kind: "watched", losses: await watch?.end() ?? [] });
      watch = undefined;
    }
  }
  responders.forEach((responder) => responder?.close());
}

/** Sends everything back to where it came from; `undefined` in a kernel without the family. */
async function respond(type: "udp4" | "udp6"): Promise<Socket | undefined> {
  const responder = createSocket({ type, ipv6Only: type === "udp6" });
  responder.on("message", (text, { address, port }) => responder.send(text, port, address));
  const isBound = await new Promise<boolean>((resolve) => {
    responder.once("error", () => resolve(false)).bind(PROBE_PORT, () => resolve(true));
  });
  return isBound ? responder : undefined;
}

function say(answer: ProbeAnswer): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

/** Sends numbered datagrams and matches the answers. */
class Asker {
  readonly #clock: Clock;
  readonly #sockets = { 4: createSocket("udp4"), 6: createSocket("udp6") };
  readonly #waiting = new Map<number, () => void>();
  #sent = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    for (const socket of Object.values(this.#sockets)) {
      socket.on("message", (text) => {
        const answered = this.#waiting.get(Number(text));
        this.#waiting.delete(Number(text));
        answered?.();
      });
      socket.on("error", () => {});
    }
  }

  /** Milliseconds of the first round trip, or `null` when there was none in time. */
  async ask(to: string, timeoutMs: number): Promise<number | null> {
    const endMs = this.#clock.monotonicMs() + timeoutMs;
    let tripMs: number | null = null;
    while (tripMs === null && this.#clock.monotonicMs() < endMs) {
      const found = new AbortController();
      this.send(to, (ms) => {
        tripMs ??= ms;
        found.abort();
      });
      await sleep(this.#clock, ASK_PERIOD_MS, found.signal);
    }
    return tripMs;
  }

  send(to: string, answered: (tripMs: number) => void): void {
    const number = this.#sent++;
    const startMs = this.#clock.monotonicMs();
    this.#waiting.set(number, () => answered(this.#clock.monotonicMs() - startMs));
    // Without a route the send itself fails: no answer comes, as with any other loss.
    this.#sockets[to.includes(":") ? 6 : 4].send(String(number), PROBE_PORT, to, () => {});
  }

  [Symbol.dispose](): void {
    for (const socket of Object.values(this.#sockets)) socket.close();
  }
}

interface Count {
  readonly to: string;
  sent: number;
  answered: number;
  lastMs: number;
  gapMs: number;
}

/** Sends to every target at a steady pace and counts what does not come back. */
class Watch {
  readonly #clock: Clock;
  readonly #asker: Asker;
  readonly #counts: readonly Count[];
  readonly #cancel: Cancel;

  constructor(clock: Clock, asker: Asker, targets: readonly string[], periodMs: number) {
    this.#clock = clock;
    this.#asker = asker;
    const lastMs = clock.monotonicMs();
    this.#counts = targets.map((to) => ({ to, sent: 0, answered: 0, lastMs, gapMs: 0 }));
    this.#cancel = every(clock, periodMs, () => this.#counts.forEach((count) => this.#send(count)));
  }

  #send(count: Count): void {
    count.sent++;
    this.#asker.send(count.to, () => {
      count.answered++;
      this.#close(count);
    });
  }

  #close(count: Count): void {
    const nowMs = this.#clock.monotonicMs();
    count.gapMs = Math.max(count.gapMs, nowMs - count.lastMs);
    count.lastMs = nowMs;
  }

  async end(): Promise<Loss[]> {
    this.#cancel();
    const endMs = this.#clock.monotonicMs() + GRACE_MS;
    const open = () => this.#counts.some(({ sent, answered }) => answered < sent);
    while (open() && this.#clock.monotonicMs() < endMs) await sleep(this.#clock, 10);
    return this.#counts.map((count) => {
      const lost = count.sent - count.answered;
      if (lost > 0) this.#close(count);
      return { to: count.to, sent: count.sent, lost, gapMs: Math.round(count.gapMs) };
    });
  }
}
