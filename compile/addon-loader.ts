/** Runs inside the binary: loads a native add-on that the binary carries as an asset. */
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Asked for by name, because this file is also checked by a runtime that does not have it. */
const sea = process.getBuiltinModule("node:sea");
const loaded = new Map<string, unknown>();

/**
 * The system loads a library from a file only, so the asset becomes one, is loaded and is removed
 * at once: the mapping stays. `/run` and `/tmp` are often mounted noexec, so every folder that may
 * do is tried before giving up, and the error names all of them.
 */
export function loadAddon(name: string): unknown {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const failures: string[] = [];
  for (const folder of folders()) {
    try {
      const exports = loadFrom(folder, name);
      loaded.set(name, exports);
      return exports;
    } catch (error) {
      failures.push(`${folder}: ${(error as Error).message}`);
    }
  }
  throw new Error(
    `Cannot load the native part "${name}" from any folder (${failures.join("; ")}). ` +
      "Name one that is mounted without noexec: TMPDIR=/var/lib/denim denim …",
  );
}

/** systemd names the first two; the next two are what they are without it. */
function folders(): string[] {
  const { RUNTIME_DIRECTORY, STATE_DIRECTORY, TMPDIR } = process.env;
  const named = [RUNTIME_DIRECTORY, "/run/denim", STATE_DIRECTORY, "/var/lib/denim", TMPDIR]
    .flatMap((paths) => paths?.split(":") ?? []);
  return [...new Set([...named, tmpdir(), "/dev/shm", "/var/tmp"])].filter((path) => path !== "");
}

function loadFrom(parent: string, name: string): unknown {
  const folder = mkdtempSync(join(parent, ".denim-addon-"));
  try {
    const file = join(folder, `${name}.node`);
    writeFileSync(file, Buffer.from(sea.getRawAsset(name)), { mode: 0o500 });
    const module = { exports: {} };
    process.dlopen(module, file, constants.dlopen.RTLD_LAZY);
    return module.exports;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
