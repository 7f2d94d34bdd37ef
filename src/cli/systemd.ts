import { existsSync } from "node:fs";
import { DenimError } from "../base/errors.ts";

/**
 * Where systemd runs the host, the daemon belongs under it. Installing the unit is not part of this
 * version, so the command says what to do instead of running on unseen.
 *
 * @throws `USAGE`
 */
export function refuseDetached(foreground: boolean | undefined): void {
  if (foreground === true || !existsSync("/run/systemd/system")) return;
  throw new DenimError("USAGE", "This version does not install a systemd unit yet", {
    why: "systemd runs this host, and a daemon started by hand would end with the terminal",
    fix: "add --foreground to run it here, or write a unit that runs: denim run",
  });
}
