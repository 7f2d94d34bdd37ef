import t from "tap";
import type { Command, JoinAnswer } from "../../src/lease/command.ts";
import { until } from "../support/fast-clock.ts";
import { joiner } from "../support/ledger.ts";
import { ReplicaCluster } from "../support/replica-cluster.ts";

const SHORT = '{"Network":"10.5.0.0/16","LeaseTTL":"5s","Backend":{"Type":"host-gw"}}';

const join = (n: number): Command => ({ kind: "node.join", tokenId: "open", node: joiner(n) });

t.test("a lease ends by the leader's clock, and never early", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 1, config: SHORT });
  const { replica, copy } = group.server(1);
  const sentMs = group.clock.monotonicMs();
  const { lease } = await replica.propose(join(100)) as JoinAnswer;
  await until("it has ended", () => copy.state.get("lease", lease.subnets[0]!) === undefined);
  const tookMs = group.clock.monotonicMs() - sentMs;
  t.ok(tookMs >= 5_000, `${tookMs} ms`);
  t.ok(copy.state.get("node", "id100"), "the node is still a member");
});

t.test("a lease that is renewed stays", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 1, config: SHORT });
  const { replica, copy } = group.server(1);
  const { lease } = await replica.propose(join(100)) as JoinAnswer;
  const startMs = group.clock.monotonicMs();
  while (group.clock.monotonicMs() < startMs + 9_000) {
    await replica.propose({ kind: "lease.renew", node: "id100", subnets: lease.subnets });
    await new Promise<void>((resolve) => setTimeout(resolve, 100));
  }
  t.ok(copy.state.get("lease", lease.subnets[0]!));
  t.equal(copy.state.find("leaseByNode", "id0").length, 0, "the one that was not is gone");
});

t.test("a new leader gives holders time, and the time without one does not count", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3, config: SHORT });
  const old = await group.leader();
  const { lease } = await old.replica.propose(join(100)) as JoinAnswer;
  await group.converged();
  await group.stop(old);
  const leader = await group.leader(group.up);
  const electedMs = group.clock.monotonicMs();
  const key = lease.subnets[0]!;
  await until("it has ended", () => leader.copy.state.get("lease", key) === undefined);
  const tookMs = group.clock.monotonicMs() - electedMs;
  // The grace is the TTL; the election was noticed a little late.
  t.ok(tookMs >= 4_500, `${tookMs} ms after the election`);
  t.ok(group.up.every(({ failure }) => failure === undefined));
});
