import { join } from "node:path";
import process from "node:process";
import t from "tap";
import { isDenimError } from "../../src/base/errors.ts";
import { lockDirectory } from "../../src/host/lock.ts";
import { openLibc } from "../../src/kernel/libc.ts";
import { startChild } from "../support/child.ts";
import { scratch } from "../support/scratch.ts";

t.test("a directory has one holder, and the next is told who it is", async (t) => {
  const directory = scratch(t);
  const libc = await openLibc();
  const lock = lockDirectory(directory, libc);
  try {
    lockDirectory(directory, libc);
    t.fail("it was locked twice");
  } catch (error) {
    t.ok(isDenimError(error, "STORE_LOCKED"));
    t.match((error as { why: string }).why, new RegExp(`pid ${process.pid}\\b`));
  }
  lock[Symbol.dispose]();
  lockDirectory(directory, libc)[Symbol.dispose]();
});

t.test("a holder that is killed lets go", async (t) => {
  const directory = scratch(t);
  const child = startChild(
    t,
    `
    import { lockDirectory } from "$root/src/host/lock.ts";
    import { openLibc } from "$root/src/kernel/libc.ts";
    globalThis.lock = lockDirectory("${directory}", await openLibc());
    console.log("locked");
    setInterval(() => {}, 1000);
  `,
  );
  await child.spoke;
  const libc = await openLibc();
  t.throws(() => lockDirectory(directory, libc), { code: "STORE_LOCKED" });
  child.kill();
  await child.closed;
  lockDirectory(directory, libc)[Symbol.dispose]();
});

t.test("a directory that is not there cannot be locked", async (t) => {
  const libc = await openLibc();
  const none = join(scratch(t), "none");
  t.throws(() => lockDirectory(none, libc), { code: "PERMISSION_DENIED" });
});
