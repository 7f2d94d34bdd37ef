import { DenimError } from "../base/errors.ts";
import { type CommandOf, decodeEntry, encodeEntry, type Stamp } from "../lease/command.ts";
import type { HoldBody } from "../lease/records.ts";
import { theCluster } from "../lease/state.ts";
import type { Entry } from "../raft/mod.ts";
import { Copy } from "../store/copy.ts";
import { Chain } from "../store/log.ts";
import type { Store } from "../store/store.ts";

/** What others have seen of the lost history has smaller revisions (etcd's `--bump-revision`). */
const INDEX_STEP = 1_000_000_000;

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
  const { format, applied, records, hardState, entries, trim } = store.loaded;
  const copy = new Copy(applied, records);
  const raftId = copy.state.get("node", command.node)?.body.raftId;
  const isServer = format !== undefined && hardState !== undefined && copy.term > 0;
  if (!isServer || raftId === undefined || raftId !== format.raftId) throw notItsLog(command.node);
  for (const entry of entries) if (entry.index > copy.index) applyLate(copy, entry);
  const last = store.placeAt(entries.at(-1)?.index ?? trim.index)!;
  const [index, term] = [last.index + INDEX_STEP, hardState.term + 1];
  const answer = copy.apply(index, term, { stamp, command });
  if (!answer.ok) throw DenimError.fromJSON(answer.error);
  const data = encodeEntry(stamp, command);
  await store.install({
    format: { ...format, epoch: theCluster(copy.state)!.epoch },
    applied: copy.applied(),
    records: copy.records(),
    log: {
      chain: new Chain({ ...last, index: index - 1 }).append({ index, term, type: "normal", data }),
      hardState: { term, vote: 0, commit: index },
    },
  });
  return answer.value as unknown as HoldBody;
}

/** The group is a new one: how the old one was changed last does not matter. */
function applyLate(copy: Copy, { index, term, type, data }: Entry): void {
  if (type === "normal" && data !== "") copy.apply(index, term, decodeEntry(data));
  else copy.pass(index, term);
}

function notItsLog(node: string): DenimError {
  return new DenimError("NOT_A_MEMBER", `This store does not hold the log of ${node}`, {
    why: "it is an agent's, or another node's",
    fix: "use the state directory of a host that was a server",
  });
}
