import t from "tap";
import { systemClock } from "../../src/base/clock.ts";
import {
  type Admit,
  greet,
  greetStranger,
  type Hello,
  type StrangerHello,
} from "../../src/transport/handshake.ts";
import { SocketWire } from "../../src/transport/wire.ts";
import { FakeClock } from "../support/clock.ts";
import { type TestCluster, testCluster } from "../support/pki.ts";
import { socketPair } from "../support/sockets.ts";
import type { Test } from "../support/tap.ts";

const cluster: TestCluster = await testCluster();
const options = { clock: systemClock(), timeoutMs: 5_000 };
const yes: Admit = () => ({ ok: true });

/** What both sides conclude: the other's node id, or the code of their error. */
async function meet(
  t: Test,
  near: Hello,
  far: Hello,
  admits: { near?: Admit; far?: Admit; identity?: string; cluster?: string } = {},
): Promise<readonly [string, string]> {
  const [a, b] = await socketPair(t);
  const identityOf = (nodeId: string, clusterId = "amber") => ({
    clusterId,
    nodeId,
    canServe: true,
    notAfterMs: 0,
  });
  const conclude = (greeting: Promise<{ hello: Hello }>) =>
    greeting.then(({ hello }) => hello.nodeId, (error) => error.code as string);
  return await Promise.all([
    conclude(greet(
      new SocketWire(a, 65_536),
      near,
      {
        identity: identityOf(admits.identity ?? far.nodeId, admits.cluster),
        admit: admits.near ?? yes,
      },
      options,
    )),
    conclude(greet(
      new SocketWire(b, 65_536),
      far,
      { identity: identityOf(near.nodeId), admit: admits.far ?? yes },
      options,
    )),
  ]);
}

t.test("two nodes of one cluster let each other in", async (t) => {
  t.same(await meet(t, cluster.hello("n-1"), cluster.hello("n-2")), ["n-2", "n-1"]);
});

t.test("everything that a hello says arrives", async (t) => {
  const near = cluster.hello("n-1", { raftId: 7, storeId: "s-1", wants: "watch" });
  let heard: Hello | undefined;
  await meet(t, near, cluster.hello("n-2"), { far: (hello) => (heard = hello, { ok: true }) });
  t.same(heard, near);
});

t.test("a no of one side reaches the other with code, reason and advice", async (t) => {
  const no = { code: "EPOCH_MISMATCH", message: "old", why: "epoch 1 is over", fix: "rejoin" };
  const result = await meet(t, cluster.hello("n-1"), cluster.hello("n-2"), {
    far: () => no as ReturnType<Admit>,
  });
  t.same(result, ["EPOCH_MISMATCH", "EPOCH_MISMATCH"]);
});

t.test("a node that calls itself otherwise than its certificate is refused", async (t) => {
  const result = await meet(t, cluster.hello("n-1"), cluster.hello("n-2"), { identity: "n-3" });
  t.same(result, ["PEER_REFUSED", "PEER_REFUSED"]);
});

t.test("a node of another cluster is refused", async (t) => {
  const other = cluster.hello("n-2", { clusterId: "cobalt" });
  t.equal((await meet(t, cluster.hello("n-1"), other))[0], "PEER_REFUSED");
  const certified = await meet(t, cluster.hello("n-1"), other, { cluster: "cobalt" });
  t.equal(certified[0], "CLUSTER_MISMATCH");
});

t.test("the agreed protocol is the smaller maximum, if both speak it", async (t) => {
  const speak = (min: number, max: number) => ({ protocol: { min, max } });
  const cases = [
    [[1, 3], [2, 5], 3],
    [[2, 2], [1, 9], 2],
    [[1, 2], [3, 4], "PROTOCOL"],
    [[5, 6], [1, 4], "PROTOCOL"],
  ] as const;
  for (const [near, far, wanted] of cases) {
    const [a, b] = await socketPair(t);
    const greetAs = (socket: typeof a, [min, max]: readonly [number, number]) =>
      greetStranger(
        new SocketWire(socket, 65_536),
        { wants: "join", version: "0.1.0", ...speak(min, max) },
        options,
      ).then(({ protocol }) => protocol, (error) => error.code);
    t.same(await Promise.all([greetAs(a, near), greetAs(b, far)]), [wanted, wanted]);
  }
});

t.test("a hello that cannot be read is refused by its field", async (t) => {
  const [a, b] = await socketPair(t);
  const near = greet(
    new SocketWire(a, 65_536),
    cluster.hello("n-1"),
    { identity: { clusterId: "amber", nodeId: "n-2", canServe: true, notAfterMs: 0 }, admit: yes },
    options,
  );
  const odd = { ...cluster.hello("n-2"), incarnation: { counter: -1, startId: "x" } };
  const far = greetStranger(new SocketWire(b, 65_536), odd as unknown as StrangerHello, options);
  const refused = { code: "PROTOCOL" };
  await Promise.all([t.rejects(near, refused), t.rejects(far, refused)]);
  await t.rejects(near, { code: "PROTOCOL", why: /^incarnation\.counter/ });
});

t.test("a side that says nothing is not waited for", async (t) => {
  const clock = new FakeClock();
  const [a] = await socketPair(t);
  const hello = { wants: "join", version: "0.1.0", protocol: { min: 1, max: 1 } } as const;
  const greeting = greetStranger(new SocketWire(a, 65_536), hello, { clock, timeoutMs: 1_000 });
  const failed = t.rejects(greeting, { code: "TIMEOUT" });
  await clock.advance(1_000);
  await failed;
});
