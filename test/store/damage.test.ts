import { Level } from "level";
import t from "tap";
import { seededRandom } from "../../src/base/random.ts";
import { encodeValue } from "../../src/store/codec.ts";
import { KEYS } from "../../src/store/keys.ts";
import { Store } from "../../src/store/store.ts";
import { temporaryFolder } from "../support/folders.ts";
import { LoneServer } from "../support/lone-server.ts";
import type { Test } from "../support/tap.ts";
import { damageCopies, makeStore } from "./flips.ts";

const DAMAGED = { code: "STORE_DAMAGED" };

/** A server's folder with a few hosts, closed. */
async function made(t: Test): Promise<string> {
  const folder = temporaryFolder(t);
  await using server = await LoneServer.make(folder);
  for (let n = 1; n <= 4; n++) await server.join(n);
  await server.write();
  return folder;
}

/** Does something to the database behind the store's back. */
async function tamper<T>(folder: string, action: (level: Level<string, string>) => Promise<T>) {
  const level = new Level<string, string>(folder);
  try {
    return await action(level);
  } finally {
    await level.close();
  }
}

async function opens(folder: string): Promise<void> {
  const store = await Store.open(folder);
  await store[Symbol.asyncDispose]();
}

function flipped(text: string, at: number): string {
  return text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1);
}

t.test("one flipped bit in any value is found", async (t) => {
  const folder = await made(t);
  const values = await tamper(folder, (level) => level.iterator().all());
  t.ok(values.length > 15);
  for (const [i, [key, value]] of values.entries()) {
    await tamper(folder, (level) => level.put(key, flipped(value, (i * 7) % value.length)));
    await t.rejects(opens(folder), DAMAGED, key);
    await tamper(folder, (level) => level.put(key, value));
  }
  await opens(folder);
});

t.test("a record that is missing is missed", async (t) => {
  const folder = await made(t);
  const values = await tamper(folder, (level) => level.iterator().all());
  for (const [key, value] of values) {
    await tamper(folder, (level) => level.del(key));
    await t.rejects(opens(folder), DAMAGED, key);
    await tamper(folder, (level) => level.put(key, value));
  }
  await opens(folder);
});

t.test("a value under another one's name is found", async (t) => {
  const folder = await made(t);
  await tamper(folder, async (level) => {
    const other = await level.get(KEYS.state("node", "id1"));
    await level.put(KEYS.state("node", "id2"), other!);
  });
  await t.rejects(opens(folder), { ...DAMAGED, why: /the checksum of "state\/node\/id2"/ });
});

t.test("a lost batch that a later one papered over breaks the chain", async (t) => {
  const folder = await made(t);
  await tamper(folder, async (level) => {
    const record = { term: 1, type: "normal", data: '{"v":1}', chain: 12345 };
    await level.put(KEYS.log(4), encodeValue(KEYS.log(4), record));
  });
  await t.rejects(opens(folder), { ...DAMAGED, why: "the log's chain breaks at 4" });
});

t.test("a lost tail is found, whatever is left of it", async (t) => {
  const folder = await made(t);
  await tamper(
    folder,
    (level) => level.batch([5, 6].map((i) => ({ type: "del", key: KEYS.log(i) }))),
  );
  await t.rejects(opens(folder), {
    ...DAMAGED,
    why: "the log ends at 4, it was written up to 6",
  });
});

t.test("records that were changed with a good checksum do not fit the digest", async (t) => {
  const folder = await made(t);
  const key = KEYS.state("deadline", "10.5.2.0/24");
  await tamper(folder, async (level) => {
    const record = JSON.parse((await level.get(key))!.slice(9));
    await level.put(key, encodeValue(key, { ...record, body: { deadlineMs: 1 } }));
  });
  await t.rejects(opens(folder), { ...DAMAGED, why: /digest/ });
});

t.test("a state that is ahead of what was committed is found", async (t) => {
  const folder = await made(t);
  await tamper(folder, async (level) => {
    const hard = JSON.parse((await level.get(KEYS.hard))!.slice(9));
    await level.put(KEYS.hard, encodeValue(KEYS.hard, { ...hard, commit: 4 }));
  });
  await t.rejects(opens(folder), { ...DAMAGED, why: "the state is ahead of what was committed" });
});

t.test("a store of a later format is left alone", async (t) => {
  const folder = await made(t);
  await tamper(folder, async (level) => {
    const format = JSON.parse((await level.get(KEYS.format))!.slice(9));
    await level.put(KEYS.format, encodeValue(KEYS.format, { ...format, schema: 2 }));
  });
  const why = "it has format 2, this program reads 1";
  await t.rejects(opens(folder), { code: "UPGRADE_NEEDED", why });
});

t.test("a flipped bit or a lost end in the files costs at most the very last write", async (t) => {
  const folder = temporaryFolder(t);
  await makeStore(folder);
  const outcomes = await damageCopies(folder, 60, seededRandom(42));
  t.same(outcomes.wrong, []);
  t.same(Object.keys(outcomes.files).sort(), [".ldb", ".log", "CURRENT", "MANIFEST-"]);
  t.ok(outcomes.refused > 20, `${outcomes.refused} of 60 were noticed`);
  t.ok(outcomes.torn < 10, `${outcomes.torn} of 60 look like a write that a crash has torn`);
});
