import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Level } from "level";
import t from "tap";
import { utf8 } from "../../src/base/bytes.ts";
import { crc32c, findLostRecords, lostAt } from "../../src/store/leveldb-log.ts";
import { temporaryFolder } from "../support/folders.ts";
import type { Test } from "../support/tap.ts";

/** What LevelDB writes for so many batches of about a kilobyte: more than one block. */
async function written(t: Test, batches: number): Promise<{ folder: string; log: Uint8Array }> {
  const folder = temporaryFolder(t);
  const level = new Level<string, string>(folder);
  await level.open();
  for (let i = 0; i < batches; i++) {
    await level.batch([{ type: "put", key: `k${i}`, value: `${i}`.repeat(400) }], { sync: true });
  }
  const name = readdirSync(folder).find((name) => name.endsWith(".log"))!;
  const log = Uint8Array.from(readFileSync(join(folder, name)));
  t.teardown(() => level.close());
  return { folder, log };
}

t.test("the checksum is Castagnoli's", async (t) => {
  t.equal(crc32c(utf8("123456789")), 0xe3069283);
});

t.test("what LevelDB wrote is whole, wherever it is cut off", async (t) => {
  const { folder, log } = await written(t, 100);
  t.ok(log.length > 2 * 32_768);
  t.equal(findLostRecords(folder), undefined);
  for (let length = 0; length < log.length; length += 997) {
    t.equal(lostAt(log.slice(0, length)), undefined, `${length} bytes`);
  }
});

t.test("a flipped bit that others follow is found, wherever it is", async (t) => {
  const { log } = await written(t, 60);
  const lastRecordBytes = 2_000;
  for (let at = 0; at < log.length - lastRecordBytes; at += 611) {
    const flipped = Uint8Array.from(log);
    flipped[at] = flipped[at]! ^ 4;
    t.ok(lostAt(flipped) !== undefined, `byte ${at}`);
  }
});

t.test("a tail that never reached the disk is no loss", async (t) => {
  const { log } = await written(t, 60);
  const torn = Uint8Array.from(log);
  torn.fill(0, log.length - 500);
  t.equal(lostAt(torn), undefined);
});
