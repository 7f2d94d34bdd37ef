import type { Clock } from "../../src/base/clock.ts";
import { DenimError } from "../../src/base/errors.ts";
import type { Consumer, Wire } from "../../src/transport/wire.ts";
import type { Network } from "./network.ts";
import type { Process } from "./process.ts";

/** What a message counts for; nothing here depends on its real size. */
const MESSAGE_BYTES = 300;

/** Both ends of a connection that is made. */
export function wirePair(network: Network, near: Process, far: Process): [SimWire, SimWire] {
  const [a, b] = [new SimWire(network, near), new SimWire(network, far)];
  a.other = b;
  b.other = a;
  return [a, b];
}

/** One end of a connection over the simulated network. */
export class SimWire implements Wire {
  payloadBytesMax = 0;
  other!: SimWire;
  readonly process: Process;
  readonly #network: Network;
  readonly #inbox: unknown[] = [];
  #consumer: Consumer | undefined;
  #onBytes: (() => void) | undefined;
  readonly #onClose: ((reason: DenimError) => void)[] = [];
  #rooms: { readonly bytes: number; readonly resolve: () => void }[] = [];
  #reason: DenimError | undefined;
  #closed = false;
  #ending = false;
  /** Sent by this end and not there yet. */
  #underWay = 0;
  /** When the last of what goes in order is there. */
  lastArrivalMs = 0;

  constructor(network: Network, process: Process) {
    this.#network = network;
    this.process = process;
    network.wires.add(this);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get queuedBytes(): number {
    return this.#underWay * MESSAGE_BYTES;
  }

  send(message: unknown): void {
    if (this.#closed || this.#ending) return;
    this.#underWay++;
    this.#network.carry(this, message);
  }

  receive(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#reason);
      this.onClose(reject);
      this.#consumer = (message) => {
        this.#consumer = undefined;
        resolve(message);
      };
      this.#pump();
    });
  }

  flow(consumer: Consumer, onBytes: () => void): void {
    this.#consumer = consumer;
    this.#onBytes = onBytes;
    this.#pump();
  }

  onClose(callback: (reason: DenimError) => void): void {
    if (this.#closed) callback(this.#reason!);
    else this.#onClose.push(callback);
  }

  room(bytes: number): Promise<void> {
    if (this.#closed || this.queuedBytes <= bytes) return Promise.resolve();
    return new Promise((resolve) => this.#rooms.push({ bytes, resolve }));
  }

  destroy(reason: DenimError): void {
    if (this.#ending || this.#closed) return;
    this.#network.hangUp(this);
    this.close(reason);
  }

  farewell(reason: DenimError, _clock: Clock): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    this.#consumer = undefined;
    this.#network.hangUp(this);
    this.process.clock.after(0, () => this.close(reason));
  }

  /** A message has come, or is given up on its way. */
  arrived(): void {
    this.#underWay--;
    const ready = this.#rooms.filter(({ bytes }) => this.queuedBytes <= bytes);
    this.#rooms = this.#rooms.filter(({ bytes }) => this.queuedBytes > bytes);
    for (const { resolve } of ready) this.process.run(resolve);
  }

  deliver(message: unknown): void {
    if (this.#closed || this.#ending) return;
    this.#onBytes?.();
    this.#inbox.push(message);
    this.#pump();
  }

  close(reason: DenimError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reason ??= reason;
    this.#network.wires.delete(this);
    for (const { resolve } of this.#rooms.splice(0)) resolve();
    for (const callback of this.#onClose.splice(0)) callback(this.#reason);
  }

  #pump(): void {
    while (this.#consumer !== undefined && this.#inbox.length > 0 && !this.#closed) {
      const message = this.#inbox.shift();
      try {
        this.#consumer(message, MESSAGE_BYTES);
      } catch (error) {
        this.destroy(
          new DenimError("PROTOCOL", "The connection carried something wrong", { cause: error }),
        );
      }
    }
  }
}

export function connectionLost(why: string): DenimError {
  return new DenimError("CONNECTION_LOST", "The connection was lost", { why });
}
