import { type Clock, every, sleep } from "../../base/clock.ts";
import { DenimError, isDenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { nodeByRaftId, type StateReader } from "../../lease/state.ts";
import type { Replica } from "../../replica/replica.ts";
import type { Command } from "../../lease/command.ts";
import { heirOf, nextStep } from "../../roles/planner.ts";
import type { Situation, Step } from "../../roles/situation.ts";
import {
  type CaDelivery,
  type ConnectedNotice,
  KIND,
  type LeaveRequest,
} from "../../transport/protocol.ts";
import { Attempts } from "../attempts.ts";
import type { Mesh } from "../control/mesh.ts";
import { ServerWatch } from "./server-watch.ts";
import { SilenceWatch } from "./silence.ts";

export interface PlanningOptions {
  readonly self: string;
  readonly state: () => StateReader;
  readonly replica: () => Replica | undefined;
  readonly mesh: Mesh;
  /** The keys of the CAs, for another server to hold as well. */
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
const ASK_TIMEOUT_MS = 5_000;
/** An operator who stops a daemon does not wait for longer. */
const HAND_OVER_MS = 2_000;

/** What a server knows for as long as it leads. */
interface Leadership {
  readonly silence: SilenceWatch;
  readonly servers: ServerWatch;
}

/** What a leader does for the group: roles, silence, farewells. Other servers only report to it. */
export class Planning implements AsyncDisposable {
  readonly #options: PlanningOptions;
  readonly #cancels: (() => void)[];
  readonly #leaving = new Set<string>();
  #leadership: Leadership | undefined;
  #busy = false;
  /** What fails is tried again with the next turn. */
  readonly #attempts: Attempts;

  constructor(options: PlanningOptions) {
    this.#options = options;
    this.#attempts = new Attempts(options.logger);
    this.#cancels = [
      every(options.clock, PLAN_EVERY_MS, () => void this.#turn()),
      every(options.clock, CONNECTED_EVERY_MS, () => this.#report()),
    ];
  }

  get alarm(): boolean {
    return this.#leadership?.silence.alarm === true;
  }

  note(from: string, notice: ConnectedNotice): void {
    this.#leadership?.silence.note(notice);
    this.#leadership?.servers.note(from, notice.isDiskLow !== false);
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
    try {
      for (const endMs = clock.monotonicMs() + LET_GO_MS;; await sleep(clock, PLAN_EVERY_MS / 5)) {
        // Again and again: an earlier wish for the same may come to its end meanwhile.
        this.#leaving.add(node);
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
      await replica()!.propose(farewellOf(node, how));
      return true;
    } catch (error) {
      if (isDenimError(error, "REVISION_MISMATCH")) return false;
      throw error;
    }
  }

  /** A leader that stops is followed at once, and not only when it is missed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancels.forEach((cancel) => cancel());
    const leader = this.#options.replica();
    const situation = leader?.leads ? this.#situation(leader) : undefined;
    const heir = situation && heirOf(situation);
    if (heir !== undefined) await this.#transfer(leader!, heir, HAND_OVER_MS);
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
    const { replica, self, state } = this.#options;
    const leader = replica();
    if (leader?.leads !== true) {
      this.#leadership = undefined;
      return;
    }
    if (this.#leadership === undefined) {
      this.#leadership = this.#begin();
      this.#report();
    }
    if (this.#busy) return;
    this.#busy = true;
    const { silence } = this.#leadership;
    await this.#attempts.make("a change of the raft group failed", async () => {
      for (let step = this.#next(leader); step !== undefined; step = this.#next(leader)) {
        await this.#take(leader, step);
      }
    });
    await this.#attempts.make("a note about silent nodes failed", async () => {
      for (const command of silence.due(state(), self)) await leader.proposeHere(command);
    });
    this.#busy = false;
  }

  #begin(): Leadership {
    const { clock, logger, self, isDiskLow } = this.#options;
    const silence = new SilenceWatch({ clock, logger: logger.child("silence") });
    const hears = (node: string) => silence.hears(node);
    return { silence, servers: new ServerWatch({ clock, self, isDiskLow, hears }) };
  }

  #next(leader: Replica): Step | undefined {
    const situation = leader.leads ? this.#situation(leader) : undefined;
    return situation && nextStep(situation);
  }

  #situation(leader: Replica): Situation | undefined {
    const { state } = this.#options;
    return this.#leadership?.servers.situation(leader.status(), state(), this.#leaving);
  }

  async #take(leader: Replica, step: Step): Promise<void> {
    const { raftId } = step;
    this.#options.logger.info("changing the raft group", { step: step.kind, raftId });
    switch (step.kind) {
      case "add-standby":
        this.#leadership?.servers.setAside(raftId);
        await this.#handOverCaKey(raftId);
        this.#leadership?.servers.takeBack(raftId);
        return await leader.changeGroup({ kind: "add-learner", id: raftId });
      case "promote":
        return await leader.changeGroup({ kind: "add-voter", id: raftId });
      case "demote":
        return await leader.changeGroup({ kind: "add-learner", id: raftId });
      case "remove":
        return await leader.changeGroup({ kind: "remove", id: raftId });
      case "transfer":
        return await this.#transfer(leader, raftId, ASK_TIMEOUT_MS);
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
    const delivery: CaDelivery = { caKey: key, raftId };
    await mesh.ask(node.key, KIND.ca, delivery, ASK_TIMEOUT_MS);
  }

  async #transfer(leader: Replica, to: number, timeoutMs: number): Promise<void> {
    leader.transferLeadership(to);
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + timeoutMs;
    while (leader.leads && clock.monotonicMs() < endMs) await sleep(clock, 20);
  }
}

function farewellOf(node: string, how: Exclude<LeaveRequest["how"], "stand-down">): Command {
  if (how === "leave-keeping") return { kind: "node.leave", node, keepLease: true };
  return { kind: `node.${how}`, node };
}
