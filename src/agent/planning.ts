import { type Clock, every, sleep } from "../base/clock.ts";
import { asDenimError, DenimError, isDenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { nodeByRaftId, type StateReader, theCluster } from "../lease/state.ts";
import type { Replica } from "../replica/replica.ts";
import { nextStep, type Server, type Situation, type Step } from "../roles/planner.ts";
import { type ConnectedNotice, KIND, type LeaveRequest } from "../transport/protocol.ts";
import type { Mesh } from "./mesh.ts";
import { SilenceWatch } from "./silence.ts";

export interface PlanningOptions {
  readonly self: string;
  readonly state: () => StateReader;
  readonly replica: () => Replica | undefined;
  readonly mesh: Mesh;
  readonly caKey: () => Promise<string | undefined>;
  readonly isDiskLow: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

const PLAN_EVERY_MS = 500;
/** A join takes less between this and its entry. */
const STAND_DOWN_MS = 15_000;
const LET_GO_MS = 30_000;
const CONNECTED_EVERY_MS = 2_000;
/** A member is reachable that was heard of within so many ticks, several heartbeats. */
const REACHABLE_TICKS = 20;
/** A member whose log ends this close to the commit index is caught up. */
const CAUGHT_UP_ENTRIES = 64;
const ASK_TIMEOUT_MS = 5_000;
/** A server that could not be made a standby gives the others a chance for so long. */
const SET_ASIDE_MS = 10_000;

/** What a leader does for the group: roles, silence, farewells. Other servers only report to it. */
export class Planning implements AsyncDisposable {
  readonly #options: PlanningOptions;
  readonly #cancels: (() => void)[];
  readonly #leaving = new Set<string>();
  /** By raft id: until when it is not asked again to hold the log. */
  readonly #setAside = new Map<number, number>();
  /** Servers that have said that there is room on their disks. */
  readonly #roomy = new Set<string>();
  #silence: SilenceWatch | undefined;
  #busy = false;
  /** By what was tried: how it failed last. */
  readonly #failures = new Map<string, string>();

  constructor(options: PlanningOptions) {
    this.#options = options;
    this.#cancels = [
      every(options.clock, PLAN_EVERY_MS, () => void this.#turn()),
      every(options.clock, CONNECTED_EVERY_MS, () => this.#report()),
    ];
  }

  get alarm(): boolean {
    return this.#silence?.alarm === true;
  }

  note(from: string, notice: ConnectedNotice): void {
    this.#silence?.note(notice);
    if (notice.isDiskLow === false) this.#roomy.add(from);
    else this.#roomy.delete(from);
  }

  /**
   * Takes a node out of the group, then out of the cluster: as one that leaves and no longer uses
   * its subnet, or as one that is put out. One that stands down stays in the cluster, until the
   * entry that lets its successor in puts it out.
   *
   * @throws `NOT_LEADER` `TIMEOUT`
   */
  async letGo(node: string, how: LeaveRequest["how"]): Promise<void> {
    const { replica, clock } = this.#options;
    const leads = () => replica()?.leads === true;
    this.#leaving.add(node);
    try {
      for (const endMs = clock.monotonicMs() + LET_GO_MS;; await sleep(clock, PLAN_EVERY_MS / 5)) {
        if (!leads()) throw new DenimError("NOT_LEADER", "This server does not lead, or no more");
        if (await this.#goes(node, how)) return;
        if (clock.monotonicMs() < endMs) continue;
        throw new DenimError("TIMEOUT", "The node could not be taken out of the Raft group", {
          why: "the remaining voters would have no reachable majority",
          fix: "bring another server up first, or remove the dead ones: denim node rm",
        });
      }
    } finally {
      // Who stands down must not be taken back before its successor is there.
      const staysMs = how === "stand-down" ? STAND_DOWN_MS : 0;
      clock.after(staysMs, () => this.#leaving.delete(node));
    }
  }

  /** One attempt; false while the node is in the group, or has just been taken back into it. */
  async #goes(node: string, how: LeaveRequest["how"]): Promise<boolean> {
    const { replica, state } = this.#options;
    if (this.#isMember(node)) return false;
    if (how === "stand-down" || state().get("node", node) === undefined) return true;
    try {
      await replica()!.propose({ kind: `node.${how}`, node });
      return true;
    } catch (error) {
      if (isDenimError(error, "REVISION_MISMATCH")) return false;
      throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#cancels.forEach((cancel) => cancel());
    return Promise.resolve();
  }

  #isMember(node: string): boolean {
    const raftId = this.#options.state().get("node", node)?.body.raftId;
    const configuration = this.#options.replica()?.status().configuration;
    return raftId !== undefined && configuration !== undefined &&
      [...configuration.voters, ...configuration.learners].includes(raftId);
  }

  #report(): void {
    const { replica, mesh, state, self, isDiskLow } = this.#options;
    const status = replica()?.status();
    if (status === undefined) return;
    const notice: ConnectedNotice = { nodes: mesh.connected(), isDiskLow: isDiskLow() };
    if (status.role === "leader") return this.note(self, notice);
    const leader = nodeByRaftId(state(), status.leader);
    if (leader !== undefined) mesh.channelTo(leader.key)?.notify(KIND.connected, notice);
  }

  async #turn(): Promise<void> {
    const { replica, clock, logger, self, state } = this.#options;
    const leader = replica();
    if (leader?.leads !== true) {
      this.#silence = undefined;
      this.#setAside.clear();
      this.#roomy.clear();
      return;
    }
    if (this.#silence === undefined) {
      this.#silence = new SilenceWatch({ clock, logger: logger.child("silence") });
      this.#report();
    }
    if (this.#busy) return;
    this.#busy = true;
    const silence = this.#silence;
    await this.#try("a change of the raft group", async () => {
      for (let step = this.#next(leader); step !== undefined; step = this.#next(leader)) {
        await this.#take(leader, step);
      }
    });
    await this.#try("a note about silent nodes", async () => {
      for (const command of silence.due(state(), self)) await leader.proposeHere(command);
    });
    this.#busy = false;
  }

  /** What fails is tried again with the next turn; the same failure is told once. */
  async #try(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#failures.delete(what);
    } catch (error) {
      const { message, why } = asDenimError(error);
      if (this.#failures.get(what) === message) return;
      this.#failures.set(what, message);
      this.#options.logger.warn(`${what} failed`, { message, why });
    }
  }

  #next(leader: Replica): Step | undefined {
    return leader.leads ? nextStep(this.#situation(leader)) : undefined;
  }

  #situation(leader: Replica): Situation {
    const state = this.#options.state();
    const status = leader.status();
    const { voters, learners } = status.configuration;
    const nowMs = this.#options.clock.monotonicMs();
    const isFit = (raftId: number) => (this.#setAside.get(raftId) ?? 0) <= nowMs;
    const servers = [...state.all("node")].flatMap(({ key, body }): Server[] => {
      const { raftId } = body;
      if (body.role !== "server" || raftId === undefined) return [];
      const progress = status.progress.find(({ id }) => id === raftId);
      const own = raftId === status.id;
      return [{
        raftId,
        reachable: own ||
          (progress === undefined
            ? this.#silence?.hears(key) === true && isFit(raftId)
            : progress.silentTicks < REACHABLE_TICKS),
        caughtUp: own || (progress !== undefined && progress.state === "replicate" &&
          progress.match + CAUGHT_UP_ENTRIES >= status.commit),
        leaving: this.#leaving.has(key),
        roomy: own ? !this.#options.isDiskLow() : this.#roomy.has(key),
      }];
    });
    const votersWanted = theCluster(state)?.votersWanted ?? 3;
    return { leader: status.id, voters, learners, servers, votersWanted };
  }

  async #take(leader: Replica, step: Step): Promise<void> {
    const { raftId } = step;
    this.#options.logger.info("changing the raft group", { step: step.kind, raftId });
    switch (step.kind) {
      case "add-standby":
        this.#setAside.set(raftId, this.#options.clock.monotonicMs() + SET_ASIDE_MS);
        await this.#handOverCaKey(raftId);
        this.#setAside.delete(raftId);
        return await leader.changeGroup({ kind: "add-learner", id: raftId });
      case "promote":
        return await leader.changeGroup({ kind: "add-voter", id: raftId });
      case "demote":
        return await leader.changeGroup({ kind: "add-learner", id: raftId });
      case "remove":
        return await leader.changeGroup({ kind: "remove", id: raftId });
      case "transfer":
        return await this.#transfer(leader, raftId);
      default:
        step satisfies never;
    }
  }

  /** A standby that could not sign would be no replacement: it says that it has the key first. */
  async #handOverCaKey(raftId: number): Promise<void> {
    const { mesh, state, caKey } = this.#options;
    const node = nodeByRaftId(state(), raftId);
    const key = await caKey();
    if (node === undefined || key === undefined) {
      throw new DenimError("NOT_FOUND", "This server does not have the CA key", {
        fix: "put identity/ca-key.pem back from a backup",
      });
    }
    await mesh.ask(node.key, KIND.ca, { caKey: key }, ASK_TIMEOUT_MS);
  }

  async #transfer(leader: Replica, to: number): Promise<void> {
    leader.transferLeadership(to);
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + ASK_TIMEOUT_MS;
    while (leader.leads && clock.monotonicMs() < endMs) await sleep(clock, 20);
  }
}
