import type { Clock } from "../../base/clock.ts";
import { type StateReader, theCluster } from "../../lease/state.ts";
import type { ProgressStatus, Status } from "../../raft/mod.ts";
import type { Server, Situation } from "../../roles/situation.ts";

export interface ServerWatchOptions {
  readonly clock: Clock;
  /** The leader's own node. */
  readonly self: string;
  readonly isDiskLow: () => boolean;
  /** Some server is connected to the node. */
  readonly hears: (node: string) => boolean;
}

/** A member is reachable that was heard of within so many ticks, several heartbeats. */
const REACHABLE_TICKS = 20;
/** Less than an election takes; a slow disk costs as much. */
const ANSWERING_TICKS = 5;
/** A member whose log ends this close to the commit index is caught up. */
const CAUGHT_UP_ENTRIES = 64;
/** A server that could not be made a standby gives the others a chance for so long. */
const SET_ASIDE_MS = 10_000;

/** Since when a server has been reachable, or has not. */
interface Spell {
  readonly reachable: boolean;
  readonly sinceMs: number;
}

/** What a leader knows of the servers: from Raft, from their notices, and from how long it lasts. */
export class ServerWatch {
  readonly #options: ServerWatchOptions;
  /** By raft id. */
  readonly #spells = new Map<number, Spell>();
  /** By raft id: until when it is not asked again to hold the log. */
  readonly #setAside = new Map<number, number>();
  /** Nodes that have said that there is room on their disks. */
  readonly #roomy = new Set<string>();

  /** Made when the server becomes leader: it does not know how long others were away before. */
  constructor(options: ServerWatchOptions) {
    this.#options = options;
  }

  note(node: string, isDiskLow: boolean): void {
    if (isDiskLow) this.#roomy.delete(node);
    else this.#roomy.add(node);
  }

  setAside(raftId: number): void {
    this.#setAside.set(raftId, this.#options.clock.monotonicMs() + SET_ASIDE_MS);
  }

  takeBack(raftId: number): void {
    this.#setAside.delete(raftId);
  }

  situation(status: Status, state: StateReader, leaving: ReadonlySet<string>): Situation {
    const { voters, learners } = status.configuration;
    const servers = [...state.all("node")].flatMap(({ key, body }): Server[] => {
      const { role, raftId, ephemeral, zone, preferred } = body;
      // Who is gone ten minutes after it was last heard holds no log.
      if (role !== "server" || raftId === undefined || ephemeral === true) return [];
      return [{
        raftId,
        ...this.#sight(key, raftId, status),
        leaving: leaving.has(key),
        ...(zone === undefined ? {} : { zone }),
        ...(preferred === undefined ? {} : { preferred }),
      }];
    });
    const votersWanted = theCluster(state)?.votersWanted ?? 3;
    return { leader: status.id, voters, learners, servers, votersWanted };
  }

  #sight(node: string, raftId: number, status: Status) {
    const { self, isDiskLow } = this.#options;
    const progress = status.progress.find(({ id }) => id === raftId);
    const own = node === self;
    const reachable = own ||
      (progress === undefined
        ? this.#isCandidate(node, raftId)
        : progress.silentTicks < REACHABLE_TICKS);
    return {
      reachable,
      answering: own || (progress !== undefined && progress.silentTicks < ANSWERING_TICKS),
      caughtUp: own || isCaughtUp(progress, status.commit),
      roomy: own ? !isDiskLow() : this.#roomy.has(node),
      ...this.#times(raftId, reachable),
    };
  }

  #isCandidate(node: string, raftId: number): boolean {
    const { clock, hears } = this.#options;
    return hears(node) && (this.#setAside.get(raftId) ?? 0) <= clock.monotonicMs();
  }

  #times(raftId: number, reachable: boolean): Pick<Server, "stableMs" | "unseenMs"> {
    const nowMs = this.#options.clock.monotonicMs();
    let spell = this.#spells.get(raftId);
    if (spell?.reachable !== reachable) {
      spell = { reachable, sinceMs: nowMs };
      this.#spells.set(raftId, spell);
    }
    const lastsMs = nowMs - spell.sinceMs;
    return reachable ? { stableMs: lastsMs, unseenMs: 0 } : { stableMs: 0, unseenMs: lastsMs };
  }
}

function isCaughtUp(progress: ProgressStatus | undefined, commit: number): boolean {
  return progress?.state === "replicate" && progress.match + CAUGHT_UP_ENTRIES >= commit;
}
