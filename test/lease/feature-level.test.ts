import t from "tap";
import type { DenimError } from "../../src/base/errors.ts";
import type { CommandKind } from "../../src/lease/command.ts";
import {
  FEATURES,
  refuseForLevel,
  requireLevel,
  requireLevelOf,
} from "../../src/lease/feature-level.ts";
import { State } from "../../src/lease/state.ts";
import { Ledger } from "../support/ledger.ts";

function codeOf(action: () => void): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return (error as DenimError).code;
  }
}

t.test("what no replica may find in its log is not proposed", async (t) => {
  const { state } = Ledger.open();
  const refused = (kind: string) => codeOf(() => refuseForLevel(state, kind as CommandKind));
  t.equal(refused("lease.renew"), undefined);
  t.equal(refused("tick"), undefined);
  t.equal(refused("cluster.reform"), "REQUEST_INVALID", "it is made offline only");
  t.equal(refused("cluster.init"), "REQUEST_INVALID");
  t.equal(refused("lease.dance"), "REQUEST_INVALID", "a newer program's");
  t.equal(refused("toString"), "REQUEST_INVALID");
  t.equal(codeOf(() => refuseForLevel(new State(), "tick")), undefined);
});

t.test("a program touches only a state of a level that it supports", async (t) => {
  t.equal(codeOf(() => requireLevelOf(Ledger.open().state.records("revisioned"))), undefined);
  t.throws(() => requireLevel(FEATURES.max + 1), {
    code: "UPGRADE_NEEDED",
    why: "this program supports 1 to 1",
    fix: "run a newer Denim here",
  });
  t.throws(() => requireLevel(1, { min: 2, max: 3 }), {
    code: "UPGRADE_NEEDED",
    fix: /the Denim that was here before/,
  });
});

t.test("the level is raised when every member supports the next", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1, { features: { min: 1, max: 2 } });
  t.same(ledger.do({ kind: "cluster.raise-level", to: 1 }), { level: 1 }, "it is there already");
  t.throws(() => ledger.do({ kind: "cluster.raise-level", to: 2 }), {
    code: "UPGRADE_NEEDED",
    why: "1 nodes do not support it, for example host0",
  });
  t.throws(() => ledger.do({ kind: "cluster.raise-level", to: 0 }), { code: "UPGRADE_NEEDED" });
  ledger.do({ kind: "node.update", node: "id0", features: { min: 1, max: 2 } });
  // All say that they support it. This program is none of those, and so must not go on.
  t.throws(() => ledger.enter({ kind: "cluster.raise-level", to: 2 }), {
    message: "Assertion failed: feature level 2: this program supports 1",
  });
});

t.test("a later joiner brings its levels with it", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1, { features: { min: 1, max: 3 } });
  t.same(ledger.state.get("node", "id1")?.body.features, { min: 1, max: 3 });
});
