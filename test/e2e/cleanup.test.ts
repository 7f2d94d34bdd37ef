/** What `denim cleanup` takes from a host, and what it leaves there. */
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { ip, ipBatch, runProgram } from "../../src/cli/lab/ip.ts";
import { plainEnvironment } from "../../src/cli/lab/self.ts";
import {
  cannotLab,
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  onNode,
  typed,
  untilRouted,
} from "../support/lab.ts";

async function cleanup(host: Host, ...more: readonly string[]) {
  const [runtime, ...rest] = onNode as [string, ...string[]];
  const places = ["--state-dir", host.stateDir, "--subnet-file", host.subnetFile];
  const words = [...rest, "cleanup", "--json", ...places, ...more];
  const { status, out, err } = await runProgram(
    "ip",
    ["netns", "exec", host.namespace, runtime, ...words],
    { env: plainEnvironment() },
  );
  const answer = status === 0
    ? JSON.parse(out) as { removed: string[]; elsewhere: string[] }
    : { removed: [], elsewhere: [] };
  return { status, err, ...answer };
}

const routesOf = (host: Host) => ip(`-n ${host.namespace} route`);

t.test("cleanup takes away what a daemon left, and nothing else", {
  skip: cannotLab,
  timeout: 600_000,
}, async (t) => {
  const lab = await makeLab(t);
  const a = await lab.addHost("a");
  const b = await lab.addHost("b");
  const before = await routesOf(a);
  await found(a, onNode);
  await joinBy(b, onNode, a, await makeToken(a));
  await untilRouted([a, b]);
  const running = await cleanup(a, "--yes");
  t.equal(running.status, 7, "not under a daemon that would put all back");
  t.match(running.err, /stop it first/);

  await a.daemon!.stop("SIGKILL");
  const foreign = [
    "10.244.9.0/24 via 192.0.2.77 proto static",
    "10.99.1.0/24 via 192.0.2.2 proto 68",
  ];
  await ipBatch(foreign.map((route) => `route add ${route}`), a.namespace);
  // No backend of this version has links: these are what one that has them would leave.
  const by = "type vxlan dstport 8472 local 192.0.2.1 dev eth0";
  await ipBatch([
    `link add denim.1 group 68 ${by} id 1`,
    "link set denim.1 alias denim:10.244.0.0/16",
    `link add denim.2 group 68 ${by} id 2`,
    "link set denim.2 alias denim:10.99.0.0/16",
    `link add denim.3 ${by} id 3`,
  ], a.namespace);
  const links = async () =>
    [...(await ip(`-n ${a.namespace} link`)).matchAll(/denim\.\d/g)].map(([name]) => name);
  const [ours, stays] = ["10.244.2.0/24 via 192.0.2.2 dev eth0", "10.99.1.0/24"];
  const look = await cleanup(a, "--dry-run");
  t.match(look.removed[0] ?? "", new RegExp(ours));
  t.equal(look.removed[1], "ip link del denim.1");
  t.match(look.removed[2] ?? "", /denim-10\.244\.0\.0-16/);
  t.match(look.removed.at(-1) ?? "", new RegExp(`^rm ${a.subnetFile}`));
  t.match(look.elsewhere[0] ?? "", new RegExp(stays));
  t.equal(look.elsewhere[1], "link denim.2 of 10.99.0.0/16");
  t.match(await routesOf(a), new RegExp(ours), "looking changes nothing");
  t.equal((await cleanup(a)).status, 2, "without a terminal it has to be said");

  t.equal((await cleanup(a, "--yes")).removed.length, look.removed.length);
  const after = await routesOf(a);
  t.notOk(/10\.244\.2\.0/.test(after));
  t.match(after, /10\.244\.9\.0\/24 via 192\.0\.2\.77/, "somebody else's in our network");
  t.match(after, /10\.99\.1\.0\/24/, "and another network's");
  t.same(await links(), ["denim.2", "denim.3"]);
  t.equal(await a.subnetEnv(), undefined);
  t.same((await cleanup(a, "--yes")).removed, [], "a second time there is nothing");

  t.equal((await cleanup(a, "--yes", "--network", "10.99.0.0/16")).removed.length, 2);
  t.same(await links(), ["denim.3"], "a link without the mark is nobody's to clean up");
  await ip(`-n ${a.namespace} link del denim.3`);
  await ip(`-n ${a.namespace} route del 10.244.9.0/24`);
  t.equal(await routesOf(a), before, "as it was found");
});

t.test("the last one that leaves leaves nothing behind", {
  skip: cannotLab,
  timeout: 600_000,
}, async (t) => {
  const a = await (await makeLab(t)).addHost("a");
  const before = await routesOf(a);
  await found(a, onNode);
  const marked = async () => (await cleanup(a, "--any-network", "--dry-run")).removed;
  await eventually("there are rules", async () => {
    return (await typed(a, ["status"])).out.includes("nftables") ? true : undefined;
  });
  t.equal((await typed(a, ["leave", "--yes"])).status, 0);
  await a.daemon!.ended;
  t.same(await marked(), []);
  t.equal(await routesOf(a), before);
});
