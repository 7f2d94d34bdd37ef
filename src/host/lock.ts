import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { DenimError } from "../base/errors.ts";
import { fileError } from "./files.ts";

/** The system calls that a lock needs; the libc binding has them. */
export interface LockCalls {
  open(path: string, flags: number, mode: number): number;
  flock(fd: number, operation: number): number;
  close(fd: number): number;
  errno(): number;
}

/** `asm-generic/fcntl.h`: read and write, create, closed in children. */
const O_RDWR_CREAT_CLOEXEC = 0o2 | 0o100 | 0o2000000;

/** `sys/file.h`: exclusive, without waiting. */
const LOCK_EX_NB = 2 | 4;

/** `asm-generic/errno-base.h` */
const EINTR = 4;
const EWOULDBLOCK = 11;

/** Held until it is disposed of, or the process is gone: the kernel lets go by itself. */
export type DirectoryLock = Disposable;

/**
 * Takes a directory for this process alone. The file that is locked stays behind, and says who had
 * it last.
 *
 * @throws `STORE_LOCKED` when another process has it
 */
export function lockDirectory(directory: string, calls: LockCalls): DirectoryLock {
  const path = join(directory, "lock");
  const fd = calls.open(path, O_RDWR_CREAT_CLOEXEC, 0o600);
  if (fd < 0) throw cannotLock(path, `errno ${calls.errno()}`);
  let errno = 0;
  do {
    errno = calls.flock(fd, LOCK_EX_NB) === 0 ? 0 : calls.errno();
  } while (errno === EINTR);
  if (errno !== 0) {
    calls.close(fd);
    throw errno === EWOULDBLOCK
      ? heldByAnother(directory, path)
      : cannotLock(path, `errno ${errno}`);
  }
  try {
    writeFileSync(path, `${process.pid}\n`);
  } catch (error) {
    calls.close(fd);
    throw fileError(error, `Cannot write "${path}"`);
  }
  return { [Symbol.dispose]: () => void calls.close(fd) };
}

function heldByAnother(directory: string, path: string): DenimError {
  const pid = readFileSync(path, "utf8").trim();
  const holder = /^[0-9]+$/.test(pid) ? ` (pid ${pid})` : "";
  return new DenimError("STORE_LOCKED", `Cannot use "${directory}": it is in use`, {
    why: `another daemon${holder} has locked it`,
    fix: "stop that one first, or give this one a data directory of its own",
  });
}

function cannotLock(path: string, why: string): DenimError {
  return new DenimError("PERMISSION_DENIED", `Cannot lock "${path}"`, {
    why,
    fix: "check that the directory exists and can be written by this user",
  });
}
