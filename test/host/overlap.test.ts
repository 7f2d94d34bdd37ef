import t from "tap";
import { checkOverlap, overlappingRoutes, publicRangeWarning } from "../../src/host/overlap.ts";
import { formatPrefix, parsePrefix } from "../../src/ip/prefix.ts";
import { kernelRoute } from "../support/routes.ts";

const network = parsePrefix("10.42.0.0/16");
const routes = [
  kernelRoute("0.0.0.0/0", "192.168.7.1", { protocol: 3 }),
  kernelRoute("192.168.7.0/24", undefined, { protocol: 2 }),
  kernelRoute("10.42.1.0/24", undefined, { protocol: 2, device: "docker0" }),
  kernelRoute("10.42.2.0/24", "192.168.7.2"),
];

t.test("the default route, others' corners and our own routes are no overlap", async (t) => {
  t.same(overlappingRoutes(network, routes, { own: [parsePrefix("10.42.1.0/24")] }), []);
});

t.test("a route inside, around or equal to the network is one", async (t) => {
  for (const destination of ["10.42.7.0/24", "10.0.0.0/8", "10.42.0.0/16"]) {
    const found = overlappingRoutes(network, [
      kernelRoute(destination, "10.9.9.9", { protocol: 4 }),
    ]);
    t.same(found.map((route) => formatPrefix(route.destination)), [destination]);
  }
});

t.test("the refusal names the routes", async (t) => {
  t.throws(() => checkOverlap(network, routes), {
    code: "NETWORK_OVERLAP",
    message: "Cannot use 10.42.0.0/16 on this host",
    why: "it overlaps routes that are not Denim's: 10.42.1.0/24 dev docker0",
  });
  t.doesNotThrow(() => checkOverlap(parsePrefix("10.77.0.0/16"), routes));
});

t.test("a public range is warned about", async (t) => {
  t.match(publicRangeWarning(parsePrefix("11.0.0.0/16")) ?? "", /not a private range/);
  t.match(publicRangeWarning(parsePrefix("10.0.0.0/7")) ?? "", /10\.0\.0\.0\/8/);
  t.match(publicRangeWarning(parsePrefix("2a00::/32")) ?? "", /fd00::\/8/);
  for (const block of ["10.42.0.0/16", "172.31.0.0/16", "100.64.0.0/10", "fd42::/48"]) {
    t.equal(publicRangeWarning(parsePrefix(block)), undefined, block);
  }
});

t.test("each family is looked at by itself", async (t) => {
  const six = parsePrefix("fd42::/48");
  const lan = ["fd42:0:0:7::/64", "10.42.0.0/16", "::/0"]
    .map((destination) => kernelRoute(destination, undefined, { protocol: 2 }));
  t.same(overlappingRoutes(six, lan), [lan[0]]);
  t.same(overlappingRoutes(six, lan, { own: [parsePrefix("fd42:0:0:7::/64")] }), []);
});
