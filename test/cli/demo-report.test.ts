import t from "tap";
import type { HostReport } from "../../src/cli/demo/play.ts";
import { allReached, renderHosts } from "../../src/cli/demo/report.ts";

function host(name: string, reaches: HostReport["reaches"]): HostReport {
  const routes = Object.keys(reaches).map((other) => `10.244.${other}.0/24 via 192.0.2.9 dev eth0`);
  const subnet = `10.244.${name}.0/24`;
  return { name, role: "voter", subnet, address: "192.0.2.1", container: "", routes, reaches };
}

const three = [
  host("1", { 2: 0.42, 3: 12 }),
  host("2", { 1: 1, 3: null }),
  host("3", { 1: 2, 2: 3 }),
];

t.test("every pair counts, and so does one that was not asked", async (t) => {
  t.equal(allReached(three), false);
  const fine = [three[0]!, host("2", { 1: 1, 3: 4 }), three[2]!];
  t.equal(allReached(fine), true);
  t.equal(allReached([...fine.slice(1), host("1", { 2: 1 })]), false);
});

t.test("the table has a line per route, and who reaches whom", async (t) => {
  t.same(renderHosts(three, undefined).split("\n").map((line) => line.replace(/ +/g, " ")), [
    "HOST ROLE SUBNET ROUTES REACHES 1 REACHES 2 REACHES 3",
    "1 voter 10.244.1.0/24 10.244.2.0/24 via 192.0.2.9 dev eth0 – ✓ 0.4 ms ✓ 12.0 ms",
    " 10.244.3.0/24 via 192.0.2.9 dev eth0",
    "2 voter 10.244.2.0/24 10.244.1.0/24 via 192.0.2.9 dev eth0 ✓ 1.0 ms – ✗",
    " 10.244.3.0/24 via 192.0.2.9 dev eth0",
    "3 voter 10.244.3.0/24 10.244.1.0/24 via 192.0.2.9 dev eth0 ✓ 2.0 ms ✓ 3.0 ms –",
    " 10.244.2.0/24 via 192.0.2.9 dev eth0",
    "",
  ]);
});

t.test("on a narrow terminal nothing that matters is cut", async (t) => {
  const lines = renderHosts(three, 80).split("\n");
  t.ok(lines.every((line) => line.length <= 80));
  t.match(lines[0]!, /ROUTES +→ 1 +→ 2 +→ 3$/);
  t.match(lines[3]!, /10\.244\.1\.0\/24 via 192\.0\.2\.9 +✓ +– +✗$/);
});
