import { type Clock, every } from "../base/clock.ts";
import { asDenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Room } from "../store/ballast.ts";
import type { StorePlace } from "../store/place.ts";

/** When a disk is short of room, and what is kept back for when there is none. */
export interface DiskLimits {
  /** Less than this is an alarm. 0: never. */
  readonly lowBytes: number;
  /** Only servers have a ballast. 0: none. */
  readonly ballastBytes: number;
}

export interface DiskWatchOptions {
  readonly place: Pick<StorePlace, "path" | "room" | "ballastBytes" | "makeBallast">;
  readonly limits: DiskLimits;
  readonly isServer: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

const LOOK_EVERY_MS = 10_000;
/** Room is not short any more once there is a tenth more of it. */
const RELIEF = 1.1;

/**
 * Watches how much room the store has. Running out of it ends a server, so this says so well
 * before, and the alarm ends by itself when there is room again (etcd #3068: its does not).
 */
export class DiskWatch implements AsyncDisposable {
  readonly #options: DiskWatchOptions;
  readonly #cancel: () => void;
  #room: Room | undefined;
  #isLow = false;
  /** By what was tried: how it failed last. */
  readonly #failures = new Map<string, string>();
  #looking: Promise<void>;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
    this.#looking = this.#look();
    this.#cancel = every(options.clock, LOOK_EVERY_MS, () => {
      this.#looking = this.#looking.then(() => this.#look()).then(() => this.#keepBallast());
    });
  }

  /** As last seen; `undefined` where it cannot be known. */
  get room(): Room | undefined {
    return this.#room;
  }

  get isLow(): boolean {
    return this.#isLow;
  }

  /** For people, while room is short. */
  get why(): string | undefined {
    const { place, limits } = this.#options;
    if (!this.#isLow || this.#room === undefined) return undefined;
    return `${mebibytes(this.#room.freeBytes)} are free where ${place.path} is, less than ` +
      `${mebibytes(limits.lowBytes)}; without any this server stops. Make room`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { place, limits, logger } = this.#options;
    await this.#try("the room on the disk cannot be seen", async () => {
      this.#room = await place.room();
    });
    const freeBytes = this.#room?.freeBytes ?? Infinity;
    const wasLow = this.#isLow;
    this.#isLow = freeBytes < limits.lowBytes * (wasLow ? RELIEF : 1);
    if (this.#isLow && !wasLow) logger.warn("the disk is running full", { why: this.why });
    if (!this.#isLow && wasLow) logger.info("there is room on the disk again", { freeBytes });
  }

  /** Made anew when it was used up, but never so that there is too little room because of it. */
  async #keepBallast(): Promise<void> {
    const { place, limits: { ballastBytes, lowBytes }, isServer } = this.#options;
    const freeBytes = this.#room?.freeBytes ?? 0;
    if (ballastBytes === 0 || !isServer() || freeBytes < ballastBytes + lowBytes * RELIEF) return;
    await this.#try("the ballast cannot be made", async () => {
      if (await place.ballastBytes() < ballastBytes) await place.makeBallast(ballastBytes);
    });
  }

  /** The same failure is told once. */
  async #try(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#failures.delete(what);
    } catch (error) {
      const { why, message } = asDenimError(error);
      if (this.#failures.get(what) === message) return;
      this.#failures.set(what, message);
      this.#options.logger.warn(what, { why: why ?? message });
    }
  }
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / 1024 / 1024)} MiB`;
}
