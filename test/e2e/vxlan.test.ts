/** Containers reach each other through tunnels, on one link and across a router. */
import { existsSync, readFileSync } from "node:fs";
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import {
  cannotLab,
  eventually,
  makeLab,
  onDeno,
  onNode,
  ownRoutes,
  singleBinary,
  subnetsOf,
  typed,
  unreached,
  watchAll,
} from "../support/lab.ts";
import { cannotFilter } from "../support/namespace.ts";
import { addFarHost, addRouter } from "../support/router.ts";
import { formCluster, inside, pings, untilInPlace } from "../support/tunnels.ts";

const TIMEOUT_MS = 600_000;

const FOUR = { Network: "10.244.0.0/16" };
const BOTH = { ...FOUR, EnableIPv6: true, IPv6Network: "fd42::/48" };

const cannotPing = existsSync("/usr/bin/ping") ? false : "needs Debian's iputils-ping";

async function setNetwork(host: Host, network: object): Promise<void> {
  const { status, err } = await typed(host, ["network", "set", JSON.stringify(network)]);
  if (status !== 0) throw new Error(err);
}

function mtuOf(host: Host): number {
  return Number(/^FLANNEL_MTU=(\d+)$/m.exec(readFileSync(host.subnetFile, "utf8"))?.[1]);
}

/** What `denim doctor` says of each peer. */
async function findingsOf(host: Host) {
  const { out } = await typed(host, ["doctor", "--json"]);
  const { findings } = JSON.parse(out) as {
    findings: { check: string; result: string; why?: string }[];
  };
  return findings.filter(({ check }) => check.startsWith("reach-"))
    .sort((a, b) => a.check < b.check ? -1 : 1);
}

/** `10.244.2.0/24 via 10.244.2.0 dev denim.1`: by the tunnel, to each subnet of each other host. */
async function tunnelRoutes(others: readonly Host[]): Promise<string[]> {
  const subnets = (await Promise.all(others.map(subnetsOf))).flat();
  return subnets.map((subnet) => {
    const device = subnet.includes(":") ? "denim6.1" : "denim.1";
    return `${subnet} via ${subnet.split("/")[0]} dev ${device}`;
  }).sort();
}

t.test("three hosts on one link", { skip: cannotLab, timeout: TIMEOUT_MS }, async (t) => {
  const lab = await makeLab(t);
  const [a, b, c] = [await lab.addHost("a"), await lab.addHost("b"), await lab.addHost("c")];
  const all = [a, b, c];
  const programs = [[a, await singleBinary()], [b, onNode], [c, onDeno]] as const;
  await formCluster(programs, { ...FOUR, Backend: { Type: "vxlan" } });

  await t.test("containers reach each other through the tunnel", async (t) => {
    await untilInPlace(all, 2);
    for (const host of all) await host.startContainer();
    t.same(await unreached(all), []);
    t.same(await ownRoutes(a), await tunnelRoutes([b, c]));
    t.same(all.map(mtuOf), [1450, 1450, 1450]);
    const { items } = await a.get("/v1/leases") as { items: { backendData: object }[] };
    for (const { backendData } of items) {
      t.match(
        Object.entries(backendData).join(" "),
        /^VNI,1 VtepMAC,[0-9a-f]{2}(:[0-9a-f]{2}){5}$/,
      );
    }
  });

  await t.test("packets of the containers' MTU pass whole", { skip: cannotPing }, async (t) => {
    const ping = (bytes: number) =>
      pings(a.containerNamespace, b.container!.address, "-M", "do", "-s", String(bytes - 28));
    t.same([await ping(1450), await ping(1451)], [true, false]);
  });

  await t.test("doctor tries the tunnel, and finds it well", async (t) => {
    t.same((await findingsOf(b)).map(({ result }) => result), ["ok", "ok"]);
  });

  await t.test("and tells what ails it", { skip: cannotFilter }, async (t) => {
    const drop = async (host: Host, match: string) => {
      const chain = "type filter hook input priority 0; policy accept";
      const table = `table inet ill {\nchain in {\n${chain}\n${match} drop\n}\n}`;
      await inside(host.namespace, "nft", table);
    };
    await drop(a, 'iifname "denim.1" meta l4proto tcp');
    await drop(c, "udp dport 8472");
    const [ofA, ofC] = await findingsOf(b);
    t.same([ofA?.check, ofA?.result], ["reach-a", "warning"]);
    t.match(ofA?.why ?? "", /checksums are spoiled/);
    t.same([ofC?.check, ofC?.result], ["reach-c", "failed"]);
    t.match(ofC?.why ?? "", /nothing comes through denim\.1: a firewall drops UDP 8472/);
    for (const host of [a, c]) await inside(host.namespace, "nft", "delete table inet ill");
  });

  await t.test("with direct routing nobody on the link needs it", async (t) => {
    const ended = await watchAll(all);
    await setNetwork(a, { ...FOUR, Backend: { Type: "vxlan", DirectRouting: true } });
    const direct = [b, c].map(async (host) =>
      `${(await subnetsOf(host))[0]} via ${host.address} dev eth0`
    );
    const wanted = (await Promise.all(direct)).sort();
    await eventually(
      "direct routes",
      async () => String(await ownRoutes(a)) === String(wanted) ? true : undefined,
    );
    await untilInPlace(all, 2);
    t.same(await ended(), [], "and nothing is lost on the way there");
    t.same(await inside(a.namespace, "bridge", "fdb", "show", "dev", "denim.1"), "");
    t.same(await unreached(all), []);
  });

  await t.test("another VNI: all hosts follow, and nothing of the old one stays", async (t) => {
    await setNetwork(a, { ...FOUR, Backend: { Type: "vxlan", VNI: 7, Port: 4789 } });
    await eventually("the new tunnel", async () => {
      const routes = await Promise.all(all.map(ownRoutes));
      return routes.every((of) => of.length === 2 && of.every((line) => line.endsWith(" denim.7")))
        ? true
        : undefined;
    });
    await untilInPlace(all, 2);
    t.same(await unreached(all), []);
    t.notOk(/denim\.1/.test(await inside(a.namespace, "ip", "link", "show")));
    const { items } = await c.get("/v1/leases") as { items: { backendData: object }[] };
    t.ok(items.every(({ backendData }) => "Port" in backendData));
  });

  await t.test("from vxlan to host-gw and back, host by host", async (t) => {
    await setNetwork(a, { ...FOUR, Backend: { Type: "host-gw" } });
    await untilInPlace(all, 2, "host-gw");
    t.same(await unreached(all), []);
    t.notOk(/denim6?\./.test(await inside(c.namespace, "ip", "link", "show")));
    t.ok((await ownRoutes(b)).every((line) => line.endsWith(" eth0")));
    await eventually("the containers' MTU", async () => mtuOf(b) === 1500 ? true : undefined);
  });

  await t.test("a host that does not follow is left out, and says why", async (t) => {
    await b.daemon!.stop();
    await setNetwork(a, { ...FOUR, Backend: { Type: "vxlan" } });
    await eventually("a has left b out", async () => {
      const { out } = await typed(a, ["route"]);
      return /b has the backend host-gw, and this host vxlan/.test(out) ? true : undefined;
    });
    t.same(await ownRoutes(a), await tunnelRoutes([c]));
    t.match((await typed(a, ["status"])).out, /left-out: b has the backend host-gw/);
    await b.startDaemon(onNode, ["run"]);
    await untilInPlace(all, 2);
    t.same(await unreached(all), []);
  });
});

t.test("a host beyond a router, in a network of both families", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a", [4, 6]), await lab.addHost("b", [4, 6])];
  await addRouter(lab);
  const c = await addFarHost(lab, "c", 3, [4, 6]);
  const all = [a, b, c];
  const programs = [[a, onDeno], [b, await singleBinary()], [c, onNode]] as const;
  await formCluster(programs, { ...BOTH, Backend: { Type: "vxlan" } });

  await t.test("containers reach each other through two tunnels", async (t) => {
    await untilInPlace(all, 4);
    for (const host of all) await host.startContainer();
    t.same(await unreached(all), []);
    t.same(await ownRoutes(a), await tunnelRoutes([b, c]));
    t.same(all.map(mtuOf), [1430, 1430, 1430]);
    const mtus = (await inside(a.namespace, "ip", "link", "show")).match(/denim\S+: .* mtu \d+/g);
    t.same(mtus?.map((line) => line.replace(/:.* /, " ")), ["denim.1 1450", "denim6.1 1430"]);
  });

  await t.test("packets of the containers' MTU pass whole", { skip: cannotPing }, async (t) => {
    for (const [i, head] of [28, 48].entries()) {
      const to = c.container!.addresses[i]!;
      const size = String(1430 - head);
      t.ok(await pings(a.containerNamespace, to, "-M", "do", "-s", size), to);
    }
  });

  await t.test("doctor tries both tunnels, and finds them well", async (t) => {
    t.same((await findingsOf(c)).map(({ check, result }) => `${check} ${result}`), [
      ...["reach-a ok", "reach-a-6 ok", "reach-b ok", "reach-b-6 ok"],
    ]);
  });

  await t.test("with direct routing only what is beyond the router goes by it", async (t) => {
    await setNetwork(a, { ...BOTH, Backend: { Type: "vxlan", DirectRouting: true } });
    const near = (await subnetsOf(b)).map((subnet, i) =>
      `${subnet} via ${b.addresses[i]} dev eth0`
    );
    const wanted = [...near, ...await tunnelRoutes([c])].sort();
    await eventually(
      "direct routes to b",
      async () => String(await ownRoutes(a)) === String(wanted) ? true : undefined,
    );
    t.same(await ownRoutes(c), await tunnelRoutes([a, b]));
    await untilInPlace(all, 4);
    t.same(await unreached(all), []);
  });
});

t.test(
  "a host beyond a router, and host-gw",
  { skip: cannotLab, timeout: TIMEOUT_MS },
  async (t) => {
    const lab = await makeLab(t);
    const a = await lab.addHost("a");
    await addRouter(lab);
    const c = await addFarHost(lab, "c", 3);
    await formCluster([[a, onNode], [c, onNode]], { ...FOUR, Backend: { Type: "host-gw" } });
    t.match(
      (await typed(a, ["route"])).out,
      /is not on the link eth0 \(192\.0\.2\.0\/24\): host-gw needs one flat network; vxlan crosses/,
    );
    await setNetwork(a, { ...FOUR, Backend: { Type: "vxlan" } });
    await untilInPlace([a, c], 1);
    for (const host of [a, c]) await host.startContainer();
    t.same(await unreached([a, c]), [], "what the message names is what helps");
  },
);
