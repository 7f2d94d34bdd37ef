/** What is printed last on a host that has come in: the whole next command. */
import t from "tap";
import type { NodeView } from "../../src/api/service.ts";
import { foundedText, joinedText, joinLine } from "../../src/cli/farewell.ts";
import { FakeService, SECRET, STATUS } from "../support/fake-service.ts";

const made = {
  ...{ token: SECRET, id: "abcd1234", role: "server" as const, expires: "2030-01-01" },
  servers: ["192.0.2.1:7470"],
  node: null,
};
const node: NodeView = (await new FakeService().nodes("stale"))[0]!;

t.test("who formed a cluster can copy the line for the next host", async (t) => {
  const lines = foundedText(STATUS, made).split("\n");
  const at = lines.indexOf("      denim join 192.0.2.1");
  t.ok(at > 0);
  t.equal(lines[at + 1], `      token: ${SECRET}`);
  t.ok(lines.some((line) => line.endsWith("denim status")));
  t.match(lines[0]!, /10\.5\.1\.0\/24 via eth0 192\.168\.0\.0/);
});

t.test("a port that is not the usual one is part of that line", async (t) => {
  t.same(joinLine("192.0.2.1:7999", "x")[0], "      denim join 192.0.2.1:7999");
  t.same(joinLine("[2001:db8::1]:7470", "x")[0], "      denim join [2001:db8::1]");
  t.same(joinLine(undefined, "x")[0], "      denim join HOST");
});

t.test("who joined is told how to look, how to go on, and what is still lacking", async (t) => {
  const text = joinedText(STATUS, [node, node]);
  t.match(text, /10\.5\.1\.0\/24 · 1 route programmed\n/);
  t.match(text, /host0 is in \(leader\)\.\n/);
  t.match(text, /Two servers so far: with one more the cluster survives/);
  t.match(text, /\n {2}Look around: +denim status\n/);
  t.match(text, /denim token create/);
  const agent = { ...node, eligible: "agent" as const };
  t.match(joinedText(STATUS, [node, agent]), /One server so far: with two more/);
  t.notOk(joinedText(STATUS, [node, node, node, agent]).includes("so far"));
  t.match(joinedText({ ...STATUS, ready: false }, [node]), /is in, but not ready yet/);
});
