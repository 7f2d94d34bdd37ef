import { assert } from "../base/errors.ts";

export interface InflightLimits {
  readonly messages: number;
  readonly bytes: number;
}

/** Appends that one follower has not acknowledged yet, bounded in number and in bytes. */
export class Inflights {
  readonly #limits: InflightLimits;
  readonly #sent: { readonly index: number; readonly bytes: number }[] = [];
  #bytes = 0;

  constructor(limits: InflightLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#sent.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The last message may go over the limit of bytes: a big entry must be able to leave. */
  get full(): boolean {
    return this.#sent.length >= this.#limits.messages || this.#bytes >= this.#limits.bytes;
  }

  /** `index` is that of the last entry in the message. */
  add(index: number, bytes: number): void {
    assert(!this.full, "nothing is sent into a full window");
    this.#sent.push({ index, bytes });
    this.#bytes += bytes;
  }

  /** An acknowledgement of `index` covers every message up to it. */
  freeTo(index: number): void {
    const kept = this.#sent.findIndex((message) => message.index > index);
    const freed = this.#sent.splice(0, kept === -1 ? this.#sent.length : kept);
    this.#bytes -= freed.reduce((sum, message) => sum + message.bytes, 0);
  }

  clear(): void {
    this.#sent.length = 0;
    this.#bytes = 0;
  }
}
