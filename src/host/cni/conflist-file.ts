import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { makeFolder } from "../files.ts";
import { checkOwn, putOwn, removeOwnFile } from "../own-files.ts";
import type { SubnetFile } from "../subnet-file.ts";
import { CONFLIST_MARK, renderConflist } from "./conflist.ts";

/**
 * The subnet file, and beside it the same for runtimes that speak CNI: written anew, as a whole,
 * whenever subnet or MTU change, and gone when this host has left. A file of somebody else there
 * keeps the daemon from starting: that runtime would use another network than its user believes.
 */
export function withConflist(subnetFile: SubnetFile, path: string): SubnetFile {
  return {
    path: subnetFile.path,
    prepare() {
      checkOwn([{ path, text: "" }], CONFLIST_MARK);
      subnetFile.prepare();
      makeFolder(dirname(path));
    },
    exists: () => subnetFile.exists() && existsSync(path),
    async write(text) {
      await subnetFile.write(text);
      await putOwn([{ path, text: renderConflist(text) }], CONFLIST_MARK);
    },
    async remove() {
      removeOwnFile(path, CONFLIST_MARK);
      await subnetFile.remove();
    },
  };
}
