import { createHash } from "node:crypto";
import * as v from "valibot";
import { type Canonical, canonical } from "../base/canonical.ts";
import { DenimError, isDenimError } from "../base/errors.ts";
import { requireLevelOf } from "../lease/feature-level.ts";
import type { StateRecord, Table } from "../lease/records.ts";
import { CLOCK_TABLES, REVISIONED_TABLES } from "../lease/records.ts";
import { type AppliedRecord, verifyState } from "./load.ts";
import { sealedSchema } from "./seal.ts";

/**
 * A backup is text: the manifest on the first line, a record on each of the next, and on the last
 * the SHA-256 of all before it. It can be read, and compared, with any tool for lines.
 */
const FORMAT = 1;

const text = v.pipe(v.string(), v.minLength(1));
const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const manifestSchema = v.object({
  denim: v.literal("backup"),
  format: v.literal(FORMAT),
  /** Of the program that wrote it. */
  version: text,
  cluster: v.object({ id: text, name: text, epoch: v.object({ n: whole, random: text }) }),
  /** When it was made, by the clock of the host that was asked. */
  time: text,
  revision: whole,
  counts: v.object({ nodes: whole, leases: whole, reservations: whole, records: whole }),
  applied: v.object({
    ...{ index: whole, term: whole, revision: whole, clockMs: whole },
    ...{ records: whole, digest: text, clockRecords: whole, clockDigest: text },
  }),
  ca: v.object({
    /** PEM. */
    bundle: text,
    /** Only where it was asked for: whoever opens it can let anybody in. */
    key: v.optional(sealedSchema),
  }),
});

export type BackupManifest = v.InferOutput<typeof manifestSchema>;

export interface Backup {
  readonly manifest: BackupManifest;
  readonly records: readonly StateRecord[];
}

/** A server's state at one moment, both sections. */
export interface StateCapture {
  readonly applied: AppliedRecord;
  readonly records: readonly StateRecord[];
}

export function countsOf(records: readonly StateRecord[]): BackupManifest["counts"] {
  const count = (table: Table) => records.filter((record) => record.table === table).length;
  return {
    nodes: count("node"),
    leases: count("lease"),
    reservations: count("reservation"),
    records: records.length,
  };
}

export function encodeBackup({ manifest, records }: Backup): string {
  const lines = [manifest, ...records].map((line) => canonical(line as unknown as Canonical));
  const body = `${lines.join("\n")}\n`;
  return `${body}${canonical({ sha256: sha256(body) })}\n`;
}

/**
 * Reads and proves a backup: the digest of the file, the form of what it says, the digests of the
 * state.
 *
 * @throws `BACKUP_DAMAGED`; `UPGRADE_NEEDED` where a newer program has written it
 */
export function decodeBackup(content: string): Backup {
  const end = content.lastIndexOf("\n", content.length - 2) + 1;
  const body = content.slice(0, end);
  const { sha256: digest } = (parse(content.slice(end)) ?? {}) as { sha256?: unknown };
  const [first = "", ...lines] = body.split("\n").slice(0, -1);
  const head = parse(first) as { denim?: unknown; format?: unknown } | undefined;
  if (head?.denim !== "backup") throw damaged("it is not a backup of Denim");
  if (typeof head.format === "number" && head.format > FORMAT) throw newer(head.format);
  if (digest !== sha256(body)) throw damaged("its digest is wrong: it was cut off or changed");
  const result = v.safeParse(manifestSchema, head);
  if (!result.success) {
    const [issue] = result.issues;
    throw damaged(`${v.getDotPath(issue) ?? "the manifest"}: ${issue.message}`);
  }
  const records = lines.map(parse) as StateRecord[];
  proveState(result.output, records);
  return { manifest: result.output, records };
}

function proveState({ applied }: BackupManifest, records: readonly StateRecord[]): void {
  const tables: readonly Table[] = [...REVISIONED_TABLES, ...CLOCK_TABLES];
  const unknown = records.find((record) => !tables.includes(record?.table));
  if (unknown !== undefined) throw damaged(`it has a record of "${unknown?.table}"`);
  requireLevelOf(records);
  try {
    verifyState(applied, records);
  } catch (error) {
    throw isDenimError(error, "STORE_DAMAGED") ? damaged(error.why ?? error.message) : error;
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function sha256(content: string): string {
  return createHash("sha256").update(content).digest("hex");
}

function damaged(why: string): DenimError {
  return new DenimError("BACKUP_DAMAGED", "This file cannot be used as a backup", {
    why,
    fix: "take another copy of it, or an earlier backup",
  });
}

function newer(format: number): DenimError {
  return new DenimError("UPGRADE_NEEDED", "This program cannot read the backup", {
    why: `it has format ${format}, this program reads ${FORMAT}`,
    fix: "use the version of Denim that wrote it, or a later one",
  });
}
