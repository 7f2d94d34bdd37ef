import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { requireNetworkRights } from "../../src/host/rights.ts";
import { scratch } from "../support/scratch.ts";

t.test("only a process that may change the network goes on", async (t) => {
  const status = join(scratch(t), "status");
  const say = (effective: string) => writeFileSync(status, `Name:\tx\nCapEff:\t${effective}\n`);
  say("000001ffffffffff");
  t.doesNotThrow(() => requireNetworkRights(status));
  say("0000000000001000");
  t.doesNotThrow(() => requireNetworkRights(status));
  for (const without of ["0000000000000000", "000001ffffffefff"]) {
    say(without);
    t.throws(() => requireNetworkRights(status), { code: "PERMISSION_DENIED" });
  }
});
