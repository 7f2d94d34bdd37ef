import { DenimError } from "../base/errors.ts";
import type { Libc } from "./libc.ts";
import {
  AF,
  ERRNO,
  errorText,
  MSG,
  NETLINK,
  NLM_F,
  NLMSG,
  SO,
  SOCK,
  SOL_NETLINK,
  SOL_SOCKET,
} from "./netlink/constants.ts";
import {
  type Answer,
  LITTLE_ENDIAN,
  type Message,
  MessageWriter,
  readAnswer,
  readMessages,
  type Request,
} from "./netlink/message.ts";
import { waiterOf } from "./waiter.ts";

/** The kernel never sends more than 32 KiB at once (`netlink_recvmsg`); this leaves room. */
const RECEIVE_BYTES = 128 * 1024;

/** What may wait for a reader, bytes. The default of 208 KiB overruns after some hundred routes. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

/** How often a dump that changed while it was read is begun again. */
const DUMP_ATTEMPTS_MAX = 8;

/**
 * One rtnetlink socket for requests. rtnetlink works inside `sendto`, so the answer is there when
 * `sendto` returns: nothing here waits, and nobody can come in between.
 */
export class RequestSocket {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #receive = new Uint8Array(RECEIVE_BYTES);
  #sequence = 0;
  /** The kernel's name for this socket; events that it causes carry it. */
  readonly port: number;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#fd = openSocket(libc, 0);
    this.port = portOf(libc, this.#fd);
    // All but the first are missing from older kernels, and nothing depends on them.
    for (const option of [NETLINK.extAck, NETLINK.capAck, NETLINK.getStrictCheck]) {
      libc.setsockopt(this.#fd, SOL_NETLINK, option, u32(1), 4);
    }
  }

  /**
   * Sends many requests in one `sendto`. The kernel takes them in order and reports each failure
   * under its sequence number; only the last asks for an acknowledgement, which says that all were
   * seen. This is half the cost of an acknowledgement each (measured).
   *
   * @returns one answer per request
   */
  batch(requests: readonly WriteRequest[]): Answer[] {
    const writer = new MessageWriter();
    const first = this.#sequence + 1;
    requests.forEach((write, i) => {
      write(writer, { sequence: first + i, ack: i === requests.length - 1 });
    });
    this.#sequence += requests.length;
    this.#send(writer.bytes);
    const answers: Answer[] = requests.map(() => ({ errno: 0 }));
    let complete = false;
    for (const message of this.#received()) {
      const at = message.sequence - first;
      if (message.type !== NLMSG.error || at < 0 || at >= requests.length) continue;
      answers[at] = readAnswer(message);
      complete ||= at === requests.length - 1;
    }
    if (!complete) throw rejected("The kernel did not answer", "an acknowledgement was lost");
    return answers;
  }

  /**
   * Everything that a dump request names. Repeated when the kernel says that it changed meanwhile
   * (NLM_F_DUMP_INTR) or ran out of buffer.
   *
   * @throws `KERNEL_REJECTED`
   */
  dump<T>(
    write: (writer: MessageWriter, sequence: number) => void,
    read: (message: Message) => T | undefined,
  ): T[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS_MAX; attempt++) {
      const found = this.#dumpOnce(write, read);
      if (found !== undefined) return found;
    }
    throw rejected("Cannot list the kernel's tables", "they changed again and again meanwhile");
  }

  #dumpOnce<T>(
    write: (writer: MessageWriter, sequence: number) => void,
    read: (message: Message) => T | undefined,
  ): T[] | undefined {
    const writer = new MessageWriter(64);
    const sequence = ++this.#sequence;
    write(writer, sequence);
    this.#send(writer.bytes);
    const found: T[] = [];
    let interrupted = false;
    let end: Answer | undefined;
    for (const message of this.#received(() => (interrupted = true))) {
      if (message.sequence !== sequence) continue;
      interrupted ||= (message.flags & NLM_F.dumpInterrupted) !== 0;
      if (message.type === NLMSG.done || message.type === NLMSG.error) {
        end = readAnswer(message);
        continue;
      }
      const item = read(message);
      if (item !== undefined) found.push(item);
    }
    if (interrupted) return undefined;
    if (end === undefined) throw rejected("The kernel did not answer", "a list had no end");
    // A namespace without a route has no main table, and one without IPv6 none for it.
    const empty: readonly number[] = [ERRNO.ENOENT, ERRNO.EOPNOTSUPP, ERRNO.EAFNOSUPPORT];
    if (end.errno !== 0 && !empty.includes(end.errno)) {
      throw rejected("Cannot list the kernel's tables", errorText(end.errno, end.words));
    }
    return found;
  }

  #send(bytes: Uint8Array): void {
    const sent = this.#libc.sendto(this.#fd, bytes, bytes.length, 0, KERNEL, KERNEL.length);
    if (sent !== bytes.length) {
      throw rejected("Cannot send to the kernel", errorText(this.#libc.errno()));
    }
  }

  /** All that waits in the socket. */
  *#received(onOverrun?: () => void): Generator<Message> {
    for (;;) {
      const outcome = receive(this.#libc, this.#fd, this.#receive);
      if (outcome === "empty") return;
      if (outcome === "overrun") onOverrun?.();
      else yield* readMessages(outcome);
    }
  }

  close(): void {
    this.#libc.close(this.#fd);
  }
}

/** Writes one request; `ack` asks for an answer also on success. */
export type WriteRequest = (
  writer: MessageWriter,
  request: Request,
) => void;

/**
 * One netlink socket for events, of rtnetlink unless another protocol is named. A thread waits for
 * it and for all others of this process: {@link waiterOf}.
 */
export class EventSocket {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #receive = new Uint8Array(RECEIVE_BYTES);
  #unwatch: () => Promise<void> = () => Promise.resolve();
  #closed: Promise<void> | undefined;

  constructor(
    libc: Libc,
    groups: number,
    options: { bufferBytes?: number; protocol?: number } = {},
  ) {
    this.#libc = libc;
    this.#fd = openSocket(libc, groups, options);
  }

  /**
   * Calls back once for each burst that has news in it, or of which some was lost, so that everything
   * may have changed.
   */
  listen(onBurst: () => void, isNews: (event: Message) => boolean = () => true): void {
    this.#unwatch = waiterOf(this.#libc).add(this.#fd, () => {
      if (this.#drain(isNews)) onBurst();
    });
  }

  /** Lets in only what the program accepts (`bpf.ts`). One that there was does not count any more. */
  filter(program: Uint8Array): void {
    this.#libc.attachFilter(this.#fd, program);
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#unwatch().then(() => void this.#libc.close(this.#fd)));
  }

  #drain(isNews: (event: Message) => boolean): boolean {
    for (let found = false;;) {
      const outcome = receive(this.#libc, this.#fd, this.#receive);
      if (outcome === "empty") return found;
      found ||= outcome === "overrun" || readMessages(outcome).some(isNews);
    }
  }
}

function openSocket(
  libc: Libc,
  groups: number,
  options: { bufferBytes?: number; protocol?: number } = {},
): number {
  const { bufferBytes = SOCKET_BUFFER_BYTES, protocol = NETLINK.route } = options;
  const fd = libc.socket(AF.netlink, SOCK.raw | SOCK.cloexec | SOCK.nonblock, protocol);
  if (fd < 0) throw rejected("Cannot open a netlink socket", errorText(libc.errno()));
  const size = u32(bufferBytes);
  // The first needs CAP_NET_ADMIN, the second is capped by net.core.rmem_max.
  if (libc.setsockopt(fd, SOL_SOCKET, SO.rcvbufforce, size, 4) !== 0) {
    libc.setsockopt(fd, SOL_SOCKET, SO.rcvbuf, size, 4);
  }
  const address = socketAddress(groups);
  if (libc.bind(fd, address, address.length) !== 0) {
    const why = errorText(libc.errno());
    libc.close(fd);
    throw rejected("Cannot bind a netlink socket", why);
  }
  return fd;
}

function portOf(libc: Libc, fd: number): number {
  const address = socketAddress(0);
  libc.getsockname(fd, address, u32(address.length));
  return new DataView(address.buffer).getUint32(4, LITTLE_ENDIAN);
}

/** One datagram; "overrun" when the kernel dropped some for want of space (ENOBUFS). */
function receive(libc: Libc, fd: number, buffer: Uint8Array): Uint8Array | "empty" | "overrun" {
  for (;;) {
    const length = libc.recv(fd, buffer, buffer.length, MSG.dontwait | MSG.trunc);
    if (length >= 0) return length > buffer.length ? "overrun" : buffer.subarray(0, length);
    const errno = libc.errno();
    if (errno === ERRNO.EAGAIN) return "empty";
    if (errno === ERRNO.ENOBUFS) return "overrun";
    if (errno !== ERRNO.EINTR) throw rejected("Cannot read from the kernel", errorText(errno));
  }
}

/** `linux/netlink.h`, struct sockaddr_nl: family, padding, port (0: the kernel), groups. */
function socketAddress(groups: number): Uint8Array {
  const address = new Uint8Array(12);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF.netlink, LITTLE_ENDIAN);
  view.setUint32(8, groups, LITTLE_ENDIAN);
  return address;
}

const KERNEL = socketAddress(0);

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, LITTLE_ENDIAN);
  return bytes;
}

function rejected(message: string, why: string): DenimError {
  return new DenimError("KERNEL_REJECTED", message, { why });
}
