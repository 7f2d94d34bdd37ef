import { existsSync } from "node:fs";
import { rename } from "node:fs/promises";
import { dirname } from "node:path";
import { diskFiles, fileError, syncFolder } from "./files.ts";
import { Store } from "./store.ts";

/**
 * Where a node has its store: the port through which it is opened, and put out of the way when it
 * is not to be believed. Drivers: `storeFolder`, and the simulator's disk.
 */
export interface StorePlace {
  /** @throws `STORE_LOCKED` `PERMISSION_DENIED` `STORE_DAMAGED` `STORE_FAILED` `UPGRADE_NEEDED` */
  open(): Promise<Store>;
  /**
   * Moves what is there aside, whole, for somebody to look at. No store may be open.
   *
   * @returns where it is now; `undefined` where there was nothing
   */
  setAside(wallMs: number): Promise<string | undefined>;
  /** What was set aside is the store again, and what has taken its place is gone. */
  putBack(aside: string | undefined): Promise<void>;
}

/** A folder on the disk. What is set aside stays beside it, under its name and the time. */
export function storeFolder(path: string): StorePlace {
  const move = async (from: string, to: string) => {
    try {
      await rename(from, to);
      await syncFolder(dirname(path));
    } catch (error) {
      throw fileError(`Cannot move ${from} to ${to}`, error);
    }
  };
  return {
    open: () => Store.open(path),
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
  };
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
