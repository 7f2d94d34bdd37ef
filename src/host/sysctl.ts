/**
 * Kernel settings of the network namespace. Read and written without a thread of the runtime's
 * pool: `/proc/sys/net` shows the namespace of the thread that opens it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Family } from "../ip/address.ts";
import { fileError } from "./files.ts";

const FORWARDING: Readonly<Record<Family, string>> = {
  4: "net/ipv4/ip_forward",
  6: "net/ipv6/conf/all/forwarding",
};

/** Does this host pass on packets that are not for itself? `undefined` without that family. */
export function readForwarding(family: Family, root = "/proc/sys"): boolean | undefined {
  try {
    return readFileSync(join(root, FORWARDING[family]), "utf8").trim() !== "0";
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw fileError(error, `Cannot read "${FORWARDING[family]}"`);
  }
}

/**
 * Turns forwarding on where it is off, and says so, since it makes a router out of a host.
 *
 * @throws `PERMISSION_DENIED`, `STORE_FAILED`
 */
export function enableForwarding(family: Family, root = "/proc/sys"): { readonly wasOff: boolean } {
  if (readForwarding(family, root) === true) return { wasOff: false };
  try {
    writeFileSync(join(root, FORWARDING[family]), "1\n");
  } catch (error) {
    throw fileError(error, `Cannot turn on IPv${family} forwarding`);
  }
  return { wasOff: true };
}
