/** Two networks at once on the same hosts: two daemons, which never meet. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { Container } from "../../src/cli/lab/container.ts";
import { Host } from "../../src/cli/lab/host.ts";
import { ipBatch } from "../../src/cli/lab/ip.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import {
  cannotLab,
  eventually,
  makeLab,
  makeToken,
  onDeno,
  onNode,
  ownRoutes,
  singleBinary,
  typed,
  unreached,
  untilReady,
  wantedRoutes,
} from "../support/lab.ts";
import { formCluster, inside, pings, untilInPlace } from "../support/tunnels.ts";

const TIMEOUT_MS = 600_000;

const skip = cannotLab ||
  (existsSync("/usr/bin/ping") ? false : "needs Debian's iputils-ping");

const GW = { Network: "10.244.0.0/16", Backend: { Type: "host-gw" } };
const TUNNEL = { Network: "10.245.0.0/16", Backend: { Type: "vxlan", VNI: 5 } };

const CONTROL_PORT = 7471;
/** What a second daemon on a machine has to be told beside where its files are. */
const SECOND = { DENIM_LISTEN: `0.0.0.0:${CONTROL_PORT}`, DENIM_API_PORT: "7476" };

/** The same machine, with the files of a second daemon. */
function secondOf({ name, namespace, addresses, folder }: Host): Host {
  return new Host({
    ...{ name, namespace, addresses, prober: onNode },
    folder: join(folder, "second"),
  });
}

async function start(host: Host, program: Program, words: readonly string[], token?: string) {
  const env = { ...SECOND, ...(token === undefined ? {} : { DENIM_TOKEN: token }) };
  await host.startDaemon(program, words, env);
  await untilReady([host]);
}

async function startSecondContainer(host: Host): Promise<void> {
  const namespace = `${host.containerNamespace}-2`;
  await ipBatch([`netns add ${namespace}`]);
  host.container = await Container.start({
    ...{ hostNamespace: host.namespace, namespace, bridge: "cni1" },
    ...{ env: (await host.subnetEnv())!, program: onNode },
  });
}

t.test("a network by routes and one by a tunnel", { skip, timeout: TIMEOUT_MS }, async (t) => {
  const lab = await makeLab(t);
  const first = [await lab.addHost("a"), await lab.addHost("b"), await lab.addHost("c")] as const;
  const [a, b, c] = first;
  const binary = await singleBinary();
  await formCluster([[a, binary], [b, onNode], [c, onNode]], GW);
  const second = first.map(secondOf);
  const [a2, b2, c2] = second as [Host, Host, Host];
  const words = ["init", "--network", JSON.stringify(TUNNEL), "--foreground"];
  await start(a2, onNode, words);
  const token = await makeToken(a2);
  const join = ["join", `${a.address}:${CONTROL_PORT}`, "--foreground"];
  await start(b2, onDeno, join, token);
  await start(c2, binary, join, token);

  await t.test("both are whole, and everybody reaches everybody", async (t) => {
    await untilInPlace(first, 2, "host-gw");
    await untilInPlace(second, 2);
    for (const host of first) await host.startContainer();
    for (const host of second) await startSecondContainer(host);
    t.same(await unreached(first), []);
    t.same(await unreached(second), []);
    const devices = (await ownRoutes(a)).map((line) => line.replace(/^(\S+) .* dev/, "$1"));
    t.same(devices, [
      ...["10.244.2.0/24 eth0", "10.244.3.0/24 eth0"],
      ...["10.245.2.0/24 denim.5", "10.245.3.0/24 denim.5"],
    ]);
  });

  await t.test("each goes by its own interface, and by no other", async (t) => {
    const by = (device: string, to: Host) =>
      pings(a.namespace, to.container!.address, "-I", device);
    for (const [gw, tunnel] of [[b, b2], [c, c2]] as const) {
      t.ok(await by("eth0", gw), "by the link");
      t.ok(await by("denim.5", tunnel), "by the tunnel");
      t.notOk(await by("denim.5", gw), "not by the tunnel");
      t.notOk(await by("eth0", tunnel), "not by the link");
    }
  });

  await t.test("whose rules are whose is in their names, and both stand", async (t) => {
    const exempt = (network: string) =>
      new RegExp(`ip saddr ${network} ip daddr != 224\\.0\\.0\\.0/4.* masquerade`);
    const rules = await inside(a.namespace, "nft", "list", "ruleset");
    for (const { Network } of [GW, TUNNEL]) t.match(rules, exempt(Network.replaceAll(".", "\\.")));
  });

  await t.test("what is taken away of one comes back, and the other is not touched", async (t) => {
    const before = await ownRoutes(a);
    await ipBatch(["link del denim.5", "route flush root 10.244.0.0/16"], a.namespace);
    await ipBatch(["route add 10.244.1.0/24 dev cni0"], a.namespace);
    await eventually(
      "all is back",
      async () => String(await ownRoutes(a)) === String(before) ? true : undefined,
    );
    t.same(await unreached(first), []);
    t.same(await unreached(second), []);
  });

  await t.test("a host that leaves one of them stays in the other", async (t) => {
    t.equal((await typed(c2, ["leave", "--yes"])).status, 0);
    await untilInPlace([a2, b2], 1);
    t.notOk(/denim\.5/.test(await inside(c.namespace, "ip", "link", "show")), "its tunnel is gone");
    t.same(await ownRoutes(c), await wantedRoutes(c, first));
    t.same(await unreached(first), []);
    t.same(await unreached([a2, b2]), []);
  });
});
