import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { fromUtf8 } from "../../src/base/bytes.ts";
import { readFileIfAny, writeFileAtomic } from "../../src/host/files.ts";
import { scratch } from "../support/scratch.ts";

t.test("a file is replaced as a whole, with its mode, and nothing is left behind", async (t) => {
  const directory = scratch(t);
  const path = join(directory, "subnet.env");
  await writeFileAtomic(path, "one\n", { mode: 0o600 });
  await writeFileAtomic(path, "two\n", { mode: 0o666 });
  t.equal(fromUtf8((await readFileIfAny(path))!), "two\n");
  t.equal(statSync(path).mode & 0o777, 0o666);
  t.same(readdirSync(directory), ["subnet.env"]);
});

t.test("writes at the same time do not mix", async (t) => {
  const directory = scratch(t);
  const path = join(directory, "file");
  const contents = Array.from({ length: 20 }, (_, i) => `${i}`.repeat(1000));
  await Promise.all(contents.map((content) => writeFileAtomic(path, content, { mode: 0o600 })));
  t.ok(contents.includes(fromUtf8((await readFileIfAny(path))!)));
  t.same(readdirSync(directory), ["file"]);
});

t.test("a file that is not there is no error, a directory that is not there is", async (t) => {
  const directory = scratch(t);
  t.equal(await readFileIfAny(join(directory, "none")), undefined);
  await t.rejects(writeFileAtomic(join(directory, "none", "file"), "", { mode: 0o600 }), {
    code: "STORE_FAILED",
  });
  await t.rejects(readFileIfAny(directory), { code: "STORE_FAILED" });
});
