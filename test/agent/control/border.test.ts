/** What other nodes say, before it reaches the log. */
import t from "tap";
import { readAgentCommand } from "../../../src/agent/control/border.ts";
import type { Command } from "../../../src/lease/command.ts";
import { attributes, EPOCH } from "../../support/ledger.ts";

const node = "id1";
const subnets = ["10.5.2.0/24"];

t.test("everything that an agent says comes through as it was said", async (t) => {
  const commands: Command[] = [
    { kind: "lease.acquire", node, attributes: attributes(1), wish: subnets },
    { kind: "lease.acquire", node, attributes: { ...attributes(1), publicIpv6: "2001:db8::1" } },
    { kind: "lease.renew", node, subnets },
    { kind: "lease.renew", node, subnets, attributes: attributes(1) },
    {
      kind: "lease.claim",
      ...{ node, subnets, attributes: attributes(1), epoch: EPOCH, revision: 7 },
      locallyValid: false,
    },
    { kind: "lease.release", node, subnets, revision: 7 },
    { kind: "node.update", node, incarnation: { counter: 1, startId: "a" }, version: "0.1.0" },
    { kind: "node.update", node, address: "192.0.2.1:7470" },
    { kind: "node.update", node, features: { min: 1, max: 2 } },
    {
      kind: "node.readmit",
      ...{ node, name: "web1", role: "agent", address: "192.0.2.1:7470", version: "0.1.0" },
      features: { min: 1, max: 1 },
    },
    { kind: "cluster.fork-seen", epoch: EPOCH, other: { n: 1, random: "bb" } },
    { kind: "node.leave", node },
  ];
  for (const command of commands) {
    t.same(readAgentCommand(JSON.parse(JSON.stringify(command))), command);
  }
});

t.test("what no state machine should have to read is refused, and the part is named", async (t) => {
  const told = (more: object) => ({ ...attributes(1), ...more });
  const cases: [unknown, RegExp][] = [
    [null, /Object/],
    [{ kind: "node.remove", node }, /kind/],
    [{ kind: "lease.renew", node, subnets: "10.5.2.0/24" }, /subnets/],
    [{ kind: "lease.renew", node, subnets: ["10.5.2.0"] }, /subnets\.0: it is not a CIDR block/],
    [{ kind: "lease.renew", node: 7, subnets }, /node/],
    [{ kind: "lease.acquire", node, attributes: told({ publicIp: "somewhere" }) }, /publicIp/],
    [{ kind: "lease.acquire", node, attributes: told({ publicIp: 7 }) }, /publicIp/],
    [{ kind: "lease.acquire", node, attributes: told({ backendData: "{" }) }, /not JSON/],
    [{ kind: "node.update", node, address: "no such: thing" }, /address/],
    [{ kind: "node.readmit", node, role: "server" }, /name|role/],
    [{ kind: "cluster.fork-seen", epoch: EPOCH, other: { n: -1, random: "b" } }, /other\.n/],
    [{ kind: "node.update", node, incarnation: { counter: 0.5, startId: "a" } }, /counter/],
  ];
  for (const [body, why] of cases) {
    t.throws(() => readAgentCommand(body), { code: "REQUEST_INVALID", why }, JSON.stringify(body));
  }
});

t.test("what a newer agent says besides is left out", async (t) => {
  const body = { kind: "node.leave", node, mood: "sad" };
  t.same(readAgentCommand(body), { kind: "node.leave", node });
});
