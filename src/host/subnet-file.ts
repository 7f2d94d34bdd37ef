import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { makeFolder, writeFileAtomic } from "./files.ts";

/** Where container runtimes look for this host's subnet. Drivers: a file, and one in memory. */
export interface SubnetFile {
  /** For messages: where it is. */
  readonly path: string;
  /** Makes the folder that it will be in. @throws `PERMISSION_DENIED` `STORE_FAILED` */
  prepare(): void;
  exists(): boolean;
  /** On disk, whole, when it resolves. @throws `PERMISSION_DENIED` `STORE_FAILED` */
  write(text: string): Promise<void>;
  /** Fine when there is none. */
  remove(): Promise<void>;
}

/** Container runtimes of any user read it. */
const FILE_MODE = 0o644;

export function subnetFileAt(path: string): SubnetFile {
  return {
    path,
    prepare: () => makeFolder(dirname(path)),
    exists: () => existsSync(path),
    write: (text) => writeFileAtomic(path, text, { mode: FILE_MODE }),
    remove: () => rm(path, { force: true }),
  };
}
