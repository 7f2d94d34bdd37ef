import { tryParseAddress } from "./address.ts";

/**
 * Whether an HTTP `Host` can mean one host only: an address, or `localhost`. Any other name may be
 * of a page elsewhere whose owner has it point here (DNS rebinding), and is no proof of who asks.
 */
export function namesOneHost(header: string | undefined): boolean {
  const host = (header ?? "").replace(/:[0-9]+$/, "");
  const address = tryParseAddress(host.replace(/^\[(.*)\]$/, "$1"));
  return address !== undefined || host === "localhost";
}
