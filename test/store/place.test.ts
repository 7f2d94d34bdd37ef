import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { storeFolder } from "../../src/store/place.ts";
import { temporaryFolder } from "../support/folders.ts";

const WALL_MS = Date.UTC(2026, 10, 26, 12, 58, 4, 321);

t.test("a store is set aside whole, beside its place, under the time", async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, "store");
  const place = storeFolder(path);
  t.equal(await place.setAside(WALL_MS), undefined, "there is none");
  for (const name of ["store.aside-2026-11-26T12-58-04Z", "store.aside-2026-11-26T12-58-04Z-2"]) {
    mkdirSync(path);
    writeFileSync(join(path, "log"), name);
    t.equal(await place.setAside(WALL_MS), join(folder, name));
    t.notOk(existsSync(path));
    t.equal(readFileSync(join(folder, name, "log"), "utf8"), name);
  }
});

t.test("what was set aside can be put back in place of what came after", async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, "store");
  const place = storeFolder(path);
  mkdirSync(path);
  writeFileSync(join(path, "old"), "");
  const aside = await place.setAside(WALL_MS);
  await (await place.open())[Symbol.asyncDispose]();
  t.ok(existsSync(join(path, "CURRENT")));
  await place.putBack(aside);
  t.same(readdirSync(folder), ["store"]);
  t.same(readdirSync(path), ["old"]);
  await place.putBack(undefined);
  t.same(readdirSync(folder), [], "where there was nothing there is nothing");
});

t.test("a database without its head is not taken for a new one", async (t) => {
  const path = join(temporaryFolder(t), "store");
  const place = storeFolder(path);
  await (await place.open())[Symbol.asyncDispose]();
  rmSync(join(path, "CURRENT"));
  await t.rejects(place.open(), { code: "STORE_DAMAGED", why: "CURRENT is missing" });
});
