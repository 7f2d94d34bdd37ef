import { type Backup, countsOf, encodeBackup } from "../../src/store/backup.ts";
import { Copy } from "../../src/store/copy.ts";
import { EPOCH, Ledger } from "./ledger.ts";

/** Three hosts, as a server has them. */
export function backup(): Backup {
  const ledger = Ledger.open();
  for (const n of [1, 2]) ledger.join(n);
  const { state, index } = ledger;
  const records = [...state.records("revisioned"), ...state.records("clock")];
  const at = { index, term: 1, revision: state.revision, clockMs: state.clockMs };
  const none = { records: 0, digest: "", clockRecords: 0, clockDigest: "" };
  const applied = new Copy({ ...at, ...none }, records).applied();
  return {
    manifest: {
      ...{ denim: "backup", format: 1, version: "0.1.0", time: "2026-01-02T03:04:05.000Z" },
      cluster: { id: "c1", name: "test", epoch: EPOCH },
      ...{ revision: state.revision, counts: countsOf(records), applied },
      ca: { bundle: "PEM" },
    },
    records,
  };
}

export function backupText(): string {
  return encodeBackup(backup());
}
