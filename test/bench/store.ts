/**
 * What the consensus and the store add to a synced write: commands through a Raft of one, with the
 * real driver over the real store, against LevelDB that is given as many values of the same size.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Level } from "level";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/log.ts";
import { seededRandom } from "../../src/base/random.ts";
import type { Command } from "../../src/lease/command.ts";
import { bootstrap } from "../../src/replica/bootstrap.ts";
import { PROFILES, Replica } from "../../src/replica/replica.ts";
import { Copy } from "../../src/store/copy.ts";
import { KEYS } from "../../src/store/keys.ts";
import { Store } from "../../src/store/store.ts";
import { initCommand } from "../support/ledger.ts";
import { type BenchResult, benchResult, benchRow, median } from "./result.ts";

const GOAL = 0.7;
const clock = systemClock();

export async function run(options: { tiny: boolean }): Promise<BenchResult> {
  const [sizes, rounds, partMs] = options.tiny ? [[16], 3, 100] : [[16, 64, 256], 45, 100];
  const folder = mkdtempSync(join(tmpdir(), "denim-bench-"));
  try {
    await using raw = await RawValues.open(join(folder, "raw"));
    await using group = await GroupOfOne.open(join(folder, "store"));
    const rows = [];
    for (const size of sizes) {
      const [ours, theirs]: [number[], number[]] = [[], []];
      for (let round = -1; round < rounds; round++) {
        const [denim, peer] = [await rate(group, size, partMs), await rate(raw, size, partMs)];
        if (round < 0) continue;
        ours.push(denim);
        theirs.push(peer);
      }
      rows.push(benchRow(
        `entries in batches of ${size}, committed and applied, against raw synced batches`,
        { denim: median(ours), peer: median(theirs), unit: "/s" },
        GOAL,
      ));
    }
    return benchResult("store", rows);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Something that takes so many values at once, and says when they are on disk. */
interface Taker {
  take(size: number): Promise<unknown>;
}

async function rate(taker: Taker, size: number, durationMs: number): Promise<number> {
  const startedMs = performance.now();
  let count = 0;
  while (performance.now() - startedMs < durationMs) {
    await taker.take(size);
    count += size;
  }
  return count / (performance.now() - startedMs) * 1_000;
}

/** A founder's own lease, renewed: the write that a cluster has most of. */
class GroupOfOne implements Taker, AsyncDisposable {
  readonly #store: Store;
  readonly #replica: Replica;
  readonly #command: Command;

  private constructor(store: Store, replica: Replica, command: Command) {
    this.#store = store;
    this.#replica = replica;
    this.#command = command;
  }

  static async open(path: string): Promise<GroupOfOne> {
    const stamp = { elapsedMs: 0, wallMs: 0 };
    const fresh = await Store.open(path);
    const { nodeId, lease: { subnets } } = await bootstrap(fresh, stamp, initCommand());
    await fresh[Symbol.asyncDispose]();
    const store = await Store.open(path);
    const replica = new Replica({
      raftId: 1,
      profile: PROFILES.lan,
      ...{ store, copy: new Copy(store.loaded.applied, store.loaded.records), clock },
      ...{ peers: NO_PEERS, random: seededRandom(1), logger: silentLogger },
      onFailed: (error) => {
        throw error;
      },
    });
    const command: Command = { kind: "lease.renew", node: nodeId, subnets };
    await replica.propose(command);
    return new GroupOfOne(store, replica, command);
  }

  async take(size: number): Promise<unknown> {
    return await Promise.all(
      Array.from({ length: size }, () => this.#replica.propose(this.#command)),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#replica[Symbol.asyncDispose]();
    await this.#store[Symbol.asyncDispose]();
  }
}

const NO_PEERS = {
  send: () => {},
  sendSnapshot: () => Promise.resolve(false),
  forward: () => Promise.reject(new Error("there is nobody else")),
};

/** As long as the log's record of a renewal. */
const VALUE = "x".repeat(230);

class RawValues implements Taker, AsyncDisposable {
  readonly #level: Level<string, string>;
  #index = 0;

  private constructor(level: Level<string, string>) {
    this.#level = level;
  }

  static async open(path: string): Promise<RawValues> {
    const level = new Level<string, string>(path);
    await level.open();
    return new RawValues(level);
  }

  async take(size: number): Promise<unknown> {
    const operations = Array.from({ length: size }, () => ({
      type: "put" as const,
      ...{ key: KEYS.log(++this.#index), value: VALUE },
    }));
    return await this.#level.batch(operations, { sync: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#level.close();
  }
}
