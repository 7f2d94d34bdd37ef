import { assert } from "../../base/errors.ts";
import { fromUtf8 } from "../../base/bytes.ts";
import { readAttributes } from "./attribute.ts";
import { NLM_F, NLMSG, NLMSGERR_ATTR_MSG } from "./constants.ts";

/** `linux/netlink.h`: struct nlmsghdr. */
export const HEADER_BYTES = 16;

/**
 * Netlink speaks the machine's own byte order. Every machine that Denim is built for (x64, arm64)
 * is little-endian.
 */
export const LITTLE_ENDIAN = true;

/** Messages and attributes begin at multiples of four (`NLMSG_ALIGN`, `NLA_ALIGN`). */
export function align(length: number): number {
  return (length + 3) & ~3;
}

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Whose request this answers, or who caused the event. */
  readonly port: number;
  /** A view into the datagram, good until the buffer is used again. */
  readonly body: Uint8Array;
}

/** Under which number a request goes, and whether success is to be acknowledged, too. */
export interface Request {
  readonly sequence: number;
  readonly ack: boolean;
}

/** Builds one or more messages in one buffer, ready for one `sendto`. */
export class MessageWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #end = 0;
  #start = 0;

  constructor(capacityBytes = 4096) {
    this.#bytes = new Uint8Array(capacityBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Everything written so far: a view, good until the next write. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#end);
  }

  begin(type: number, flags: number, sequence: number): void {
    this.#start = this.#reserve(HEADER_BYTES);
    this.#view.setUint16(this.#start + 4, type, LITTLE_ENDIAN);
    this.#view.setUint16(this.#start + 6, flags, LITTLE_ENDIAN);
    this.#view.setUint32(this.#start + 8, sequence, LITTLE_ENDIAN);
  }

  /** Sets the length of the message that {@link begin} opened. */
  finish(): void {
    this.#view.setUint32(this.#start, this.#end - this.#start, LITTLE_ENDIAN);
  }

  /** A fixed structure at the front of the body. */
  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  attribute(type: number, value: Uint8Array): void {
    const at = this.#reserve(4 + value.length);
    this.#view.setUint16(at, 4 + value.length, LITTLE_ENDIAN);
    this.#view.setUint16(at + 2, type, LITTLE_ENDIAN);
    this.#bytes.set(value, at + 4);
  }

  attributeU32(type: number, value: number): void {
    const at = this.#reserve(8);
    this.#view.setUint16(at, 8, LITTLE_ENDIAN);
    this.#view.setUint16(at + 2, type, LITTLE_ENDIAN);
    this.#view.setUint32(at + 4, value, LITTLE_ENDIAN);
  }

  /** An attribute of attributes. */
  nest(type: number, write: () => void): void {
    const at = this.#reserve(4);
    this.#view.setUint16(at + 2, type, LITTLE_ENDIAN);
    write();
    this.#view.setUint16(at, this.#end - at, LITTLE_ENDIAN);
  }

  /** Moves the end by an aligned length; what lies behind it is zero. */
  #reserve(length: number): number {
    const at = this.#end;
    this.#end += align(length);
    if (this.#end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#end));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

/** The messages of one datagram. */
export function readMessages(datagram: Uint8Array): Message[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  const found: Message[] = [];
  for (let at = 0; at + HEADER_BYTES <= datagram.length;) {
    const length = view.getUint32(at, LITTLE_ENDIAN);
    assert(length >= HEADER_BYTES && at + length <= datagram.length, "a netlink message is whole");
    found.push({
      type: view.getUint16(at + 4, LITTLE_ENDIAN),
      flags: view.getUint16(at + 6, LITTLE_ENDIAN),
      sequence: view.getUint32(at + 8, LITTLE_ENDIAN),
      port: view.getUint32(at + 12, LITTLE_ENDIAN),
      body: datagram.subarray(at + HEADER_BYTES, at + length),
    });
    at += align(length);
  }
  return found;
}

/** How the kernel answered a request. 0 is success. */
export interface Answer {
  readonly errno: number;
  /** The kernel's own sentence (an extended ack), when it gave one. */
  readonly words?: string;
}

/**
 * Reads an NLMSG_ERROR (also the positive ack) or an NLMSG_DONE. Both begin with a negative errno;
 * an error then repeats the request, or only its header when capped; extended attributes follow
 * (`linux/netlink.h`, `Documentation/userspace-api/netlink/intro.rst`).
 */
export function readAnswer(message: Message): Answer {
  const { body } = message;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const errno = body.length < 4 ? 0 : 0 - view.getInt32(0, LITTLE_ENDIAN);
  if ((message.flags & NLM_F.ackAttributes) === 0) return { errno };
  let at = 4;
  if (message.type === NLMSG.error) {
    const capped = (message.flags & NLM_F.capped) !== 0;
    at += capped ? HEADER_BYTES : align(view.getUint32(4, LITTLE_ENDIAN));
  }
  const text = readAttributes(body, at).get(NLMSGERR_ATTR_MSG);
  if (text === undefined) return { errno };
  return { errno, words: fromUtf8(text[text.length - 1] === 0 ? text.subarray(0, -1) : text) };
}
