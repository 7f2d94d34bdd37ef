import { type Address, addressBytes, addressFromBytes, type Family } from "../ip/address.ts";
import type { Clock } from "../base/clock.ts";
import { DenimError } from "../base/errors.ts";
import { assemble, EVERYTHING, JUMP_EQUAL, LOAD, RETURN } from "./bpf.ts";
import type { Libc } from "./libc.ts";
import { AF, errorText, MSG, SOCK } from "./netlink/constants.ts";
import { pollFds } from "./waiter.ts";

/** One packet that asks for an answer (RFC 792, RFC 4443), as a container could have sent it. */
export interface EchoRequest {
  /** Whoever it says it is from; this host need not have the address. */
  readonly from: Address;
  readonly to: Address;
  /** How many machines may pass it on, and one more. With 1 the next one answers itself. */
  readonly hops: number;
}

export interface EchoAnswer {
  /** Who answered: the target, or the machine on the way that would not pass it on. */
  readonly by: Address;
  readonly kind: "reply" | "expired" | "unreachable";
}

/** `linux/if_packet.h`, `linux/in.h`, `linux/if_ether.h` */
const AF_PACKET = 17;
const SOCK_DGRAM = 2;
const IPPROTO_RAW = 255;
const ETHERTYPE = { 4: 0x0800, 6: 0x86dd } as const;

/** RFC 792; RFC 4443 */
const ICMP = {
  4: { protocol: 1, request: 8, reply: 0, expired: 11, unreachable: 3 },
  6: { protocol: 58, request: 128, reply: 129, expired: 3, unreachable: 1 },
} as const;

const IP_BYTES = { 4: 20, 6: 40 } as const;
const ICMP_BYTES = 8;
const PAYLOAD_BYTES = 8;
/** How long a `poll` waits before it looks whether all is over, milliseconds. */
const POLL_MS = 50;

/**
 * Sends echo requests with any source, and sees the answers whomever they are for: an ordinary
 * socket would only be given those that are for this host, and no container need be there.
 */
export class EchoSocket implements Disposable {
  readonly #libc: Libc;
  readonly #family: Family;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #out: number;
  readonly #in: number;
  readonly #receive = new Uint8Array(2048);

  /** @throws `PERMISSION_DENIED` without CAP_NET_RAW */
  constructor(libc: Libc, family: Family, clock: Pick<Clock, "monotonicMs">) {
    this.#libc = libc;
    this.#clock = clock;
    this.#family = family;
    const flags = SOCK.cloexec | SOCK.nonblock;
    this.#out = libc.socket(family === 4 ? AF.inet : AF.inet6, SOCK.raw | flags, IPPROTO_RAW);
    const type = swap16(ETHERTYPE[family]);
    this.#in = libc.socket(AF_PACKET, SOCK_DGRAM | flags, type);
    if (this.#out >= 0 && this.#in >= 0) {
      libc.attachFilter(this.#in, onlyIcmp(family));
      return;
    }
    const why = errorText(libc.errno());
    this[Symbol.dispose]();
    throw new DenimError("PERMISSION_DENIED", "Cannot try whether packets arrive", {
      why,
      fix: "run it as root, or with CAP_NET_RAW",
    });
  }

  /**
   * The first answer; `undefined` when none came in time.
   *
   * @param id 16 bits that nobody else uses now
   */
  async ask(request: EchoRequest, id: number, timeoutMs: number): Promise<EchoAnswer | undefined> {
    this.#drain();
    const packet = packetOf(request, id);
    const target = targetOf(request.to);
    this.#libc.sendto(this.#out, packet, packet.length, 0, target, target.length);
    const polled = pollFds([this.#in]);
    const endMs = this.#clock.monotonicMs() + timeoutMs;
    // Others' answers wake it as well, and cost nobody's patience.
    for (let leftMs = timeoutMs; leftMs > 0; leftMs = endMs - this.#clock.monotonicMs()) {
      await this.#libc.poll(polled, 1, Math.ceil(Math.min(POLL_MS, leftMs)));
      for (let bytes = this.#next(); bytes !== undefined; bytes = this.#next()) {
        const answer = answerOf(this.#family, bytes, request, id);
        if (answer !== undefined) return answer;
      }
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    for (const fd of [this.#out, this.#in]) if (fd >= 0) this.#libc.close(fd);
  }

  #drain(): void {
    while (this.#next() !== undefined);
  }

  #next(): Uint8Array | undefined {
    const length = this.#libc.recv(this.#in, this.#receive, this.#receive.length, MSG.dontwait);
    return length < 0 ? undefined : this.#receive.subarray(0, length);
  }
}

/** IP header, ICMP header and eight bytes that mean nothing. */
export function packetOf({ from, to, hops }: EchoRequest, id: number): Uint8Array {
  const { family } = to;
  const head = IP_BYTES[family];
  const packet = new Uint8Array(head + ICMP_BYTES + PAYLOAD_BYTES);
  const view = new DataView(packet.buffer);
  const { protocol, request } = ICMP[family];
  if (family === 4) {
    // RFC 791: version 4, five words, length, time to live, protocol. The kernel adds checksum and
    // identification (raw(7)).
    view.setUint8(0, 0x45);
    view.setUint16(2, packet.length);
    view.setUint8(8, hops);
    view.setUint8(9, protocol);
    packet.set(addressBytes(from), 12);
    packet.set(addressBytes(to), 16);
  } else {
    // RFC 8200: version 6, payload length, next header, hop limit.
    view.setUint8(0, 0x60);
    view.setUint16(4, packet.length - head);
    view.setUint8(6, protocol);
    view.setUint8(7, hops);
    packet.set(addressBytes(from), 8);
    packet.set(addressBytes(to), 24);
  }
  view.setUint8(head, request);
  view.setUint16(head + 4, id);
  view.setUint16(head + 6, id);
  const body = packet.subarray(head);
  // RFC 4443, 2.3: for IPv6 it covers both addresses, the length and the protocol as well.
  const pseudo = family === 4 ? new Uint8Array(0) : pseudoHeader(from, to, body.length, protocol);
  view.setUint16(head + 2, checksum(pseudo, body));
  return packet;
}

/** What a packet answers to the request, if it does: errors repeat the packet that they are about. */
export function answerOf(
  family: Family,
  packet: Uint8Array,
  request: EchoRequest,
  id: number,
): EchoAnswer | undefined {
  const head = family === 4 ? (packet[0]! & 0x0f) * 4 : IP_BYTES[6];
  if (packet.length < head + ICMP_BYTES) return undefined;
  const { reply, expired, unreachable } = ICMP[family];
  const by = addressFromBytes(packet.slice(...(family === 4 ? [12, 16] : [8, 24])));
  const type = packet[head]!;
  // By its sequence number: masquerading gives it another identifier on the way.
  const idAt = (at: number) => packet[at + 6]! << 8 | packet[at + 7]!;
  if (type === reply) return idAt(head) === id ? { by, kind: "reply" } : undefined;
  if (type !== expired && type !== unreachable) return undefined;
  const quoted = head + ICMP_BYTES;
  const inner = quoted + (family === 4 ? ((packet[quoted] ?? 0) & 0x0f) * 4 : IP_BYTES[6]);
  if (packet.length < inner + ICMP_BYTES) return undefined;
  const to = packet.slice(
    ...(family === 4 ? [quoted + 16, quoted + 20] : [quoted + 24, quoted + 40]),
  );
  const isOurs = idAt(inner) === id && addressFromBytes(to).value === request.to.value;
  return isOurs ? { by, kind: type === expired ? "expired" : "unreachable" } : undefined;
}

/** RFC 1071 */
function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += part[i]! << 8 | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function pseudoHeader(from: Address, to: Address, length: number, protocol: number): Uint8Array {
  const bytes = new Uint8Array(40);
  bytes.set(addressBytes(from), 0);
  bytes.set(addressBytes(to), 16);
  new DataView(bytes.buffer).setUint32(32, length);
  bytes[39] = protocol;
  return bytes;
}

/** `linux/in.h`, `linux/in6.h`: struct sockaddr_in, sockaddr_in6. */
function targetOf(to: Address): Uint8Array {
  const target = new Uint8Array(to.family === 4 ? 16 : 28);
  target[0] = to.family === 4 ? AF.inet : AF.inet6;
  target.set(addressBytes(to), to.family === 4 ? 4 : 8);
  return target;
}

/** Load the protocol's byte, accept ICMP, refuse the rest. */
function onlyIcmp(family: Family): Uint8Array {
  return assemble([
    [LOAD.byte, 0, 0, family === 4 ? 9 : 6],
    [JUMP_EQUAL, 0, 1, ICMP[family].protocol],
    [RETURN, 0, 0, EVERYTHING],
    [RETURN, 0, 0, 0],
  ]);
}

function swap16(value: number): number {
  return (value & 0xff) << 8 | value >> 8;
}
