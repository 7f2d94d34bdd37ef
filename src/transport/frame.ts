import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { concat, fromUtf8 } from "../base/bytes.ts";
import { DenimError } from "../base/errors.ts";

/** u32 length of the payload, u32 CRC-32 of it, both big-endian. */
export const HEADER_BYTES = 8;
/** The largest payload that is read from a peer that has not been judged yet. */
export const FRAME_BYTES_STRANGER = 64 * 1024;
/** The largest payload between nodes of one cluster. */
export const FRAME_BYTES_PEER = 8 * 1024 * 1024;

/** One message as bytes: header and UTF-8 JSON. Throws `PROTOCOL` when the peer would refuse it. */
export function encodeFrame(message: unknown, payloadBytesMax: number): Uint8Array {
  const text = JSON.stringify(message);
  const payloadBytes = Buffer.byteLength(text);
  if (payloadBytes > payloadBytesMax) {
    throw new DenimError("PROTOCOL", `Cannot send a message of ${payloadBytes} bytes`, {
      why: `this connection carries at most ${payloadBytesMax} bytes in one message`,
    });
  }
  // One piece of memory out of a pool, for there are thousands of small messages in a second.
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payloadBytes);
  frame.write(text, HEADER_BYTES);
  frame.writeUInt32BE(payloadBytes);
  frame.writeUInt32BE(crc32(frame.subarray(HEADER_BYTES)), 4);
  return frame;
}

/**
 * Bytes in, messages out. Never holds more than one payload of the allowed size and what came in
 * with its last chunk; a length above the limit is refused from the header alone.
 */
export class FrameDecoder {
  #chunks: Uint8Array[] = [];
  #held = 0;

  /** Bytes that wait for the rest of their frame. */
  get pendingBytes(): number {
    return this.#held;
  }

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
  }

  /**
   * The next message, or `undefined` when its bytes are not all here. Throws `PROTOCOL`; the
   * stream has no way back from that and must end.
   */
  next(payloadBytesMax: number): { readonly message: unknown; readonly bytes: number } | undefined {
    if (this.#held < HEADER_BYTES) return undefined;
    const header = view(this.#peek(HEADER_BYTES));
    const length = header.getUint32(0);
    if (length > payloadBytesMax) {
      throw broken(`a message of ${length} bytes was announced, ${payloadBytesMax} are allowed`);
    }
    if (this.#held < HEADER_BYTES + length) return undefined;
    const frame = this.#take(HEADER_BYTES + length);
    const payload = frame.subarray(HEADER_BYTES);
    if (crc32(payload) !== header.getUint32(4)) throw broken("a message has a wrong checksum");
    return { message: parse(payload), bytes: frame.length };
  }

  /** The first `count` bytes in one piece; they stay. */
  #peek(count: number): Uint8Array {
    if (this.#chunks[0]!.length < count) this.#chunks = [concat(...this.#chunks)];
    return this.#chunks[0]!;
  }

  #take(count: number): Uint8Array {
    const first = this.#peek(count);
    this.#held -= count;
    if (first.length === count) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(count);
    return first.subarray(0, count);
  }
}

function parse(payload: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(payload));
  } catch (cause) {
    throw broken("a message is not JSON", cause);
  }
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function broken(why: string, cause?: unknown): DenimError {
  return new DenimError("PROTOCOL", "The connection carried something that is not Denim's", {
    why,
    cause,
  });
}
