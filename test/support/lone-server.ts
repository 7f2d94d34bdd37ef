import type { Answer, Command } from "../../src/lease/command.ts";
import { encodeEntry, type JoinAnswer } from "../../src/lease/command.ts";
import { bootstrap } from "../../src/replica/bootstrap.ts";
import { Copy } from "../../src/store/copy.ts";
import type { Entry } from "../../src/raft/mod.ts";
import { Store, type Write } from "../../src/store/store.ts";
import { initCommand, joiner, OPEN_TOKEN, WALL_MS } from "./ledger.ts";

const STAMP = { elapsedMs: 1, wallMs: WALL_MS };

/** A store used as a server of a group of one uses it, without the group: one entry per write. */
export class LoneServer implements AsyncDisposable {
  readonly store: Store;
  readonly copy: Copy;
  readonly folder: string;
  index: number;
  term: number;

  private constructor(folder: string, store: Store) {
    const { applied, records, hardState } = store.loaded;
    this.folder = folder;
    this.store = store;
    this.copy = new Copy(applied, records);
    this.index = hardState!.commit;
    this.term = hardState!.term;
  }

  /** A new cluster in an empty folder. */
  static async make(folder: string): Promise<LoneServer> {
    const store = await Store.open(folder);
    await bootstrap(store, STAMP, initCommand());
    await store[Symbol.asyncDispose]();
    const server = await LoneServer.open(folder);
    await server.enter(OPEN_TOKEN);
    return server;
  }

  static async open(folder: string): Promise<LoneServer> {
    const server = new LoneServer(folder, await Store.open(folder));
    // Committed, but not in the state yet when it went down.
    for (const entry of server.store.loaded.entries) {
      if (entry.index > server.copy.index) server.#apply(entry);
    }
    return server;
  }

  entry(command: Command, index = this.index + 1): Entry {
    return { index, term: this.term, type: "normal", data: encodeEntry(STAMP, command) };
  }

  /** Log first, then the state; the state reaches the disk with the next write. */
  async enter(command: Command, write: Write = {}): Promise<Answer> {
    const entry = this.entry(command);
    this.index = entry.index;
    await this.write({ entries: [entry], ...write });
    return this.#apply(entry);
  }

  async join(n: number): Promise<JoinAnswer> {
    const answer = await this.enter({ kind: "node.join", tokenId: "open", node: joiner(n) });
    if (!answer.ok) throw new Error(answer.error.message);
    return answer.value as JoinAnswer;
  }

  async write(write: Write = {}): Promise<void> {
    await this.store.write({
      hardState: { term: this.term, vote: 1, commit: this.index },
      ...(this.copy.dirty ? { state: this.copy.takeUnwritten() } : {}),
      ...write,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
  }

  #apply({ index, term, data }: Entry): Answer {
    const { at, do: command } = JSON.parse(data) as { at: typeof STAMP; do: Command };
    return this.copy.apply(index, term, { stamp: at, command });
  }
}
