/** Which starts of its disk a node names when it says hello. */
import { join } from "node:path";
import t from "tap";
import { noteStart } from "../../../src/agent/entry/starts.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { Store } from "../../../src/store/store.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { LoneServer } from "../../support/lone-server.ts";

const random = seededRandom(1);

t.test("each start counts one up and is on disk", async (t) => {
  const folder = join(temporaryFolder(t), "store");
  const names: string[] = [];
  for (let n = 1; n <= 3; n++) {
    await using store = await Store.open(folder);
    const { incarnation, starts } = await noteStart(store, "id0", random);
    t.equal(incarnation.counter, n);
    names.push(incarnation.startId);
    t.same(starts.map(({ startId }) => startId), names);
  }
});

t.test("the start that the cluster knows is named however often the node starts", async (t) => {
  const folder = join(temporaryFolder(t), "store");
  const server = await LoneServer.make(folder);
  const first = await noteStart(server.store, "id0", random);
  const { incarnation } = first;
  await server.enter({ kind: "node.update", node: "id0", incarnation });
  await server.write();
  await server[Symbol.asyncDispose]();
  for (let n = 0; n < 70; n++) {
    await using store = await Store.open(folder);
    const { incarnation: latest, starts } = await noteStart(store, "id0", random);
    t.equal(latest.counter, n + 2);
    t.same([starts[0], starts.at(-1)], [first.incarnation, latest]);
    t.ok(starts.length <= 64, "no more than a hello may hold");
  }
});

t.test("what is older than that start is forgotten", async (t) => {
  const folder = join(temporaryFolder(t), "store");
  const server = await LoneServer.make(folder);
  await noteStart(server.store, "id0", random);
  await server.enter({
    kind: "node.update",
    node: "id0",
    incarnation: { counter: 9, startId: "ninth" },
  });
  await server.write();
  await server[Symbol.asyncDispose]();
  await using store = await Store.open(folder);
  const { incarnation, starts } = await noteStart(store, "id0", random);
  t.equal(incarnation.counter, 10);
  t.same(starts.map(({ startId }) => startId), ["ninth", incarnation.startId]);
});
