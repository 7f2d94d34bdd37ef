/**
 * Datagrams between network namespaces: what arrives, and from whom, as the far end sees it. By
 * libc, as the runtimes open their sockets when they like, and so in whatever namespace.
 */
import koffi from "koffi";
import { type Address, formatAddress, parseAddress } from "../../src/ip/address.ts";
import { enterNamed } from "./namespace.ts";

const c = koffi.load("libc.so.6");
const socket = c.func("int socket(int, int, int)");
const bind = c.func("int bind(int, const uint8_t*, uint32_t)");
const sendto = c.func("int64_t sendto(int, const uint8_t*, size_t, int, const uint8_t*, uint32_t)");
const recvfrom = c.func("int64_t recvfrom(int, uint8_t*, size_t, int, uint8_t*, uint8_t*)");
const close = c.func("int close(int)");

/** `linux/socket.h`, `linux/net.h`, `asm-generic/fcntl.h` */
const AF = { 4: 2, 6: 10 } as const;
const [SOCK_DGRAM, SOCK_NONBLOCK] = [2, 0o4000];
const MSG_DONTWAIT = 0x40;

/** Generous, there and back: a neighbour who is not found at once is asked for again in a second. */
const ARRIVAL_MS = 8_000;
/** Until then what is sent is lost, so it is sent again. */
const ASK_MS = 100;
/** What is to be lost is waited for this long. */
const LOSS_MS = 150;

interface Place {
  /** The namespace's name. */
  readonly namespace: string;
  readonly address: string;
}

/** How a datagram was seen at the other end, and whether an answer to that address came back. */
export interface Seen {
  readonly source: string;
  readonly answered: boolean;
}

let lastPort = 20_000;

/** A port that no other connection of this process has used: the kernel remembers connections. */
export function nextPort(): number {
  return ++lastPort;
}

/**
 * Sends one datagram; `undefined` where it does not arrive. `by` is where it is sent to, if that is
 * not where it is to arrive. `isLost` and `isAnswerLost` tell what is not to be waited for long.
 */
export async function send(
  from: Place,
  to: Place,
  options: {
    readonly by?: string;
    readonly port?: number;
    readonly isLost?: boolean;
    readonly isAnswerLost?: boolean;
  } = {},
): Promise<Seen | undefined> {
  const port = options.port ?? nextPort();
  const receiver = open(to.namespace, to.address, port);
  const sender = open(from.namespace, from.address, nextPort());
  try {
    const target = socketAddress(parseAddress(options.by ?? to.address), port);
    const ask = () => void sendto(sender, TEXT, TEXT.length, 0, target, target.length);
    const source = await receive(receiver, options.isLost ? LOSS_MS : ARRIVAL_MS, ask);
    if (source === undefined) return undefined;
    const reply = () => void sendto(receiver, TEXT, TEXT.length, 0, source, source.length);
    const answer = await receive(sender, options.isAnswerLost ? LOSS_MS : ARRIVAL_MS, reply);
    return { source: formatAddress(addressIn(source)), answered: answer !== undefined };
  } finally {
    close(receiver);
    close(sender);
  }
}

const TEXT = new TextEncoder().encode("denim");

function open(namespace: string, address: string, port: number): number {
  const leave = enterNamed(namespace);
  try {
    const parsed = parseAddress(address);
    const fd = socket(AF[parsed.family], SOCK_DGRAM | SOCK_NONBLOCK, 0);
    const local = socketAddress(parsed, port);
    if (bind(fd, local, local.length) !== 0) {
      throw new Error(`bind ${address}: errno ${koffi.errno()}`);
    }
    return fd;
  } finally {
    leave();
  }
}

async function receive(
  fd: number,
  withinMs: number,
  ask = () => {},
): Promise<Uint8Array | undefined> {
  let askMs = -Infinity;
  const endMs = performance.now() + withinMs;
  const source = new Uint8Array(28);
  const length = new Uint8Array(new Uint32Array([source.length]).buffer);
  for (;;) {
    if (performance.now() > askMs + ASK_MS) {
      ask();
      askMs = performance.now();
    }
    if (recvfrom(fd, new Uint8Array(64), 64, MSG_DONTWAIT, source, length) >= 0) {
      return source.subarray(0, new Uint32Array(length.buffer)[0]);
    }
    if (performance.now() > endMs) return undefined;
    await new Promise<void>((resolve) => setTimeout(resolve, 1));
  }
}

/** `linux/in.h`, struct sockaddr_in; `linux/in6.h`, struct sockaddr_in6 */
function socketAddress({ family, value }: Address, port: number): Uint8Array {
  const [bytes, at, width] = family === 4
    ? [new Uint8Array(16), 4, 4]
    : [new Uint8Array(28), 8, 16];
  new Uint16Array(bytes.buffer)[0] = AF[family];
  new DataView(bytes.buffer).setUint16(2, port);
  for (let i = 0; i < width; i++) {
    bytes[at + i] = Number(value >> BigInt(8 * (width - 1 - i)) & 255n);
  }
  return bytes;
}

function addressIn(bytes: Uint8Array): Address {
  const [family, at, width] = bytes.length === 16 ? [4, 4, 4] as const : [6, 8, 16] as const;
  const value = bytes.slice(at, at + width).reduce((sum, byte) => sum << 8n | BigInt(byte), 0n);
  return { family, value };
}
