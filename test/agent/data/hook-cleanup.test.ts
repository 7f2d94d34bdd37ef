import t from "tap";
import { undoHooks } from "../../../src/agent/data/hook-cleanup.ts";
import { HookRecord } from "../../../src/agent/data/hook-record.ts";
import type { Invocation } from "../../../src/plan/hook.ts";
import { IdentityFolder } from "../../../src/store/identity.ts";
import { FakePrograms } from "../../support/fake-programs.ts";
import { temporaryFolder } from "../../support/folders.ts";

const removal = (...argv: string[]): Invocation => (
  { name: "SubnetRemoveCommand", argv, env: {}, input: "", timeoutMs: 1_000 }
);

t.test("peers are undone before the own subnet; what fails is told, and tried another time", async (t) => {
  const identity = new IdentityFolder(temporaryFolder(t));
  const record = new HookRecord(identity);
  const keep = async (key: string, own = false) =>
    await record.keep(key, { own, add: undefined, remove: removal("undo", key) });
  await keep("own", true);
  await keep("10.5.2.0/24");
  await keep("10.5.3.0/24");
  const programs = new FakePrograms();
  programs.end = (words) => words.includes("10.5.3") ? "no such route" : undefined;
  t.same(await undoHooks(record, programs), ["10.5.3.0/24: SubnetRemoveCommand: no such route"]);
  t.same(programs.take(), ["undo 10.5.2.0/24", "undo 10.5.3.0/24", "undo own"]);

  const later = new HookRecord(identity);
  await later.load();
  programs.end = () => undefined;
  t.same(await undoHooks(later, programs), []);
  t.same(programs.take(), ["undo 10.5.3.0/24"], "and nothing else, also by another process");
});
