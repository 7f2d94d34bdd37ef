import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import type { LabNames } from "../lab/leftovers.ts";

/** A folder of its own for this run, and names that say whose they are. */
export function makeNames(): LabNames {
  return namesIn(mkdtempSync(join(shortTmp(), `denim-demo-${process.pid}-`)));
}

/** The names that go with a folder which {@link makeNames} has made. */
export function namesIn(folder: string): LabNames {
  return { folder, prefix: basename(folder).replace(/[^-]*$/, "") };
}

/** The first host's read-only API. */
export function readSocketIn(folder: string): string {
  return join(folder, "a", "read.sock");
}

/** From inside of a user namespace to the port that is outside of it. */
export function outsideSocketIn(folder: string): string {
  return join(folder, "outside.sock");
}

/** The path of a unix socket has at most 107 bytes; and what is below /run is hidden inside. */
function shortTmp(): string {
  const folder = tmpdir();
  return folder.length > 40 || folder.startsWith("/run/") ? "/tmp" : folder;
}
