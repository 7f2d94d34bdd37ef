import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { Ballast, roomAt } from "../../src/store/ballast.ts";
import { temporaryFolder } from "../support/folders.ts";

const MIB = 1024 * 1024;

t.test("a ballast takes up the room that it says", async (t) => {
  const path = join(temporaryFolder(t), "ballast");
  const ballast = new Ballast(path);
  t.equal(await ballast.sizeBytes(), 0);
  await ballast.make(2 * MIB + 512 * 1024);
  const { size, blocks, mode } = statSync(path);
  t.equal(size, 2 * MIB + 512 * 1024);
  t.ok(blocks * 512 >= size, `${blocks} blocks are allocated`);
  t.equal(mode & 0o777, 0o600);
  await ballast.make(MIB);
  t.equal(await ballast.sizeBytes(), MIB, "made anew it has its new size");
});

t.test("a ballast is given up once", async (t) => {
  const path = join(temporaryFolder(t), "ballast");
  const ballast = new Ballast(path);
  await ballast.make(4_096);
  t.equal(await ballast.drop(), true);
  t.notOk(existsSync(path));
  t.equal(await ballast.drop(), false);
});

t.test("how much room there is", async (t) => {
  const folder = temporaryFolder(t);
  const { freeBytes, totalBytes } = await roomAt(folder);
  t.ok(freeBytes > 0 && freeBytes <= totalBytes);
  await t.rejects(roomAt(join(folder, "nowhere")), { code: "STORE_FAILED", message: /nowhere/ });
});
