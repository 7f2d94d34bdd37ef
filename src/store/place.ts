import { existsSync } from "node:fs";
import { rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDenimError } from "../base/errors.ts";
import { Ballast, type Room, roomAt } from "./ballast.ts";
import { diskFiles, fileError, syncFolder } from "./files.ts";
import { Store } from "./store.ts";

/**
 * Where a node has its store: the port through which it is opened, put out of the way when it is
 * not to be believed, and kept from running out of room. Drivers: `storeFolder`, and the
 * simulator's disk.
 */
export interface StorePlace {
  /** For messages. */
  readonly path: string;
  /**
   * On a full disk it uses up the ballast.
   *
   * @throws `STORE_LOCKED` `PERMISSION_DENIED` `STORE_DAMAGED` `STORE_FAILED` `DISK_FULL`
   * `UPGRADE_NEEDED`
   */
  open(): Promise<Store>;
  /**
   * Moves what is there aside, whole, for somebody to look at. No store may be open.
   *
   * @returns where it is now; `undefined` where there was nothing
   */
  setAside(wallMs: number): Promise<string | undefined>;
  /** What was set aside is the store again, and what has taken its place is gone. */
  putBack(aside: string | undefined): Promise<void>;
  /** @throws `STORE_FAILED` */
  room(): Promise<Room>;
  /** 0 where there is none. */
  ballastBytes(): Promise<number>;
  /** Replaces the ballast. @throws `DISK_FULL` `PERMISSION_DENIED` `STORE_FAILED` */
  makeBallast(sizeBytes: number): Promise<void>;
}

/**
 * A folder on the disk. What is set aside stays beside it, under its name and the time, and so does
 * the ballast.
 */
export function storeFolder(path: string): StorePlace {
  const parent = dirname(path);
  const ballast = new Ballast(join(parent, "ballast"));
  return {
    path,
    open: () => openWithRoom(path, ballast),
    setAside: async (wallMs) => {
      if (!existsSync(path)) return undefined;
      const aside = freeName(`${path}.aside-${timeName(wallMs)}`);
      await move(path, aside);
      return aside;
    },
    putBack: async (aside) => {
      await diskFiles.remove(path);
      if (aside !== undefined) await move(aside, path);
    },
    room: () => roomAt(parent),
    ballastBytes: () => ballast.sizeBytes(),
    makeBallast: (sizeBytes) => ballast.make(sizeBytes),
  };
}

/**
 * An opened store that cannot take the first record is of no use: so the ballast goes where there
 * is less room than it takes up, and where the disk says that it is full for any other reason.
 */
async function openWithRoom(path: string, ballast: Ballast): Promise<Store> {
  const sizeBytes = await ballast.sizeBytes();
  if (sizeBytes > 0 && (await roomAt(dirname(path))).freeBytes < sizeBytes) await ballast.drop();
  try {
    return await Store.open(path);
  } catch (error) {
    if (!isDenimError(error, "DISK_FULL") || !await ballast.drop()) throw error;
    return await Store.open(path);
  }
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
    await syncFolder(dirname(to));
  } catch (error) {
    throw fileError(`Cannot move ${from} to ${to}`, error);
  }
}

/** `2026-11-26T12-58-04Z`: no colons, which some tools take for something else. */
function timeName(wallMs: number): string {
  return new Date(wallMs).toISOString().replace(/\.\d+/, "").replaceAll(":", "-");
}

function freeName(wanted: string): string {
  let name = wanted;
  for (let n = 2; existsSync(name); n++) name = `${wanted}-${n}`;
  return name;
}
