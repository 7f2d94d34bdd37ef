import { assert, DenimError } from "../base/errors.ts";
import {
  type CommandOf,
  decodeEntry,
  encodeEntry,
  type RestoredPlace,
  type Stamp,
} from "../lease/command.ts";
import type { HoldBody } from "../lease/records.ts";
import { theCluster, theGroup } from "../lease/state.ts";
import { type Change, changed, type Entry } from "../raft/mod.ts";
import type { StateCapture } from "../store/backup.ts";
import { Copy } from "../store/copy.ts";
import type { StoreFormat } from "../store/load.ts";
import { Chain, NO_TRIM, type TrimRecord } from "../store/log.ts";
import type { Store } from "../store/store.ts";

/** What others have seen of the lost history has smaller revisions (etcd's `--bump-revision`). */
const INDEX_STEP = 1_000_000_000;

/** What one server has, with everything in its log, and where that ends. */
export interface Remains {
  readonly copy: Copy;
  readonly last: TrimRecord;
  /** When its last entry was proposed; `undefined` where no entry is retained. */
  readonly lastWallMs: number | undefined;
}

/** `undefined` where the store is none of a server that holds the log. */
export function remainsIn(store: Store): Remains | undefined {
  const { format, applied, records, hardState, entries, trim } = store.loaded;
  const copy = new Copy(applied, records);
  const holdsLog = format?.raftId !== undefined && hardState !== undefined && copy.term > 0;
  if (!holdsLog) return undefined;
  for (const entry of entries) if (entry.index > copy.index) applyLate(copy, entry);
  const said = entries.findLast(({ type, data }) => type === "normal" && data !== "");
  return {
    copy,
    last: store.placeAt(entries.at(-1)?.index ?? trim.index)!,
    lastWallMs: said && decodeEntry(said.data).stamp.wallMs,
  };
}

/**
 * Makes a new epoch of what one server has, for a cluster whose majority is gone for good: this
 * server alone, on hold. Everything in its log counts, also what was not known to be committed: it
 * may have been. The result is stored in one batch as if a snapshot had come; a crash leaves the
 * old history or the new one. The store has to be opened again before a replica works with it.
 *
 * @throws what `cluster.reform` refuses; `NOT_A_MEMBER` where the store holds no log of that node
 */
export async function reform(
  store: Store,
  stamp: Stamp,
  command: CommandOf<"cluster.reform">,
): Promise<HoldBody> {
  const remains = remainsIn(store);
  const { format, hardState } = store.loaded;
  // Not by the raft id: the log may end with this server's own farewell, which gave it another.
  const owner = remains?.copy.state.get("node", command.node)?.body;
  if (remains === undefined || format === undefined || owner?.storeId !== format.storeId) {
    throw notItsLog(command.node);
  }
  const { copy, last } = remains;
  return await goOn(store, { copy, last, format, term: hardState!.term }, stamp, command);
}

/**
 * The same from a backup, in an empty store. That one is new, and so is the raft id: the old one
 * may have voted for what the backup lacks.
 *
 * @throws what `cluster.reform` refuses
 */
export async function restore(
  store: Store,
  { applied, records }: StateCapture,
  stamp: Stamp,
  command: CommandOf<"cluster.reform"> & { readonly place: RestoredPlace },
): Promise<HoldBody> {
  assert(store.loaded.applied === undefined, "a backup is restored into an empty store");
  const copy = new Copy(applied, records);
  const { clusterId, epoch } = theCluster(copy.state)!;
  const { storeId } = command.place;
  const last = { index: applied.index, term: applied.term, chain: NO_TRIM.chain };
  const format = { schema: 1, clusterId, epoch, storeId } as const;
  return await goOn(store, { copy, last, format, term: applied.term }, stamp, command);
}

interface Past {
  readonly copy: Copy;
  /** How the log ends that the state comes from. */
  readonly last: TrimRecord;
  /** The greatest that is known. */
  readonly term: number;
  readonly format: StoreFormat;
}

/** The first entry of a new epoch, far ahead of the past, and what it makes of that. */
async function goOn(
  store: Store,
  { copy, last, term: before, format }: Past,
  stamp: Stamp,
  command: CommandOf<"cluster.reform">,
): Promise<HoldBody> {
  const [index, term] = [last.index + INDEX_STEP, before + 1];
  const answer = copy.apply(index, term, { stamp, command });
  if (!answer.ok) throw DenimError.fromJSON(answer.error);
  const data = encodeEntry(stamp, command);
  const { raftId } = copy.state.get("node", command.node)!.body;
  await store.install({
    format: { ...format, epoch: theCluster(copy.state)!.epoch, raftId: raftId! },
    applied: copy.applied(),
    records: copy.records(),
    log: {
      chain: new Chain({ ...last, index: index - 1 }).append({ index, term, type: "normal", data }),
      hardState: { term, vote: 0, commit: index },
    },
  });
  return answer.value as unknown as HoldBody;
}

/** Also what changed the group, though that will be a new one: nobody leaves who is in it. */
function applyLate(copy: Copy, { index, term, type, data }: Entry): void {
  if (type === "change") {
    const group = theGroup(copy.state);
    copy.applyGroup(index, term, changed(group, JSON.parse(data) as Change) ?? group);
  } else if (data === "") copy.pass(index, term);
  else copy.apply(index, term, decodeEntry(data));
}

function notItsLog(node: string): DenimError {
  return new DenimError("NOT_A_MEMBER", `This store does not hold the log of ${node}`, {
    why: "it is an agent's, or another node's",
    fix: "go on from a host that was a voter or a standby, or from a backup: denim restore FILE",
  });
}
