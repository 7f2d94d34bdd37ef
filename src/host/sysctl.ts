/**
 * Kernel settings of the network namespace. Read and written without a thread of the runtime's
 * pool: `/proc/sys/net` shows the namespace of the thread that opens it.
 */
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Family } from "../ip/address.ts";
import { fileError } from "./files.ts";

export const FORWARDING: Readonly<Record<Family, string>> = {
  4: "net/ipv4/ip_forward",
  6: "net/ipv6/conf/all/forwarding",
};

/** The value below `/proc/sys`; `undefined` where the kernel has no such setting. */
export function readSetting(path: string, root = "/proc/sys"): string | undefined {
  try {
    return readFileSync(join(root, path), "utf8").trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Some say nothing when nothing was ever put into them.
    if (code === "ENOENT" || code === "EINVAL") return undefined;
    throw fileError(error, `Cannot read "${path}"`);
  }
}

/** Until the next start of this machine. @throws `PERMISSION_DENIED`, `STORE_FAILED` */
export function writeSetting(path: string, value: string, root = "/proc/sys"): void {
  try {
    writeFileSync(join(root, path), `${value}\n`);
  } catch (error) {
    throw fileError(error, `Cannot set ${path} to ${value}`);
  }
}

/** Does this host pass on packets that are not for itself? `undefined` without that family. */
export function readForwarding(family: Family, root = "/proc/sys"): boolean | undefined {
  const value = readSetting(FORWARDING[family], root);
  return value === undefined ? undefined : value !== "0";
}

/**
 * Turns forwarding on where it is off, and says so, since it makes a router out of a host. Routers
 * do not listen to other routers: a host that has its IPv6 routes from one is told to do so all
 * the same (`accept_ra` 2, `Documentation/networking/ip-sysctl.rst`), or it would lose them.
 *
 * @throws `PERMISSION_DENIED`, `STORE_FAILED`
 */
export function enableForwarding(family: Family, root = "/proc/sys"): { readonly wasOff: boolean } {
  if (readForwarding(family, root) === true) return { wasOff: false };
  if (family === 6) keepRouterAdvertisements(root);
  writeSetting(FORWARDING[family], "1", root);
  return { wasOff: true };
}

function keepRouterAdvertisements(root: string): void {
  for (const path of globSync("net/ipv6/conf/*/accept_ra", { cwd: root })) {
    if (readSetting(path, root) === "1") writeSetting(path, "2", root);
  }
}
