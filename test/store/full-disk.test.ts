/** A real file system of a few MiB that somebody fills. */
import { join } from "node:path";
import t from "tap";
import { isDenimError } from "../../src/base/errors.ts";
import { IdentityFolder } from "../../src/store/identity.ts";
import { storeFolder } from "../../src/store/place.ts";
import { Store } from "../../src/store/store.ts";
import { LoneServer } from "../support/lone-server.ts";
import { cannotMount, SmallDisk } from "../support/small-disk.ts";

const MIB = 1024 * 1024;
const options = { skip: cannotMount };

/** Writes until the disk refuses: what was acknowledged before. */
async function writeUntilFull(server: LoneServer): Promise<number> {
  let acknowledged = server.index;
  for (let n = 1; n < 5_000; n++) {
    try {
      await server.join(n);
      acknowledged = server.index;
    } catch (error) {
      if (isDenimError(error, "DISK_FULL")) return acknowledged;
      throw error;
    }
  }
  throw new Error("the disk never was full");
}

const FULL = {
  code: "DISK_FULL",
  why: /^the disk is full: .*No space left on device/,
  fix: /make room there.*start the daemon again; nothing that was acknowledged is lost/,
};

t.test(
  "a full disk loses nothing that was acknowledged, and the ballast opens it",
  options,
  async (t) => {
    const disk = new SmallDisk(t, 12);
    const path = join(disk.folder, "store");
    const place = storeFolder(path);
    let server = await LoneServer.make(path);
    await place.makeBallast(4 * MIB);
    disk.fill();
    const first = await writeUntilFull(server);
    await t.rejects(server.write(), FULL, "that was its last write");
    await server[Symbol.asyncDispose]();
    await t.rejects(Store.open(path), FULL, "LevelDB alone cannot even be opened");
    t.equal(await place.ballastBytes(), 4 * MIB);

    const opened = await place.open();
    t.equal(await place.ballastBytes(), 0, "it has given its room");
    t.ok(opened.loaded.entries.at(-1)!.index >= first, "everything is there");
    await opened[Symbol.asyncDispose]();
    server = await LoneServer.open(path);
    await server.join(7_000);
    disk.fill();
    const second = await writeUntilFull(server);
    t.ok(second > first);
    await server[Symbol.asyncDispose]();
    await t.rejects(place.open(), FULL, "without ballast it says what to do");

    disk.clear();
    const again = await place.open();
    t.ok(again.loaded.entries.at(-1)!.index >= second);
    await again[Symbol.asyncDispose]();
  },
);

t.test("a ballast that does not fit is not left half made", options, async (t) => {
  const disk = new SmallDisk(t, 2);
  const place = storeFolder(join(disk.folder, "store"));
  await t.rejects(place.makeBallast(4 * MIB), { code: "DISK_FULL", message: /ballast/ });
  t.equal(await place.ballastBytes(), 0);
  t.ok((await place.room()).freeBytes > MIB);
});

t.test("a file of the identity that cannot be written stays as it was", options, async (t) => {
  const disk = new SmallDisk(t, 1);
  const identity = new IdentityFolder(join(disk.folder, "identity"));
  const servers = (seed: string) => ({ members: [], seeds: Array(600).fill(seed) as string[] });
  await identity.write("servers", servers("before.example:7470"));
  disk.fill();
  const writing = identity.write("servers", servers("after.example:7470"));
  await t.rejects(writing, { code: "DISK_FULL", message: /servers\.json/ });
  t.equal((await identity.read("servers"))!.seeds[0], "before.example:7470");
});
