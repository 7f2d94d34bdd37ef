import { formatSubject } from "../plan/subject.ts";
import type { Change, KernelForwarding, KernelNeighbour } from "../plan/kernel.ts";
import type { ForwardingEntry, Neighbour } from "../plan/wanted.ts";

type Entry = KernelNeighbour | KernelForwarding;

const FAILURES = {
  exists: "EEXIST: File exists",
  missing: "ENOENT: No such file or directory",
} as const;

/** Neighbours and forwarding entries of a kernel in memory, one for each address and MAC address. */
export class MemoryEntries {
  readonly #byKey = new Map<string, Entry>();

  get neighbours(): KernelNeighbour[] {
    return [...this.#byKey.values()].filter((entry) => entry.kind === "neighbour");
  }

  get forwarding(): KernelForwarding[] {
    return [...this.#byKey.values()].filter((entry) => entry.kind === "forwarding");
  }

  /** By whatever means, in the place of one that is there. */
  put(entry: Entry): void {
    this.#byKey.set(formatSubject(entry), entry);
  }

  drop(entry: Neighbour | ForwardingEntry): void {
    this.#byKey.delete(formatSubject(entry));
  }

  dropAllOf(device: string): void {
    for (const [key, entry] of this.#byKey) if (entry.device === device) this.#byKey.delete(key);
  }

  apply(kind: Change["kind"], item: Neighbour | ForwardingEntry): string | undefined {
    const key = formatSubject(item);
    const isThere = this.#byKey.has(key);
    if (kind === "remove") {
      this.#byKey.delete(key);
      return isThere ? undefined : FAILURES.missing;
    }
    if (kind === "add" && isThere) return FAILURES.exists;
    this.put(
      item.kind === "neighbour" ? { ...item, permanent: true } : {
        ...item,
        ...{ permanent: true, plain: true },
      },
    );
    return undefined;
  }
}
