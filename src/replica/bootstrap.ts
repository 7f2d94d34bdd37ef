import { assert, DenimError } from "../base/errors.ts";
import { type CommandOf, encodeEntry, type JoinAnswer, type Stamp } from "../lease/command.ts";
import { Copy } from "../store/copy.ts";
import { Chain, NO_TRIM } from "../store/log.ts";
import type { Store } from "../store/store.ts";

const FIRST = { index: 1, term: 1 };

/**
 * Makes a cluster of one: its first entry is applied here, and the result is stored in one batch as
 * if a snapshot had come. A crash leaves either nothing or a whole cluster. The store has to be
 * opened again before a replica works with it.
 *
 * @throws what `cluster.init` refuses
 */
export async function bootstrap(
  store: Store,
  stamp: Stamp,
  command: CommandOf<"cluster.init">,
): Promise<JoinAnswer> {
  assert(store.loaded.applied === undefined, "a cluster is made in an empty store");
  const copy = new Copy(undefined, []);
  const answer = copy.apply(FIRST.index, FIRST.term, { stamp, command });
  if (!answer.ok) throw DenimError.fromJSON(answer.error);
  const data = encodeEntry(stamp, command);
  await store.install({
    format: {
      schema: 1,
      clusterId: command.clusterId,
      epoch: command.epoch,
      storeId: command.node.storeId,
      raftId: 1,
    },
    applied: copy.applied(),
    records: copy.records(),
    log: {
      chain: new Chain(NO_TRIM).append({ ...FIRST, type: "normal", data }),
      hardState: { term: FIRST.term, vote: 0, commit: FIRST.index },
    },
  });
  return answer.value as JoinAnswer;
}
