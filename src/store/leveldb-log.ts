import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** LevelDB's log format: records in blocks, each with checksum, length and type (`log_format.h`). */
const BLOCK_BYTES = 32_768;
const HEADER_BYTES = 7;
/** Full, first, middle and last: the types of a record. */
const TYPE_MAX = 4;

/**
 * Looks for synced records that LevelDB would lose without a word. Where a checksum is wrong it
 * drops the rest of the block and goes on (measured: one flipped bit, 26 acknowledged batches);
 * in the newest file that leaves an earlier moment, whole, which nothing inside the store could
 * tell from the truth. A write that a crash has torn is no such loss: nothing follows it.
 *
 * @returns the file and the place, or `undefined` where all is well
 */
export function findLostRecords(folder: string): string | undefined {
  const names = readdirSync(folder).filter((name) => /^(\d+\.log|MANIFEST-\d+)$/.test(name));
  for (const name of names.sort()) {
    const at = lostAt(readFileSync(join(folder, name)));
    if (at !== undefined) return `${name} is damaged at byte ${at}`;
  }
  return undefined;
}

/**
 * Without its head LevelDB takes a folder for a new one: it makes an empty database there and
 * removes what it does not know (`DBImpl::Recover`, `DeleteObsoleteFiles`).
 *
 * @returns what is missing, or `undefined` where all is well
 */
export function findLostHead(folder: string): string | undefined {
  const names = readdirSync(folder);
  const hasTail = names.some((name) => /^(\d+\.(log|ldb)|MANIFEST-\d+)$/.test(name));
  return hasTail && !names.includes("CURRENT") ? "CURRENT is missing" : undefined;
}

/** Where a record is broken although others follow it. */
export function lostAt(file: Uint8Array): number | undefined {
  let at = 0;
  while (at < file.length) {
    const next = nextRecord(file, at);
    if (next === undefined) return hasRecordAfter(file, at) ? at : undefined;
    at = next;
  }
  return undefined;
}

/** The place behind the record, or behind the padding, at `at`; `undefined` where it is broken. */
function nextRecord(file: Uint8Array, at: number): number | undefined {
  const blockEnd = at - at % BLOCK_BYTES + BLOCK_BYTES;
  if (blockEnd - at < HEADER_BYTES) return blockEnd;
  if (isZero(file.subarray(at, at + HEADER_BYTES))) return blockEnd;
  return isRecord(file, at) ? at + HEADER_BYTES + lengthAt(file, at) : undefined;
}

/** Its own length may be what is wrong: every later place is tried. */
function hasRecordAfter(file: Uint8Array, broken: number): boolean {
  for (let at = broken + 1; at + HEADER_BYTES < file.length; at++) {
    if (lengthAt(file, at) > 0 && isRecord(file, at)) return true;
  }
  return false;
}

function isRecord(file: Uint8Array, at: number): boolean {
  const type = file[at + 6] ?? 0;
  const end = at + HEADER_BYTES + lengthAt(file, at);
  const blockEnd = at - at % BLOCK_BYTES + BLOCK_BYTES;
  if (type === 0 || type > TYPE_MAX || end > file.length || end > blockEnd) return false;
  const stored = new DataView(file.buffer, file.byteOffset + at, 4).getUint32(0, true);
  return stored === masked(crc32c(file.subarray(at + 6, end)));
}

function lengthAt(file: Uint8Array, at: number): number {
  return (file[at + 4] ?? 0) | (file[at + 5] ?? 0) << 8;
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** Checksums of data that hold checksums are weak, so LevelDB turns them (`util/crc32c.h`). */
function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** CRC-32C (Castagnoli), which zlib's `crc32` is not. */
export function crc32c(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});
