import type { DenimError } from "../../base/errors.ts";
import type { Cluster } from "../../lease/cluster.ts";
import type { StateReader } from "../../lease/state.ts";
import type { Remote } from "../../remote/remote.ts";
import type { Replica } from "../../replica/replica.ts";
import type { Leadership } from "./following.ts";
import type { Mesh } from "./mesh.ts";
import { type Quorum, quorumOf, votersOf, withoutLeader } from "./quorum.ts";

export interface VotersParts {
  readonly self: string;
  readonly state: () => StateReader;
  readonly cluster: () => Pick<Cluster, "view">;
  readonly mesh: Pick<Mesh, "channelTo">;
  readonly replica: () => Replica | undefined;
  readonly remote: () => Pick<Remote, "reachable" | "isOut"> | undefined;
}

/** Who leads, and who could, as one node knows it: an agent by what its server says. */
export class Voters {
  readonly #parts: VotersParts;

  constructor(parts: VotersParts) {
    this.#parts = parts;
  }

  /**
   * A standby never elects, and so keeps the last leader for its own: one that it is not connected
   * to is none.
   */
  leadership(): Leadership {
    const { cluster, replica, remote, state } = this.#parts;
    const leaderNode = cluster().view()?.leaderNode;
    if (replica() === undefined) {
      return leaderNode === undefined
        ? { reachable: remote()?.reachable ?? [] }
        : { leaderNode, reachable: [] };
    }
    const reachable = votersOf(state()).map(({ node }) => node).filter(this.#isThere);
    return leaderNode !== undefined && this.#isThere(leaderNode)
      ? { leaderNode, reachable }
      : { reachable };
  }

  /** How they stand, where nobody leads. Who is no member any more is not told, and cannot know. */
  quorum(): Quorum | undefined {
    const { state, replica, remote } = this.#parts;
    if (remote()?.isOut === true) return undefined;
    const { leaderNode, reachable } = this.leadership();
    if (leaderNode !== undefined) return undefined;
    return quorumOf(state(), (node) => reachable.includes(node), replica() !== undefined);
  }

  /** Why nothing can be changed, with what to type, where that is why. */
  readonly explain = (error: DenimError): DenimError => {
    const quorum = this.quorum();
    return quorum === undefined ? error : withoutLeader(quorum);
  };

  readonly #isThere = (node: string): boolean => {
    const { self, mesh } = this.#parts;
    return node === self || mesh.channelTo(node) !== undefined;
  };
}
