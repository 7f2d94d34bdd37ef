/** A server as the leader knows it. */
export interface Server {
  readonly raftId: number;
  /** The leader has heard from it within the last few seconds. */
  readonly reachable: boolean;
  /** As a member of the group: it has answered one of the last heartbeats. */
  readonly answering: boolean;
  /** As a member of the group: its log ends close to the leader's. */
  readonly caughtUp: boolean;
  /** It is on its way out, by its own wish or by an operator's. */
  readonly leaving: boolean;
  /** It has said that there is room on its disk. */
  readonly roomy: boolean;
  /** For how long it has been heard without a break; 0 while it is not reachable. */
  readonly stableMs: number;
  /** For how long nothing has been heard of it; 0 while it is reachable. */
  readonly unseenMs: number;
  /** What fails together: a rack, a room. Servers of which none was said are in one of their own. */
  readonly zone?: string;
  /** By an operator's word: a voter before others, or none where that can be avoided. */
  readonly preferred?: "voter" | "standby";
}

export interface Situation {
  readonly leader: number;
  readonly voters: readonly number[];
  readonly learners: readonly number[];
  /** Nodes that may hold the log, whether they do or not. */
  readonly servers: readonly Server[];
  /** Voters to aim for once there are three servers: 3 or 5. */
  readonly votersWanted: number;
}

export type Step =
  /** Give it the CA key, then add it as a learner. */
  | { readonly kind: "add-standby"; readonly raftId: number }
  | { readonly kind: "promote"; readonly raftId: number }
  | { readonly kind: "demote"; readonly raftId: number }
  | { readonly kind: "remove"; readonly raftId: number }
  /** The leader is about to go, or another one is better, and hands over first. */
  | { readonly kind: "transfer"; readonly raftId: number };

/** A restart takes less; who is away for longer is replaced, if somebody can take its place. */
const LOST_AFTER_MS = 60_000;

/** What the rules of the planner ask of a situation. */
export class Group {
  readonly leader: number;
  readonly voters: readonly number[];
  readonly learners: readonly number[];
  /** How many voters there should be. */
  readonly aim: number;
  readonly #servers: ReadonlyMap<number, Server>;

  constructor({ leader, voters, learners, servers, votersWanted }: Situation) {
    this.leader = leader;
    this.voters = voters;
    this.learners = learners;
    this.#servers = new Map(servers.map((server) => [server.raftId, server]));
    const staying = servers.filter(({ leaving }) => !leaving).length;
    this.aim = staying < 3 ? 1 : Math.min(votersWanted, staying - 1 + staying % 2);
  }

  server(raftId: number): Server | undefined {
    return this.#servers.get(raftId);
  }

  /** Standbys that could vote now. */
  get ready(): readonly number[] {
    return this.learners.filter((raftId) => this.isReady(raftId));
  }

  /** Servers that could be standbys. */
  get candidates(): readonly number[] {
    return [...this.#servers.keys()].filter((raftId) =>
      !this.isAway(raftId) && !this.isGoing(raftId) &&
      !this.voters.includes(raftId) && !this.learners.includes(raftId)
    );
  }

  isReady(raftId: number): boolean {
    const server = this.server(raftId);
    return server !== undefined && server.reachable && server.caughtUp && !server.leaving;
  }

  isAway(raftId: number): boolean {
    return raftId !== this.leader && this.server(raftId)?.reachable !== true;
  }

  isLost(raftId: number): boolean {
    const server = this.server(raftId);
    return server === undefined || server.unseenMs >= LOST_AFTER_MS;
  }

  /** Also who is not a node any more. */
  isGoing(raftId: number): boolean {
    return this.server(raftId)?.leaving !== false;
  }

  /** 1 for who should vote, −1 for who should not. */
  preference(raftId: number): number {
    const preferred = this.server(raftId)?.preferred;
    return preferred === undefined ? 0 : preferred === "voter" ? 1 : -1;
  }

  stableMs(raftId: number): number {
    return this.server(raftId)?.stableMs ?? 0;
  }

  /** In how many zones these are. */
  zones(raftIds: readonly number[]): number {
    return new Set(raftIds.map((raftId) => this.#zone(raftId))).size;
  }

  /** Whom to take in: preferred by hand, in a zone without voters, longest known stable. */
  best(raftIds: readonly number[]): number | undefined {
    return [...raftIds].sort((a, b) =>
      this.preference(b) - this.preference(a) ||
      this.#company(a, this.voters) - this.#company(b, this.voters) ||
      this.stableMs(b) - this.stableMs(a) || a - b
    )[0];
  }

  /** Whom of these to let go. The leader stays, unless the others are preferred by hand. */
  worst(raftIds: readonly number[], among = raftIds): number | undefined {
    const first = (holds: boolean) => (holds ? 0 : 1);
    const ranked = raftIds.map((raftId) => ({
      raftId,
      rank: [
        first(this.isLost(raftId)),
        first(this.isAway(raftId)),
        this.preference(raftId),
        first(raftId !== this.leader),
        -this.#company(raftId, among),
        this.stableMs(raftId),
        -raftId,
      ],
    }));
    return ranked.sort((a, b) => compare(a.rank, b.rank))[0]?.raftId;
  }

  /**
   * After this step the leader still has a majority, by what it heard just now: who has died since
   * it was last reachable, before anybody could see that, would be missed in a smaller group.
   */
  survives({ kind, raftId }: Step): boolean {
    if (kind === "transfer" || kind === "add-standby") return true;
    const others = this.voters.filter((voter) => voter !== raftId);
    const voters = kind === "promote" ? [...others, raftId] : others;
    const active =
      voters.filter((voter) => voter === this.leader || this.server(voter)?.answering === true)
        .length;
    return active >= Math.floor(voters.length / 2) + 1;
  }

  #zone(raftId: number): string {
    return this.server(raftId)?.zone ?? "";
  }

  /** How many others are in the same zone. */
  #company(raftId: number, others: readonly number[]): number {
    const zone = this.#zone(raftId);
    return others.filter((other) => other !== raftId && this.#zone(other) === zone).length;
  }
}

/** Word by word. */
export function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at === -1 ? 0 : a[at]! - b[at]!;
}
