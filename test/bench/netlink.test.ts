import t from "tap";
import { cannotUnshare } from "../support/namespace.ts";
import { run } from "./netlink.ts";

t.test("the netlink benchmark runs, and judges itself", { skip: cannotUnshare }, async (t) => {
  const { bench, ok, rows } = await run({ tiny: true });
  t.equal(bench, "netlink");
  t.equal(rows.length, 3);
  t.ok(rows.every((row) => row.denim > 0 && row.peer > 0 && row.unit === "ms"));
  t.equal(ok, rows.every((row) => row.ratio <= row.target));
});
