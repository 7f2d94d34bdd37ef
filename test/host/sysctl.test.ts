import { readFileSync, writeFileSync } from "node:fs";
import t from "tap";
import { enableForwarding, readForwarding } from "../../src/host/sysctl.ts";
import { cannotUnshare, inNamespace, ip } from "../support/namespace.ts";
import { scratch } from "../support/scratch.ts";

t.test("forwarding is turned on once, in this namespace", { skip: cannotUnshare }, async (t) => {
  inNamespace(t);
  // Some hosts hand their own setting down to new namespaces.
  const before = readForwarding(4);
  t.same(enableForwarding(4), { wasOff: before === false });
  t.equal(readForwarding(4), true);
  t.same(enableForwarding(4), { wasOff: false });
});

t.test("who has IPv6 routes from a router keeps them", { skip: cannotUnshare }, async (t) => {
  inNamespace(t);
  ip("link add eth0 type veth peer name far");
  const path = (link: string) => `/proc/sys/net/ipv6/conf/${link}/accept_ra`;
  writeFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "0\n");
  writeFileSync(path("eth0"), "1\n");
  writeFileSync(path("lo"), "0\n");
  t.same(enableForwarding(6), { wasOff: true });
  t.equal(readFileSync(path("eth0"), "utf8"), "2\n");
  t.equal(readFileSync(path("lo"), "utf8"), "0\n", "who did not listen does not begin to");
});

t.test("a family that the kernel lacks has no setting", async (t) => {
  const empty = scratch(t);
  t.equal(readForwarding(6, empty), undefined);
  t.throws(() => enableForwarding(6, empty), { code: "STORE_FAILED" });
});
