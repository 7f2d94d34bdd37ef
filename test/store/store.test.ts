import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { DenimError } from "../../src/base/errors.ts";
import { Store } from "../../src/store/store.ts";
import { OPEN_TOKEN } from "../support/ledger.ts";
import { copyFolder, temporaryFolder } from "../support/folders.ts";
import { LoneServer } from "../support/lone-server.ts";

t.test("what was written is found again", async (t) => {
  const folder = temporaryFolder(t);
  const server = await LoneServer.make(folder);
  for (let n = 1; n <= 5; n++) await server.join(n);
  await server.write({ starts: { incarnations: [{ counter: 4, startId: "abc" }] } });
  const before = server.copy.applied();
  await server[Symbol.asyncDispose]();

  await using again = await LoneServer.open(folder);
  const { loaded } = again.store;
  t.same(loaded.applied, before);
  t.same(loaded.hardState, { term: 1, vote: 1, commit: 7 });
  t.same(loaded.entries.map(({ index }) => index), [2, 3, 4, 5, 6, 7]);
  t.same(loaded.starts.incarnations, [{ counter: 4, startId: "abc" }]);
  t.equal(loaded.format?.storeId, "store0");
  t.equal(again.copy.digest, server.copy.digest);
  t.equal(again.copy.state.clockMs, server.copy.state.clockMs);
});

t.test("a store is empty until something is in it", async (t) => {
  await using store = await Store.open(temporaryFolder(t));
  const { loaded } = store;
  t.same([loaded.format, loaded.hardState, loaded.applied], [undefined, undefined, undefined]);
  t.same([loaded.entries, loaded.records], [[], []]);
});

t.test("a store belongs to one daemon at a time", async (t) => {
  const folder = temporaryFolder(t);
  await using _first = await Store.open(folder);
  await t.rejects(Store.open(folder), { code: "STORE_LOCKED" });
});

t.test("a folder that cannot be made is not a damaged store", async (t) => {
  const file = join(temporaryFolder(t), "file");
  writeFileSync(file, "");
  await t.rejects(Store.open(join(file, "store")), { code: "STORE_FAILED" });
});

t.test("a crash at any time leaves everything that was acknowledged", async (t) => {
  const folder = temporaryFolder(t);
  const copies = temporaryFolder(t);
  await using server = await LoneServer.make(join(folder, "store"));
  let [acknowledged, torn] = [0, 0];
  for (let n = 1; n <= 24; n++) {
    const joining = server.join(n);
    // The write is on its way to a thread; the copy sees some of it, or nothing.
    if (n % 3 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    const crashed = copyFolder(server.folder, join(copies, `${n}`));
    await using found = await LoneServer.open(crashed);
    const hosts = [...found.copy.state.all("node")].length - 1;
    t.ok(hosts === acknowledged || hosts === n, `${hosts} hosts, ${acknowledged} acknowledged`);
    if (hosts !== acknowledged) torn++;
    await joining;
    acknowledged = n;
  }
  t.ok(torn <= 24);
});

t.test("a conflicting suffix is replaced in one batch", async (t) => {
  const folder = temporaryFolder(t);
  const server = await LoneServer.make(folder);
  await server.write();
  const lost = [3, 4, 5].map((index) => server.entry(OPEN_TOKEN, index));
  await server.store.write({ entries: lost, hardState: { term: 1, vote: 1, commit: 2 } });
  server.term = 2;
  const kept = [server.entry({ kind: "tick" }, 3), server.entry({ kind: "tick" }, 4)];
  await server.store.write({ entries: kept, hardState: { term: 2, vote: 0, commit: 2 } });
  await server[Symbol.asyncDispose]();

  await using store = await Store.open(folder);
  t.same(store.loaded.entries.slice(1), kept);
  t.same(store.loaded.entries.map(({ term }) => term), [1, 2, 2]);
});

t.test("trimming removes at most a bounded piece of the log", async (t) => {
  const folder = temporaryFolder(t);
  const server = await LoneServer.make(folder);
  const many = Array.from({ length: 1_500 }, (_, i) => server.entry({ kind: "tick" }, 3 + i));
  for (const { index, term } of many) server.copy.pass(index, term);
  server.index = many.at(-1)!.index;
  await server.write({ entries: many });
  const { logSizeBytes } = server.store;
  await server.write({ trimTo: 1_400 });
  t.equal(server.store.trim.index, 1_001);
  t.ok(server.store.logSizeBytes < logSizeBytes / 2);
  t.equal(server.store.placeAt(1_000), undefined);
  await server.write({ trimTo: 1_400 });
  t.equal(server.store.trim.index, 1_400);
  t.same(Object.keys(server.store.trim).sort(), ["chain", "index", "term"]);
  await server[Symbol.asyncDispose]();

  await using again = await LoneServer.open(folder);
  t.same(again.store.loaded.entries.map(({ index }) => index)[0], 1_401);
  t.equal(again.store.loaded.entries.length, 102);
  t.same(again.store.trim, server.store.trim);
});

t.test("a snapshot replaces state and log", async (t) => {
  const source = await LoneServer.make(temporaryFolder(t));
  for (let n = 1; n <= 4; n++) await source.join(n);
  const applied = source.copy.applied();
  const chain = source.store.placeAt(applied.index)!.chain;
  await source[Symbol.asyncDispose]();

  const folder = temporaryFolder(t);
  const server = await LoneServer.make(folder);
  server.term = 9;
  for (let n = 11; n <= 15; n++) await server.join(n);
  const hardState = { term: 9, vote: 0, commit: applied.index };
  const installation = { applied, records: source.copy.records(), log: { chain, hardState } };
  await server.store.install(installation);
  await server[Symbol.asyncDispose]();

  await using again = await LoneServer.open(folder);
  t.same(again.store.loaded.entries, [], "nothing of the old log leads to that state");
  t.same(again.store.trim, { index: applied.index, term: 1, chain });
  t.equal(again.copy.digest, source.copy.digest);
  t.equal(again.copy.state.get("node", "id11"), undefined);
});

t.test("what follows the snapshot's own entry stays in the log", async (t) => {
  const folder = temporaryFolder(t);
  const server = await LoneServer.make(folder);
  for (let n = 1; n <= 2; n++) await server.join(n);
  const [applied, records] = [server.copy.applied(), server.copy.records()];
  const chain = server.store.placeAt(applied.index)!.chain;
  for (let n = 3; n <= 4; n++) await server.join(n);
  const hardState = { term: 1, vote: 1, commit: 6 };
  await server.store.install({ applied, records, log: { chain, hardState } });
  await server[Symbol.asyncDispose]();

  await using again = await LoneServer.open(folder);
  t.same(again.store.loaded.entries.map(({ index }) => index), [5, 6]);
  t.equal(again.copy.digest, server.copy.digest, "and leads to where it led before");
});

t.test("an agent's state has no log; a log that is there goes, the ballot stays", async (t) => {
  const folder = temporaryFolder(t);
  const server = await LoneServer.make(folder);
  await server.join(1);
  const applied = { ...server.copy.applied(), term: 0 };
  await server.store.install({ applied, records: server.copy.records() });
  await server[Symbol.asyncDispose]();

  await using store = await Store.open(folder);
  const ballot = { term: 1, vote: 1, commit: 0 };
  t.same([store.loaded.hardState, store.loaded.entries], [ballot, []]);
  t.same(store.loaded.applied, applied);
  // It becomes a server again: it votes before it has been sent a snapshot.
  await store.write({ hardState: { term: 5, vote: 2, commit: 0 } });
  await store[Symbol.asyncDispose]();
  await using again = await Store.open(folder);
  t.same(again.loaded.hardState, { term: 5, vote: 2, commit: 0 });
  t.equal(again.loaded.records.length, applied.records + applied.clockRecords);
});

t.test("who drops its log goes on as an agent, and does not vote twice in a term", async (t) => {
  const folder = temporaryFolder(t);
  const server = await LoneServer.make(folder);
  await server.join(1);
  await server.store.write({ hardState: { term: 7, vote: 3, commit: 2 } });
  await server.store.dropLog(server.copy.takeUnwritten());
  const { hardState, entries, applied } = server.store.loaded;
  t.same([hardState, entries, applied?.term], [{ term: 7, vote: 3, commit: 0 }, [], 0]);
  await server[Symbol.asyncDispose]();

  await using again = await Store.open(folder);
  t.same(again.loaded.hardState, { term: 7, vote: 3, commit: 0 });
  t.equal(again.loaded.applied?.digest, server.copy.digest);
});

t.test("who drops its log never takes part under that raft id again", async (t) => {
  const folder = temporaryFolder(t);
  const server = await LoneServer.make(folder);
  await server.join(1);
  t.equal(server.store.format?.raftId, 1);
  const { index, term } = server.copy;
  await server.store.dropLog(server.copy.takeUnwritten());
  t.equal(server.store.format?.raftId, undefined);
  await server[Symbol.asyncDispose]();
  await using again = await Store.open(folder);
  t.same([again.format?.raftId, again.format?.spentRaftId], [undefined, 1]);
  t.ok(term > 0);
  t.same(again.format?.spentAt, { index, term }, "it knows how far it had got");
  t.equal(again.loaded.applied?.term, 0, "which its state does not say any more");
});

t.test("a standby to which no log has come is one still when its state comes anew", async (t) => {
  const server = await LoneServer.make(temporaryFolder(t));
  const [applied, records] = [{ ...server.copy.applied(), term: 0 }, server.copy.records()];
  const { format } = server.store;
  await server[Symbol.asyncDispose]();
  const folder = temporaryFolder(t);
  const store = await Store.open(folder);
  await store.write({ format: { ...format!, raftId: 7 } });
  await store.write({ hardState: { term: 5, vote: 0, commit: 0 } });
  await store.install({ applied, records });
  t.same([store.format?.raftId, store.format?.spentRaftId], [7, undefined]);
  t.same(store.loaded.hardState, { term: 5, vote: 0, commit: 0 }, "it was heard of a term");
  await store[Symbol.asyncDispose]();
});

t.test("what is given up with a new state is not there for the next server either", async (t) => {
  const server = await LoneServer.make(temporaryFolder(t));
  await server.join(1);
  const { copy, store } = server;
  await store.install({ applied: { ...copy.applied(), term: 0 }, records: copy.records() });
  t.same([store.loaded.entries, store.loaded.trim.index, store.loaded.applied?.term], [[], 0, 0]);
  t.same([store.loaded.format?.raftId, store.loaded.format?.spentRaftId], [undefined, 1]);
  t.equal(store.format?.spentAt, undefined, "that state was none of its log");
  await server[Symbol.asyncDispose]();
});

t.test("a write that failed is the last one", async (t) => {
  const server = await LoneServer.make(temporaryFolder(t));
  await server[Symbol.asyncDispose]();
  await t.rejects(server.write(), { code: "STORE_FAILED" });
  await t.rejects(server.write(), { code: "STORE_FAILED" });
});

t.test("a store that was condemned writes nothing more, and no start uses it", async (t) => {
  const folder = temporaryFolder(t);
  const server = await LoneServer.make(folder);
  const reason = new DenimError("STORE_DAMAGED", "The store is damaged", { why: "it differs" });
  await server.store.condemn(reason);
  await t.rejects(server.write(), { code: "STORE_DAMAGED", why: "it differs" });
  await server[Symbol.asyncDispose]();
  await t.rejects(Store.open(folder), { code: "STORE_DAMAGED", why: "it differs" });
});
