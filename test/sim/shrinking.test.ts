/** A group of two that becomes one of one while messages are lost, with real nodes. */
import t from "tap";
import { theGroup } from "../../src/lease/state.ts";
import type { Change } from "../../src/raft/mod.ts";
import { grow } from "./grow.ts";
import type { Host } from "./host.ts";
import { aLeader, during, soon, type Stage } from "./stage.ts";

const MINUTE_MS = 60_000;

interface Pair {
  readonly gone: Host;
  readonly stays: Host;
}

/**
 * Of two voters the one that leads takes itself out. The other one has that in its log; what came
 * after it, and the news that it is committed, are lost.
 */
async function shrink(
  stage: Stage,
  servers: readonly Host[],
  kind: Change["kind"],
): Promise<Pair> {
  const gone = await aLeader(stage);
  const [stays, third] = servers.filter((host) => host !== gone) as [Host, Host];
  const replica = gone.node!.control.replica!;
  await during(stage, replica.changeGroup({ kind: "remove", id: third.raftId! }));
  const { network } = stage.cluster;
  const done = replica.changeGroup({ kind, id: gone.raftId! });
  const at = replica.status().lastIndex;
  let isLonger = false;
  network.onRaft = ({ host }, { messages }) => {
    const last = Math.max(
      ...messages.map((message) =>
        message.kind === "append" ? message.previousIndex + message.entries.length : 0
      ),
    );
    const isNews = last > at ||
      messages.some((message) => "commit" in message && message.commit >= at);
    network.mood.loss = host === gone && isNews ? 1 : 0;
    if (last !== at || isLonger) return;
    isLonger = true;
    replica.proposeHere({ kind: "tick" }).catch(() => {});
  };
  await during(stage, done);
  await stage.pass(100);
  network.onRaft = () => {};
  network.mood.loss = 0;
  return { gone, stays };
}

function votersOf({ node }: Host): number {
  return theGroup(node!.control.cluster.view()!.state).voters.length;
}

async function isWellAgain(stage: Stage, servers: readonly Host[]): Promise<boolean> {
  const leads = (host: Host) => host.node!.control.replica?.leads === true;
  return await soon(stage, 4 * MINUTE_MS, () => {
    const leader = servers.find(leads);
    return leader !== undefined && votersOf(leader) === 3;
  });
}

t.test("who stays leads, although the demoted one has more in its log", async (t) => {
  const { stage, servers } = await grow(41);
  const { gone, stays } = await shrink(stage, servers, "add-learner");
  t.same([votersOf(gone), votersOf(stays)], [1, 2], "one knows, and the other does not");
  const lengthOf = ({ node }: Host) => node!.control.replica!.status().lastIndex;
  t.ok(lengthOf(gone) > lengthOf(stays));
  t.ok(await soon(stage, 10_000, () => stays.node!.control.replica!.leads));
  t.ok(await isWellAgain(stage, servers));
});

t.test("who stays leads, although the removed one has given up its log", async (t) => {
  const { stage, servers } = await grow(42);
  const { gone, stays } = await shrink(stage, servers, "remove");
  t.equal(gone.raftId, undefined, "it has");
  t.equal(votersOf(stays), 2, "and the other one does not know");
  t.ok(await soon(stage, 10_000, () => stays.node!.control.replica!.leads));
  t.ok(await isWellAgain(stage, servers));
});

t.test("who stays leads, although the removed one was started anew since", async (t) => {
  const { stage, servers } = await grow(43);
  const { gone, stays } = await shrink(stage, servers, "remove");
  stays.kill();
  await stage.pass(5_000);
  gone.kill();
  gone.start();
  stays.start();
  await stage.pass(500);
  t.equal(votersOf(stays), 2, "it has not heard of it before");
  t.ok(await soon(stage, 20_000, () => stays.node!.control.replica!.leads));
  t.ok(await isWellAgain(stage, servers));
});
