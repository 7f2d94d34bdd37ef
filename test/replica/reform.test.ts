import { join } from "node:path";
import t, { type Test } from "tap";
import { DenimError } from "../../src/base/errors.ts";
import type { Command, CommandOf } from "../../src/lease/command.ts";
import { theCluster, theGroup } from "../../src/lease/state.ts";
import { reform, restore } from "../../src/replica/reform.ts";
import type { Change, Entry } from "../../src/raft/mod.ts";
import { Copy } from "../../src/store/copy.ts";
import { Store } from "../../src/store/store.ts";
import { until } from "../support/fast-clock.ts";
import { copyFolder, temporaryFolder } from "../support/folders.ts";
import { attributes, DAY_MS, EPOCH, joiner, LATER, WALL_MS } from "../support/ledger.ts";
import { LoneServer } from "../support/lone-server.ts";
import { ReplicaCluster } from "../support/replica-cluster.ts";

const STAMP = { elapsedMs: 0, wallMs: WALL_MS };

const agent = (n: number): Command => ({ kind: "node.join", tokenId: "open", node: joiner(n) });

function reformed(node = "id0"): CommandOf<"cluster.reform"> {
  return { kind: "cluster.reform", epoch: LATER, reason: "recover", node };
}

/** A server that has gone down, with this in its store. */
async function stopped(t: Test, hosts: readonly number[] = []): Promise<string> {
  const folder = join(temporaryFolder(t), "store");
  const server = await LoneServer.make(folder);
  for (const n of hosts) await server.join(n);
  await server[Symbol.asyncDispose]();
  return folder;
}

t.test("one of three goes on alone, above what the others have seen, on hold", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  await group.server(1).replica.propose(agent(100));
  await group.converged();
  const last = group.server(2).copy.index;
  const { term } = group.server(2).replica.status();
  for (const server of group.all) await group.stop(server);

  const survivor = group.server(2);
  await using store = await Store.open(survivor.folder);
  const hold = await reform(store, STAMP, reformed("id1"));
  t.same([hold.reason, hold.untilWallMs], ["recover", WALL_MS + DAY_MS]);
  await store[Symbol.asyncDispose]();
  await group.boot(survivor);
  await until("it leads", () => survivor.replica.leads);
  t.ok(survivor.replica.status().term > term);
  const { state } = survivor.replica.view();
  t.same(theGroup(state), { voters: [2], learners: [] });
  t.same(theCluster(state)!.ancestors, [{ epoch: EPOCH, endRevision: state.revision }]);
  t.ok(state.revision >= last + 1e9, `${state.revision}`);
  t.ok(survivor.hasNode(100));
  await t.rejects(survivor.replica.propose(agent(101)), { code: "ON_HOLD" });
  const lease = state.find("leaseByNode", "id100")[0]!;
  const answer = await survivor.replica.propose({
    kind: "lease.claim",
    ...{ node: "id100", subnets: lease.body.subnets, attributes: attributes(100) },
    ...{ epoch: EPOCH, revision: lease.modRevision, locallyValid: true },
  });
  t.same((answer as { epoch: unknown }).epoch, LATER);
  await group.restart(survivor);
  await until("it leads again", () => survivor.replica.leads);
  t.same(survivor.replica.view().position.epoch, LATER);
});

t.test("what was not known to be committed counts: it may have been", async (t) => {
  const folder = await stopped(t);
  const server = await LoneServer.open(folder);
  const tail = [server.entry(agent(1)), server.entry(agent(2), server.index + 2)];
  await server.store.write({ entries: tail });
  await server[Symbol.asyncDispose]();
  const store = await Store.open(folder);
  await reform(store, STAMP, reformed());
  await store[Symbol.asyncDispose]();
  await using again = await Store.open(folder);
  const { hardState, entries, trim, format, applied } = again.loaded;
  t.ok(again.loaded.records.some(({ key }) => key === "id2"));
  t.same([entries, trim.index, hardState?.commit], [[], applied!.index, applied!.index]);
  t.same([format?.epoch, hardState?.vote, hardState?.term], [LATER, 0, 2]);
  t.equal(applied!.index, 4 + 1e9);
});

/** A server that knows of another one as a standby, and whose log goes on with this. */
async function stoppedWith(
  t: Test,
  tail: (server: LoneServer) => readonly (Command | Change)[],
): Promise<string> {
  const folder = await stopped(t);
  const server = await LoneServer.open(folder);
  await server.enter({ kind: "node.join", tokenId: "open", node: joiner(1, { role: "server" }) });
  const entryOf = (said: Command | Change): Entry =>
    "id" in said
      ? { ...server.entry({ kind: "tick" }), type: "change", data: JSON.stringify(said) }
      : server.entry(said);
  const standby = entryOf({ kind: "add-learner", id: 2 });
  server.index = standby.index;
  await server.write({ entries: [standby] });
  server.copy.applyGroup(standby.index, standby.term, { voters: [1], learners: [2] });
  await server.write();
  const entries: Entry[] = [];
  for (const said of tail(server)) {
    entries.push(entryOf(said));
    server.index++;
  }
  await server.store.write({ entries });
  await server[Symbol.asyncDispose]();
  return folder;
}

t.test("who has left, as the log says that was not applied yet, has left", async (t) => {
  const folder = await stoppedWith(t, () => [
    { kind: "remove", id: 2 },
    { kind: "node.leave", node: "id1" },
  ]);
  const store = await Store.open(folder);
  await reform(store, STAMP, reformed());
  await store[Symbol.asyncDispose]();
  await using again = await Store.open(folder);
  const { state } = new Copy(again.loaded.applied, again.loaded.records);
  t.equal(state.get("node", "id1"), undefined);
  t.ok(state.get("tombstone", "id1"), "its certificate lets it in no more");
});

t.test("a server whose log ends with its own farewell can go on from it", async (t) => {
  const folder = await stoppedWith(t, () => [
    { kind: "add-voter", id: 2 },
    { kind: "remove", id: 1 },
  ]);
  const store = await Store.open(folder);
  await reform(store, STAMP, reformed());
  await store[Symbol.asyncDispose]();
  await using again = await Store.open(folder);
  const { state } = new Copy(again.loaded.applied, again.loaded.records);
  const raftId = state.get("node", "id0")!.body.raftId!;
  t.ok(raftId > 2, "under the id that it has since");
  t.same([theGroup(state).voters, again.loaded.format?.raftId], [[raftId], raftId]);
});

t.test("a crash leaves the old history or the new one", async (t) => {
  const folder = await stopped(t, [1, 2]);
  const copies = temporaryFolder(t);
  const seen: number[] = [];
  await using store = await Store.open(folder);
  const making = reform(store, STAMP, reformed());
  const look = async () => {
    await using found = await Store.open(copyFolder(folder, join(copies, `${seen.length}`)));
    const { format, hardState, applied } = found.loaded;
    const parts = [format!.epoch.n - 1, hardState!.term - 1, Number(applied!.index > 1e9)];
    seen.push(parts.reduce((sum, part) => sum + part));
  };
  for (let i = 0; i < 5; i++) await look();
  await making;
  await look();
  t.ok(seen.every((parts) => parts === 0 || parts === 3), seen.join());
  t.equal(seen.at(-1), 3);
});

t.test("nothing is written where it is refused, or fails", async (t) => {
  const folder = await stopped(t, [1]);
  const store = await Store.open(folder);
  await t.rejects(reform(store, STAMP, reformed("id1")), { code: "NOT_A_MEMBER", why: /agent's/ });
  await t.rejects(reform(store, STAMP, { ...reformed(), epoch: { n: 1, random: "b" } }), {
    code: "EPOCH_MISMATCH",
  });
  const failed = new DenimError("STORE_FAILED", "Cannot write");
  const install = store.install;
  store.install = () => Promise.reject(failed);
  await t.rejects(reform(store, STAMP, reformed()), { code: "STORE_FAILED" });
  store.install = install;
  await store[Symbol.asyncDispose]();
  await using again = await Store.open(folder);
  t.same(again.loaded.format?.epoch, EPOCH);
});

t.test("an agent's store is none to go on from", async (t) => {
  const folder = await stopped(t);
  const server = await LoneServer.open(folder);
  await server.store.dropLog(server.copy.takeUnwritten());
  await t.rejects(reform(server.store, STAMP, reformed()), { code: "NOT_A_MEMBER" });
  await server[Symbol.asyncDispose]();
});

const PLACE = { storeId: "new store", csrKey: "new key", certificateEndsWallMs: WALL_MS + DAY_MS };

t.test("a backup goes on in an empty store, under a raft id that nobody had", async (t) => {
  const folder = await stopped(t, [1, 2]);
  const before = await Store.open(folder);
  const { applied, records } = before.loaded;
  await before[Symbol.asyncDispose]();
  const empty = join(temporaryFolder(t), "store");
  const store = await Store.open(empty);
  const command = { ...reformed(), reason: "restore", place: PLACE } as const;
  const hold = await restore(store, { applied: applied!, records }, STAMP, command);
  t.equal(hold.reason, "restore");
  await store[Symbol.asyncDispose]();
  await using again = await Store.open(empty);
  const { format, hardState } = again.loaded;
  t.same(format, { ...format, epoch: LATER, storeId: "new store", raftId: 2 });
  t.same([hardState!.term, again.loaded.applied!.index], [2, applied!.index + 1e9]);
  const { state } = new Copy(again.loaded.applied, again.loaded.records);
  t.same(theGroup(state), { voters: [2], learners: [] });
  t.equal(theCluster(state)!.lastRaftId, 2);
  const { raftId, storeId, csrKey } = state.get("node", "id0")!.body;
  t.same([raftId, storeId, csrKey], [2, "new store", "new key"]);
  t.equal([...state.all("lease")].length, records.filter(({ table }) => table === "lease").length);
  t.same([...state.all("token")], [], "one that was used up since would be good again");
});

t.test("an agent of the backup cannot take it on", async (t) => {
  const folder = await stopped(t, [1]);
  const before = await Store.open(folder);
  const { applied, records } = before.loaded;
  await before[Symbol.asyncDispose]();
  await using store = await Store.open(join(temporaryFolder(t), "store"));
  const command = { ...reformed("id1"), reason: "restore", place: PLACE } as const;
  await t.rejects(restore(store, { applied: applied!, records }, STAMP, command), {
    code: "NOT_A_MEMBER",
  });
});
