import { DenimError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { StateRecord } from "../../lease/records.ts";
import { theCluster } from "../../lease/state.ts";
import {
  type BackupManifest,
  countsOf,
  encodeBackup,
  type StateCapture,
} from "../../store/backup.ts";
import { Copy } from "../../store/copy.ts";
import type { AppliedRecord } from "../../store/load.ts";
import { seal } from "../../store/seal.ts";
import type { Channel } from "../../transport/channel.ts";
import type { Sink } from "../../transport/handlers.ts";
import { type CaptureItem, KIND, PART_RECORDS } from "../../transport/protocol.ts";

export interface BackupOptions {
  readonly capture: StateCapture;
  /** PEM. */
  readonly caBundle: string;
  readonly caKey: string | undefined;
  /** Opens the CA key; without one the key is not in the backup. */
  readonly passphrase: string | undefined;
  readonly version: string;
  readonly wallMs: number;
  readonly random: Random;
}

/** The text of a backup. @throws `NOT_FOUND` where the CA key is wanted and is not here */
export async function makeBackup(options: BackupOptions): Promise<string> {
  const { capture: { applied, records }, caBundle, version, wallMs } = options;
  const cluster = theCluster(new Copy(applied, records).state)!;
  const key = await sealedKey(options, cluster.clusterId);
  const manifest: BackupManifest = {
    ...{ denim: "backup", format: 1, version },
    cluster: { id: cluster.clusterId, name: cluster.name, epoch: cluster.epoch },
    time: new Date(wallMs).toISOString(),
    ...{ revision: applied.revision, counts: countsOf(records), applied },
    ca: { bundle: caBundle, ...(key === undefined ? {} : { key }) },
  };
  return encodeBackup({ manifest, records });
}

async function sealedKey({ passphrase, caKey, random }: BackupOptions, clusterId: string) {
  if (passphrase === undefined) return undefined;
  if (caKey !== undefined) return await seal(caKey, passphrase, clusterId, random);
  throw new DenimError("NOT_FOUND", "This host does not have the CA key", {
    why: "voters and standbys have it, and it is sent to nobody else",
    fix: "make the backup on one of them: denim node list names them",
  });
}

/** A server's state for an agent, in parts. It has no secret: of tokens, only hashes are kept. */
export async function sendCapture({ applied, records }: StateCapture, sink: Sink): Promise<void> {
  for (let at = 0; at < records.length; at += PART_RECORDS) {
    const part: CaptureItem = { records: records.slice(at, at + PART_RECORDS) };
    if (!sink.send(part) || !await sink.room()) return;
  }
  sink.send({ records: [], applied } satisfies CaptureItem);
}

/** The same on the side that asked. @throws `CONNECTION_LOST` */
export async function fetchCapture(channel: Channel): Promise<StateCapture> {
  const records: StateRecord[] = [];
  for await (const item of channel.open(KIND.capture, {})) {
    const part = item as CaptureItem;
    records.push(...part.records);
    if (part.applied !== undefined) return { applied: part.applied as AppliedRecord, records };
  }
  throw new DenimError("CONNECTION_LOST", "The server hung up in the middle of the backup", {
    fix: "try again",
  });
}
