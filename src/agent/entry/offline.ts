import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Clock, systemClock } from "../../base/clock.ts";
import { DenimError, isDenimError } from "../../base/errors.ts";
import { type Random, systemRandom } from "../../base/random.ts";
import { lockDirectory } from "../../host/lock.ts";
import { openLibc } from "../../kernel/libc.ts";
import { IdentityFolder } from "../../store/identity.ts";
import type { NodeRecord } from "../../store/identity-schema.ts";
import { storeFolder, type StorePlace } from "../../store/place.ts";
import { leaveAsFound, openStateDir } from "./state-dir.ts";

/** A node's files while its daemon is down. */
export interface Offline {
  readonly identity: IdentityFolder;
  readonly place: StorePlace;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Takes a state directory for a command that needs its daemon to be down. `make` makes it where
 * there is none; what was made is gone again where no node came of it.
 *
 * @throws `STORE_LOCKED` while the daemon runs; `NOT_FOUND` where there is no such directory
 */
export async function openOffline(
  stateDir: string,
  { make = false } = {},
): Promise<Offline & Disposable> {
  if (!make && !existsSync(stateDir)) throw inNoCluster(stateDir);
  const found = openStateDir(stateDir);
  const lock = lockOffline(stateDir, await openLibc());
  return {
    identity: new IdentityFolder(join(stateDir, "identity")),
    place: storeFolder(join(stateDir, "store")),
    clock: systemClock(),
    random: systemRandom(),
    [Symbol.dispose]: () => {
      leaveAsFound(found);
      lock[Symbol.dispose]();
    },
  };
}

function lockOffline(stateDir: string, calls: Parameters<typeof lockDirectory>[1]): Disposable {
  try {
    return lockDirectory(stateDir, calls);
  } catch (error) {
    if (!isDenimError(error, "STORE_LOCKED")) throw error;
    throw new DenimError("STORE_LOCKED", "The daemon runs on this host", {
      why: error.why ?? error.message,
      fix: "stop it first: systemctl stop denim. Routes and containers stay as they are",
      cause: error,
    });
  }
}

/** @throws `NOT_FOUND` */
export async function memberHere({ identity }: Offline): Promise<NodeRecord> {
  const record = await identity.read("node");
  if (record === undefined) throw inNoCluster(identity.path);
  return record;
}

function inNoCluster(path: string): DenimError {
  return new DenimError("NOT_FOUND", "This host is in no cluster", {
    why: `there is no node in ${path}`,
    fix: "name the state directory of one that is: --state-dir DIR; or restore a backup here: " +
      "denim restore FILE",
  });
}
