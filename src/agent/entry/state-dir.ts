import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DenimError } from "../../base/errors.ts";

/** What was there before the daemon touched anything: to be compared with when it ends. */
export interface StateDir {
  readonly path: string;
  /** Names in the directory, and in its `identity`; `undefined` where there was none. */
  readonly names: readonly string[] | undefined;
  readonly identityNames: readonly string[] | undefined;
}

/** Looks, then makes the directory where it is missing. @throws `PERMISSION_DENIED` */
export function openStateDir(path: string): StateDir {
  try {
    const found = { path, names: namesIn(path), identityNames: namesIn(join(path, "identity")) };
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return found;
  } catch (cause) {
    throw new DenimError("PERMISSION_DENIED", `Cannot make ${path}`, {
      why: (cause as Error).message,
      fix: "run as root, or name another directory: --state-dir DIR",
      cause,
    });
  }
}

/**
 * After a start that gave this host no identity: what this daemon made is gone, and nothing else
 * is. A key stays where a join has no clear answer yet, so that it can be repeated at no cost.
 */
export function leaveAsFound({ path, names, identityNames }: StateDir): void {
  const identity = join(path, "identity");
  if (existsSync(join(identity, "node.json"))) return;
  if (names?.includes("store") !== true) remove(join(path, "store"));
  if (existsSync(join(identity, "key.pem")) && !identityNames?.includes("key.pem")) return;
  for (const name of namesIn(identity) ?? []) {
    if (!identityNames?.includes(name)) remove(join(identity, name));
  }
  if (identityNames === undefined) remove(identity);
  if (names === undefined) remove(path);
  else if (!names.includes("lock")) remove(join(path, "lock"));
}

/** After a farewell: what daemons made is gone, also what was there before; the lock is held. */
export function leaveNothing({ path, names }: StateDir): void {
  for (const name of ["identity", "store", "ballast"]) remove(join(path, name));
  if (names === undefined) remove(path);
}

function namesIn(folder: string): string[] | undefined {
  return existsSync(folder) ? readdirSync(folder) : undefined;
}

function remove(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
