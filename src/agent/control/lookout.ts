import { abortAfter, type Clock, every } from "../../base/clock.ts";
import type { Cluster } from "../../lease/cluster.ts";
import { theHold } from "../../lease/hold.ts";
import { theGroup } from "../../lease/state.ts";
import type { Replica } from "../../replica/replica.ts";
import type { Channel } from "../../transport/channel.ts";
import type { Mesh } from "./mesh.ts";

export interface LookoutOptions {
  readonly self: string;
  readonly cluster: Pick<Cluster, "view">;
  readonly replica: () => Replica | undefined;
  readonly mesh: Pick<Mesh, "channelTo">;
  readonly dial: (nodeId: string, address: string, signal: AbortSignal) => Promise<Channel>;
  readonly clock: Clock;
}

const LOOK_MS = 5_000;
const PATIENCE_MS = 3_000;

/**
 * While the cluster is on hold its leader calls at those that were servers with it. A group of one
 * would never meet another that somebody recovered beside it: the greeting alone tells both sides
 * (see `epoch-watch.ts`), and one that was left behind hears that the cluster goes on.
 */
export class Lookout implements Disposable {
  readonly #options: LookoutOptions;
  readonly #cancel: () => void;

  constructor(options: LookoutOptions) {
    this.#options = options;
    this.#cancel = every(options.clock, LOOK_MS, () => void this.#look());
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }

  async #look(): Promise<void> {
    const { clock, dial } = this.#options;
    using limit = abortAfter(clock, PATIENCE_MS);
    await Promise.all(
      this.#strangers().map(async ({ node, address }) => {
        const channel = await dial(node, address, limit.signal).catch(() => undefined);
        channel?.close("it was only to be seen who answers");
      }),
    );
  }

  /** Servers by their records, of whom nothing is heard. */
  #strangers(): { readonly node: string; readonly address: string }[] {
    const { cluster, replica, mesh, self } = this.#options;
    const state = cluster.view()?.state;
    if (state === undefined || replica()?.leads !== true || theHold(state) === undefined) return [];
    const { voters, learners } = theGroup(state);
    return [...state.all("node")]
      .filter(({ key, body }) =>
        key !== self && body.role === "server" &&
        ![...voters, ...learners].includes(body.raftId ?? 0) && mesh.channelTo(key) === undefined
      )
      .map(({ key, body }) => ({ node: key, address: body.address }));
  }
}
