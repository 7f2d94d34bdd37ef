import t from "tap";
import { enableForwarding, readForwarding } from "../../src/host/sysctl.ts";
import { cannotUnshare, inNamespace } from "../support/namespace.ts";
import { scratch } from "../support/scratch.ts";

t.test("forwarding is turned on once, in this namespace", { skip: cannotUnshare }, async (t) => {
  inNamespace(t);
  // Some hosts hand their own setting down to new namespaces.
  const before = readForwarding(4);
  t.same(enableForwarding(4), { wasOff: before === false });
  t.equal(readForwarding(4), true);
  t.same(enableForwarding(4), { wasOff: false });
});

t.test("a family that the kernel lacks has no setting", async (t) => {
  const empty = scratch(t);
  t.equal(readForwarding(6, empty), undefined);
  t.throws(() => enableForwarding(6, empty), { code: "STORE_FAILED" });
});
