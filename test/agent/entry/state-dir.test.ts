/** A host that got no identity is left as it was. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { leaveAsFound, leaveNothing, openStateDir } from "../../../src/agent/entry/state-dir.ts";
import { temporaryFolder } from "../../support/folders.ts";

function put(...path: string[]): void {
  const file = join(...path);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, "");
}

const names = (path: string) => readdirSync(path, { recursive: true }).map(String).sort();

/** What a start makes on its way to an identity. */
function begin(path: string): void {
  put(path, "lock");
  put(path, "identity", "secret.json");
  put(path, "store", "CURRENT");
}

t.test("a directory that was not there is gone", async (t) => {
  const path = join(temporaryFolder(t), "state");
  const found = openStateDir(path);
  begin(path);
  leaveAsFound(found);
  t.equal(existsSync(path), false);
});

t.test("what was there stays, also what looks like ours", async (t) => {
  const path = temporaryFolder(t);
  put(path, "identity", "ca-key.pem");
  put(path, "store", "LOG");
  put(path, "notes.txt");
  const before = names(path);
  const found = openStateDir(path);
  put(path, "lock");
  put(path, "identity", "secret.json");
  leaveAsFound(found);
  t.same(names(path), before);
});

t.test("a member's directory is its own", async (t) => {
  const path = temporaryFolder(t);
  const found = openStateDir(path);
  begin(path);
  put(path, "identity", "node.json");
  const before = names(path);
  leaveAsFound(found);
  t.same(names(path), before);
});

t.test("a key without a clear answer stays, for the next attempt", async (t) => {
  const path = temporaryFolder(t);
  const found = openStateDir(path);
  begin(path);
  put(path, "identity", "key.pem");
  leaveAsFound(found);
  t.ok(existsSync(join(path, "identity", "key.pem")));
  t.notOk(existsSync(join(path, "store")));
});

t.test("after a farewell nothing is left, also of what was there before", async (t) => {
  const path = temporaryFolder(t);
  begin(path);
  put(path, "identity", "node.json");
  leaveNothing(openStateDir(path));
  t.same(names(path), ["lock"]);
});

t.test("a place where it may not be is named", async (t) => {
  const path = join(temporaryFolder(t), "file");
  writeFileSync(path, "");
  t.throws(() => openStateDir(join(path, "state")), {
    code: "PERMISSION_DENIED",
    fix: /--state-dir/,
  });
});
