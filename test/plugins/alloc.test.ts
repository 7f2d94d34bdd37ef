import t from "tap";
import { alloc } from "../../plugins/alloc/mod.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { hostAt, peerAt } from "../support/hosts.ts";

t.test("a host gets its subnet and the link's MTU, and no route anywhere", async (t) => {
  const host = hostAt("10.0.0.1/24");
  t.same(await alloc.publish(host, null), { data: null, mtu: 1500 });
  const own = peerAt("a", "10.0.0.1", "10.42.1.0/24");
  const peers = [peerAt("b", "10.0.0.2", "10.42.2.0/24")];
  const network = parsePrefix("10.42.0.0/16");
  t.same(await alloc.plan({ network, host, config: null, own, peers }), []);
});

t.test("what others have published is of no interest", async (t) => {
  t.equal(alloc.parseData({ anything: 1 }), null);
  t.equal(alloc.parseConfig({ Type: "alloc" }), null);
});
