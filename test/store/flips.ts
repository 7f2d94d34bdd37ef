/**
 * Bits are flipped and files are cut in a server's real store, one at a time:
 *
 *   node test/store/flips.ts [--count 1000] [--seed 42]
 *
 * Whatever is opened afterwards is refused or right, with one exception: a log file whose end is gone
 * is the store of an earlier moment, whole, and nothing in it can say so.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { Level } from "level";
import { isDenimError } from "../../src/base/errors.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { Store } from "../../src/store/store.ts";
import { LoneServer } from "../support/lone-server.ts";

/** What became of so many damaged copies. */
export interface Outcomes {
  /** Not opened: `STORE_DAMAGED` or `STORE_FAILED`. */
  refused: number;
  /** Opened with everything in it: the bit was in no record. */
  whole: number;
  /** Opened without the very last write, as after a crash that has torn it. */
  torn: number;
  /** Opened as of an earlier moment, after a file had lost its end. */
  earlier: number;
  /** Opened with anything else. */
  readonly wrong: string[];
  /** By kind of file: how many were damaged. */
  readonly files: Record<string, number>;
}

/** LevelDB can; the package that hides it from browsers does not say so. */
interface Compactable {
  compactRange(from: string, to: string): Promise<void>;
}

/** A server's folder with tables and a log, closed. */
export async function makeStore(folder: string): Promise<void> {
  {
    await using server = await LoneServer.make(folder);
    for (let n = 1; n <= 12; n++) await server.join(n);
    await server.write();
  }
  const level = new Level<string, string>(folder);
  // What stands until here goes into a table; what follows stays in the log.
  await (level as unknown as Compactable).compactRange("\0", "\xff");
  await level.close();
  await using server = await LoneServer.open(folder);
  for (let n = 13; n <= 16; n++) {
    await server.join(n);
    await server.write();
  }
}

/** Damages `count` copies of the folder, each in one place. */
export async function damageCopies(
  folder: string,
  count: number,
  random: Random,
): Promise<Outcomes> {
  const outcomes: Outcomes = { refused: 0, whole: 0, torn: 0, earlier: 0, wrong: [], files: {} };
  const scratch = mkdtempSync(join(tmpdir(), "denim-flips-"));
  try {
    // Opening a store moves its log into a table: what is damaged has not been opened.
    cpSync(folder, join(scratch, "whole"), { recursive: true });
    const whole = await contentOf(join(scratch, "whole"));
    for (let i = 0; i < count; i++) {
      const copy = join(scratch, String(i));
      cpSync(folder, copy, { recursive: true });
      const where = damage(copy, random);
      const kind = where.split(" ")[0]!.replace(/\d+/g, "");
      outcomes.files[kind] = (outcomes.files[kind] ?? 0) + 1;
      await judge(copy, whole, outcomes, where);
      rmSync(copy, { recursive: true });
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return outcomes;
}

/** One flipped bit, or now and then a lost end. Says where. */
function damage(folder: string, random: Random): string {
  const names = readdirSync(folder).filter((name) => /\.(log|ldb)$|^MANIFEST|^CURRENT$/.test(name))
    .filter((name) => readFileSync(join(folder, name)).length > 0);
  const name = names[random.below(names.length)]!;
  const path = join(folder, name);
  const bytes = readFileSync(path);
  const at = random.below(bytes.length);
  if (random.below(10) === 0) {
    writeFileSync(path, bytes.subarray(0, at));
    return `${name} cut at ${at}`;
  }
  bytes[at] = bytes[at]! ^ (1 << random.below(8));
  writeFileSync(path, bytes);
  return `${name} bit in byte ${at}`;
}

interface Content {
  readonly entries: readonly string[];
  readonly applied: string;
}

async function contentOf(folder: string): Promise<Content> {
  await using store = await Store.open(folder);
  const { entries, applied } = store.loaded;
  return {
    entries: entries.map((entry) => JSON.stringify(entry)),
    applied: JSON.stringify(applied),
  };
}

async function judge(
  copy: string,
  whole: Content,
  outcomes: Outcomes,
  where: string,
): Promise<void> {
  try {
    const { entries, applied } = await contentOf(copy);
    const same = entries.every((entry, i) => entry === whole.entries[i]);
    const missing = whole.entries.length - entries.length;
    if (same && missing === 0 && applied === whole.applied) outcomes.whole++;
    else if (same && missing >= 0 && missing <= 1) outcomes.torn++;
    else if (same && missing > 0 && where.includes("cut")) outcomes.earlier++;
    else outcomes.wrong.push(`${where}: ${entries.length} of ${whole.entries.length} entries`);
  } catch (error) {
    if (isDenimError(error, "STORE_DAMAGED", "STORE_FAILED")) outcomes.refused++;
    else outcomes.wrong.push(`${where}: ${error}`);
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      count: { type: "string", default: "1000" },
      seed: { type: "string", default: "42" },
    },
  });
  const folder = mkdtempSync(join(tmpdir(), "denim-flips-store-"));
  try {
    await makeStore(folder);
    const outcomes = await damageCopies(
      folder,
      Number(values.count),
      seededRandom(Number(values.seed)),
    );
    console.log(outcomes);
    process.exitCode = outcomes.wrong.length > 0 ? 1 : 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
