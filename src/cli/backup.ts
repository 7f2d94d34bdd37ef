import { lstatSync, readFileSync } from "node:fs";
import { DenimError } from "../base/errors.ts";
import type { BackupManifest } from "../store/backup.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";
import { addPassphraseOption, newPassphrase } from "./passphrase.ts";

interface BackupFlags extends ClientFlags {
  readonly withCa?: boolean;
  readonly passphraseFile?: string;
  readonly inspect?: boolean;
}

const FILE_MODE = 0o600;

/** `denim backup FILE`: what the cluster knows as one file, by any of its nodes. */
export const registerBackup: Register = (program, context) => {
  addPassphraseOption(addClientOptions(
    program.command("backup")
      .description("write what the cluster knows into one file")
      .argument("<file>", "where to; only its owner can read it")
      .option("--with-ca", "with the CA key in it, under a passphrase; on a voter or standby")
      .option("--inspect", "only show what a backup has, and prove that it is whole"),
  )).action(async (file: string, flags: BackupFlags) => {
    const { decodeBackup } = await import("../store/backup.ts");
    if (!flags.inspect) {
      refuseSpecial(file);
      const passphrase = flags.withCa
        ? await newPassphrase(context, flags.passphraseFile)
        : undefined;
      const { writeFileAtomic } = await import("../host/files.ts");
      await writeFileAtomic(file, await fetchBackup(flags, passphrase), { mode: FILE_MODE });
    }
    // Read back: what is on the disk counts.
    const { manifest } = decodeBackup(readBackup(file));
    print(context, flags, manifest, (manifest) => renderBackup(file, manifest));
  });
};

/** What is there is replaced: /dev/stdout, say, must not be. @throws `USAGE` */
function refuseSpecial(file: string): void {
  const found = lstatSync(file, { throwIfNoEntry: false });
  if (found === undefined || found.isFile()) return;
  throw new DenimError("USAGE", `${file} is not a file that a backup could replace`, {
    why: found.isDirectory() ? "it is a folder" : "it is a link, a pipe or a device",
    fix: "name a new file: denim backup FILE",
  });
}

/** @throws `USAGE` */
export function readBackup(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new DenimError("USAGE", `Cannot read the backup ${file}`, {
      why: (cause as Error).message,
      cause,
    });
  }
}

export function renderBackup(file: string, manifest: BackupManifest): string {
  const { cluster, time, revision, counts, ca } = manifest;
  const rows = [
    ["file", file],
    ["cluster", `${cluster.name} (${cluster.id}) · epoch ${cluster.epoch.n}`],
    ["made", `${time} · revision ${revision}`],
    [
      "holds",
      `${counts.nodes} nodes, ${counts.leases} leases, ${counts.reservations} reservations`,
    ],
    ["CA key", ca.key === undefined ? "not in it" : "in it, under a passphrase"],
  ] as const;
  return rows.map(([name, text]) => `  ${name.padEnd(10)} ${text}\n`).join("");
}

async function fetchBackup(flags: BackupFlags, passphrase: string | undefined): Promise<string> {
  const client = await clientOf(flags);
  return await client.download("/v1/backup", {
    method: "POST",
    body: JSON.stringify(passphrase === undefined ? {} : { passphrase }),
    headers: { "content-type": "application/json" },
  });
}
