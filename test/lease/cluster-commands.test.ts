import t from "tap";
import { currentConfig } from "../../src/lease/current-config.ts";
import { theGroup, theNetwork } from "../../src/lease/state.ts";
import { initCommand, joiner, Ledger, NETWORK } from "../support/ledger.ts";

const WIDER = '{"Network":"10.4.0.0/15","SubnetMin":"10.5.1.0","Backend":{"Type":"vxlan"}}';

t.test("the first entry makes a cluster of one server with a lease", async (t) => {
  const ledger = new Ledger();
  const answer = ledger.do(initCommand()) as { raftId: number; lease: { subnets: string[] } };
  t.equal(answer.raftId, 1);
  t.same(answer.lease.subnets, ["10.5.1.0/24"]);
  t.same(theGroup(ledger.state), { voters: [1], learners: [] });
  t.equal(theNetwork(ledger.state), NETWORK);
  t.throws(() => ledger.do(initCommand()), { code: "CLUSTER_EXISTS" });
});

t.test("a cluster is not made with a config that cannot work", async (t) => {
  const ledger = new Ledger();
  t.throws(() => ledger.do(initCommand('{"Network":"10.5.0.0/30"}')), { code: "CONFIG_INVALID" });
  t.equal(theNetwork(ledger.state), undefined);
});

t.test("the config is replaced only by who has seen it", async (t) => {
  const ledger = Ledger.open();
  t.equal(currentConfig(ledger.state)?.backendType, "host-gw");
  const set = (config: string, ifRevision?: number) =>
    ledger.do({
      ...{ kind: "network.set" as const, config },
      ...(ifRevision === undefined ? {} : { ifRevision }),
    });
  t.same(set(WIDER, 1), { revision: 3 });
  t.equal(currentConfig(ledger.state)?.backendType, "vxlan");
  t.throws(() => set(NETWORK, 1), {
    code: "REVISION_MISMATCH",
    why: "it is at revision 3, the change was made for 1",
  });
  t.same(set(WIDER), { revision: 3 }, "the same text again is no change");
  t.same(set(NETWORK, 3), { revision: 6 });
});

t.test("no lease is left outside the network", async (t) => {
  const ledger = Ledger.open();
  ledger.do({ kind: "node.join", tokenId: "open", node: joiner(1) });
  for (
    const config of [
      '{"Network":"10.9.0.0/16"}',
      '{"Network":"10.5.0.0/16","SubnetLen":25}',
      '{"Network":"10.5.0.0/16","SubnetMin":"10.5.2.0"}',
      '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48"}',
    ]
  ) {
    t.throws(() => ledger.do({ kind: "network.set", config }), { code: "NETWORK_IN_USE" });
  }
  t.throws(() => ledger.do({ kind: "network.set", config: "{}" }), { code: "CONFIG_INVALID" });
  t.equal(theNetwork(ledger.state), NETWORK);
});
