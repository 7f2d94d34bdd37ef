import type { Invocation, Standing } from "../../plan/hook.ts";
import type { IdentityFolder } from "../../store/identity.ts";

/**
 * What programs have added on this host, on disk: a peer that goes while the daemon is down would
 * otherwise never be removed. Only what has a removal is worth a line there.
 */
export class HookRecord {
  readonly #identity: Pick<IdentityFolder, "read" | "write">;
  readonly #standing = new Map<string, Standing>();
  #last: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #onDisk = "[]";

  constructor(identity: Pick<IdentityFolder, "read" | "write">) {
    this.#identity = identity;
  }

  get standing(): ReadonlyMap<string, Standing> {
    return this.#standing;
  }

  /** @throws `STORE_DAMAGED` */
  async load(): Promise<void> {
    const { hooks = [] } = await this.#identity.read("hooks") ?? {};
    for (const { key, own, add, remove } of hooks) {
      this.#standing.set(key, { own, add, remove });
    }
    this.#onDisk = this.#text();
  }

  /** Resolves when it is on disk. @throws what the disk says */
  async keep(key: string, standing: Standing): Promise<void> {
    this.#standing.set(key, standing);
    await this.#save();
  }

  async forget(key: string): Promise<void> {
    this.#standing.delete(key);
    await this.#save();
  }

  async clear(): Promise<void> {
    this.#standing.clear();
    await this.#save();
  }

  /** One write for all that come while another is under way. */
  async #save(): Promise<void> {
    this.#next ??= this.#last.then(async () => {
      this.#next = undefined;
      await this.#write();
    });
    const mine = this.#next;
    this.#last = mine.catch(() => {});
    await mine;
  }

  async #write(): Promise<void> {
    const text = this.#text();
    if (text === this.#onDisk) return;
    await this.#identity.write("hooks", { hooks: this.#lines() });
    this.#onDisk = text;
  }

  #text(): string {
    return JSON.stringify(this.#lines());
  }

  #lines() {
    return [...this.#standing].flatMap(([key, { own, add, remove }]) =>
      remove === undefined ? [] : [{
        ...{ key, own, remove: plain(remove) },
        ...(add === undefined ? {} : { add: plain(add) }),
      }]
    );
  }
}

/** The identity's files take plain arrays. */
function plain({ argv, env, ...rest }: Invocation) {
  return { ...rest, argv: [...argv], env: { ...env } };
}
