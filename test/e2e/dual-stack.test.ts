/** One network over IPv4, over IPv6, and over both, on the real kernel. */
import { readFile } from "node:fs/promises";
import t, { type Test } from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { ip } from "../../src/cli/lab/ip.ts";
import type { Family } from "../../src/ip/address.ts";
import {
  cannotLab,
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  onNode,
  ownRoutes,
  restart,
  runInside,
  subnetsOf,
  typed,
  unreached,
  untilRouted,
} from "../support/lab.ts";

const TIMEOUT_MS = 600_000;

const SIX = { EnableIPv6: true, IPv6Network: "fd42:0:0::/48" };
const BOTH = { Network: "10.244.0.0/16", ...SIX };

/** Two hosts in a network, each with a container. */
async function pair(
  t: Test,
  families: readonly Family[],
  network: object,
): Promise<readonly [Host, Host]> {
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a", families), await lab.addHost("b", families)];
  await found(a, onNode, JSON.stringify(network));
  await joinBy(b, onNode, a, await makeToken(a));
  await untilRouted([a, b]);
  for (const host of [a, b]) await host.startContainer();
  return [a, b];
}

t.test("containers reach each other over both families", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const [a, b] = await pair(t, [4, 6], BOTH);
  t.same(await unreached([a, b]), []);
  t.same(b.container!.addresses, ["10.244.2.2", "fd42:0:0:2::2"]);
  t.same(await ownRoutes(a), [
    "10.244.2.0/24 via 192.0.2.2 dev eth0",
    "fd42:0:0:2::/64 via 2001:db8::2 dev eth0",
  ]);
  t.equal(
    await readFile(b.subnetFile, "utf8"),
    "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.2.1/24\n" +
      "FLANNEL_IPV6_NETWORK=fd42::/48\nFLANNEL_IPV6_SUBNET=fd42:0:0:2::1/64\n" +
      "FLANNEL_MTU=1500\nFLANNEL_IPMASQ=true\n",
  );
  const seen = await runInside(b, ["doctor"]);
  t.equal(seen.status, 0, seen.err);
  t.match(seen.out, /reach-a +ok[^]*reach-a-6 +ok/);
  const { out } = await typed(b, ["status"]);
  t.match(out, /over eth0 192\.0\.2\.2 2001:db8::2, chosen as it reaches the server 192\.0\.2\.1/);
});

t.test("a network of IPv6 alone needs no IPv4 anywhere", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const [a, b] = await pair(t, [6], { EnableIPv4: false, ...SIX });
  t.same(await unreached([a, b]), []);
  t.same(b.container!.addresses, ["fd42:0:0:2::2"]);
  t.same(await ownRoutes(a), ["fd42:0:0:2::/64 via 2001:db8::2 dev eth0"]);
  t.notOk(/FLANNEL_NETWORK/.test(await readFile(b.subnetFile, "utf8")));
});

t.test("link-local next hops will do, and a host without IPv6 is told so", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a", [4, 6]), await lab.addHost("b", [4, 6])];
  const linkLocal = ["fe80::a", "fe80::b"];
  for (const [i, host] of [a, b].entries()) {
    await ip(`-n ${host.namespace} -6 addr flush dev eth0`);
    await ip(`-n ${host.namespace} addr add ${linkLocal[i]}/64 dev eth0 nodad`);
  }
  await found(a, onNode, JSON.stringify(BOTH));
  const token = await makeToken(a);
  await joinBy(b, onNode, a, token);
  const wanted = "fd42:0:0:2::/64 via fe80::b dev eth0";
  await eventually(wanted, async () => (await ownRoutes(a)).includes(wanted) ? true : undefined);
  for (const host of [a, b]) await host.startContainer();
  t.same(await unreached([a, b]), []);

  const c = await lab.addHost("c");
  await c.set("net/ipv6/conf/eth0/disable_ipv6", "1");
  const daemon = await c.startDaemon(onNode, ["join", a.address, "--foreground"], {
    DENIM_TOKEN: token,
  });
  t.not(await daemon.ended, 0);
  t.match(daemon.logTail(9).join("\n"), /"eth0"[^]*no usable IPv6 address/);
});

t.test("a host that starts without its IPv6 keeps both subnets, and goes on over IPv4", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const [a, b] = await pair(t, [4, 6], BOTH);
  const subnets = await subnetsOf(b);
  await b.daemon!.stop();
  await ip(`-n ${b.namespace} addr del 2001:db8::2/64 dev eth0`);
  await b.set("net/ipv6/conf/eth0/disable_ipv6", "1");
  await restart(b, onNode);
  const four = "10.244.2.0/24 via 192.0.2.2 dev eth0";
  await eventually("the route over IPv6 left out", async () => {
    const routes = await ownRoutes(a);
    return routes.length === 1 && routes[0] === four ? true : undefined;
  });
  t.match((await typed(a, ["route"])).out, /b has no IPv6 address/);
  t.match((await typed(b, ["status"])).out, /no usable IPv6 address/);
  t.same(await subnetsOf(b), subnets);

  await b.set("net/ipv6/conf/eth0/disable_ipv6", "0");
  await ip(`-n ${b.namespace} addr add 2001:db8::2/64 dev eth0 nodad`);
  await untilRouted([a, b]);
  t.same(await unreached([a, b]), []);
});
