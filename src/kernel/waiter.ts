import process from "node:process";
import type { Libc } from "./libc.ts";
import { SOCK } from "./netlink/constants.ts";
import { LITTLE_ENDIAN } from "./netlink/message.ts";

/** `poll.h`: there is something to read. */
const POLLIN = 1;
/** `poll.h`, struct pollfd: descriptor, what to wait for, what there is. */
const POLLFD_BYTES = 8;

const waiters = new WeakMap<Libc, Waiter>();

/** The process's only one. */
export function waiterOf(libc: Libc): Waiter {
  const known = waiters.get(libc) ?? new Waiter(libc);
  waiters.set(libc, known);
  return known;
}

/**
 * Waits for all descriptors of this process at once, in `poll` on one thread of the runtime's pool:
 * that has four, and the store needs them. An eventfd wakes it when another descriptor comes or one
 * goes, and at the end, since a process does not end before its threads.
 */
class Waiter {
  readonly #libc: Libc;
  readonly #watched = new Map<number, () => void>();
  #isRunning = false;
  /** The `poll` under way. */
  #round: Promise<unknown> = Promise.resolve();
  #wakeFd = -1;
  readonly #wake = () => void this.#libc.write(this.#wakeFd, ONE, ONE.length);

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /**
   * Calls back whenever there is something to read, until the result is called; its promise
   * resolves when nothing waits for the descriptor, so that it can be closed.
   */
  add(fd: number, onReadable: () => void): () => Promise<void> {
    this.#watched.set(fd, onReadable);
    if (this.#isRunning) this.#wake();
    else void this.#run();
    return async () => {
      if (!this.#watched.delete(fd)) return;
      this.#wake();
      await this.#round;
    };
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    process.on("exit", this.#wake);
    this.#wakeFd = this.#openWake();
    while (this.#watched.size > 0) {
      const fds = [...this.#watched.keys(), this.#wakeFd];
      const polled = pollFds(fds);
      this.#round = this.#libc.poll(polled, fds.length, -1);
      await this.#round;
      const readable = new Set(fds.filter((_, i) => isReadable(polled, i)));
      for (const fd of readable) this.#watched.get(fd)?.();
      if (readable.has(this.#wakeFd)) this.#renewWake();
    }
    process.off("exit", this.#wake);
    this.#libc.close(this.#wakeFd);
    this.#isRunning = false;
  }

  /** One that was written to stays readable; another one is as cheap as reading it. */
  #renewWake(): void {
    this.#libc.close(this.#wakeFd);
    this.#wakeFd = this.#openWake();
  }

  #openWake(): number {
    return this.#libc.eventfd(0, SOCK.cloexec | SOCK.nonblock);
  }
}

/** What an eventfd takes: a number of 64 bits, in the order of this machine. */
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/** What `poll` takes, to be told of what there is to read. */
export function pollFds(fds: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(fds.length * POLLFD_BYTES);
  const view = new DataView(bytes.buffer);
  fds.forEach((fd, i) => {
    view.setInt32(i * POLLFD_BYTES, fd, LITTLE_ENDIAN);
    view.setInt16(i * POLLFD_BYTES + 4, POLLIN, LITTLE_ENDIAN);
  });
  return bytes;
}

/** Anything that `poll` says, errors too: reading finds out. */
function isReadable(polled: Uint8Array, i: number): boolean {
  return new DataView(polled.buffer).getInt16(i * POLLFD_BYTES + 6, LITTLE_ENDIAN) !== 0;
}
