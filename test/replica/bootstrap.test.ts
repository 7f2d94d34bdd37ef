import { join } from "node:path";
import t from "tap";
import { DenimError } from "../../src/base/errors.ts";
import { bootstrap } from "../../src/replica/bootstrap.ts";
import { Store } from "../../src/store/store.ts";
import { copyFolder, temporaryFolder } from "../support/folders.ts";
import { initCommand } from "../support/ledger.ts";

const STAMP = { elapsedMs: 0, wallMs: 1_000 };

t.test("a cluster of one is stored as a whole", async (t) => {
  const folder = temporaryFolder(t);
  const store = await Store.open(folder);
  const answer = await bootstrap(store, STAMP, initCommand());
  t.same([answer.raftId, answer.lease.subnets], [1, ["10.5.1.0/24"]]);
  await store[Symbol.asyncDispose]();
  await using again = await Store.open(folder);
  const { format, hardState, applied, trim, entries } = again.loaded;
  t.same([format?.raftId, format?.storeId], [1, "store0"]);
  t.same(hardState, { term: 1, vote: 0, commit: 1 });
  t.same([applied?.index, applied?.term, trim.index, entries], [1, 1, 1, []]);
  await t.rejects(bootstrap(again, STAMP, initCommand()), {
    message: "Assertion failed: a cluster is made in an empty store",
  });
});

t.test("a crash leaves nothing, or a whole cluster", async (t) => {
  const [folder, copies] = [temporaryFolder(t), temporaryFolder(t)];
  const seen: string[] = [];
  await using store = await Store.open(join(folder, "store"));
  const making = bootstrap(store, STAMP, initCommand());
  const look = async () => {
    const copy = copyFolder(join(folder, "store"), join(copies, `${seen.length}`));
    await using found = await Store.open(copy);
    const { format, hardState, applied } = found.loaded;
    const parts = [format, hardState, applied].filter((part) => part !== undefined);
    seen.push(["nothing", "a part", "a part", "whole"][parts.length]!);
  };
  for (let i = 0; i < 5; i++) await look();
  await making;
  await look();
  t.notOk(seen.includes("a part"), seen.join());
  t.equal(seen.at(-1), "whole");
});

t.test("a write that fails leaves nothing", async (t) => {
  const folder = temporaryFolder(t);
  const store = await Store.open(folder);
  store.install = () => Promise.reject(new DenimError("STORE_FAILED", "Cannot write"));
  await t.rejects(bootstrap(store, STAMP, initCommand()), { code: "STORE_FAILED" });
  await store[Symbol.asyncDispose]();
  await using again = await Store.open(folder);
  t.equal(again.loaded.format, undefined);
});

t.test("what the first entry refuses is refused before anything is written", async (t) => {
  await using store = await Store.open(temporaryFolder(t));
  const config = '{"Network":"10.5.0.0/30"}';
  await t.rejects(bootstrap(store, STAMP, initCommand(config)), { code: "CONFIG_INVALID" });
});
