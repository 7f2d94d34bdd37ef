/** Backends that are not Denim's own, on real hosts: loaded from a directory, and used by name. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { ipBatch } from "../../src/cli/lab/ip.ts";
import {
  cannotLab,
  eventually,
  onNode,
  ownRoutes,
  subnetOf,
  typed,
  unreached,
  untilRouted,
} from "../support/lab.ts";
import { MOODY, notesOf, putMoody, setNetwork, threeRuntimes } from "../support/moody.ts";
import { root } from "../support/root.ts";

const TIMEOUT_MS = 600_000;

t.test("the example backend, in the single binary, on Deno and on Node, carries packets", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const example = join(root, "examples/backends/static");
  const routers: Host[] = [];
  const backend = { Type: "static", Gateway: "192.0.2.4" };
  const hosts = await threeRuntimes(t, backend, async (hosts, lab) => {
    routers.push(await lab.addHost("r"));
    for (const { backendsDir } of hosts) {
      cpSync(example, join(backendsDir, "static"), { recursive: true });
    }
  });
  const [router] = routers as [Host];
  t.equal(router.address, "192.0.2.4");
  await router.set("net/ipv4/ip_forward", "1");
  for (const host of hosts) {
    await ipBatch([`route add ${await subnetOf(host)} via ${host.address}`], router.namespace);
    const others = hosts.filter((other) => other !== host);
    const wanted = await Promise.all(
      others.map(async (other) => `${await subnetOf(other)} via 192.0.2.4 dev eth0`),
    );
    await eventually(`${host.name} routes by the gateway`, async () => {
      return String(await ownRoutes(host)) === String(wanted.sort()) ? true : undefined;
    });
    await host.startContainer();
  }
  t.same(await unreached(hosts), []);
  for (const host of hosts) {
    const { out } = await typed(host, ["status"]);
    t.match(out, /backend +static · MTU 1500/);
  }
});

const MEET = ": they meet when both follow the same network config";

t.test("bad data of a peer costs that peer only; another backend is taken host by host", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const picky = (data: string) =>
    MOODY.replace(
      "parseData: () => null",
      `parseData(json) {
    if (json !== null) throw new TypeError("cannot read " + JSON.stringify(json));
    return null;
  }`,
    ).replace("data: null, mtu", `data: ${data}, mtu`);
  const hosts = await threeRuntimes(t, { Type: "moody" }, (hosts) => {
    hosts.forEach((host) => putMoody(host, picky("null")));
  });
  const [a, b, c] = hosts;
  await untilRouted(hosts);
  for (const host of hosts) await host.startContainer();
  const toC = await subnetOf(c);
  const leftOut = async (host: Host) => {
    const { out } = await typed(host, ["route", "--json"]);
    const { items } = JSON.parse(out) as {
      items: { about: string; state: string; error?: string }[];
    };
    return items.filter(({ state }) => state === "left-out")
      .map(({ about, error }) => `${about}: ${error}`).sort();
  };
  const untilLeftOut = async (host: Host, wanted: readonly string[]) =>
    await eventually(`${host.name} leaves out ${wanted}`, async () => {
      return String(await leftOut(host)) === String([...wanted].sort()) ? true : undefined;
    });

  await t.test("bad data of a peer", { timeout: TIMEOUT_MS }, async (t) => {
    await c.daemon!.stop();
    // It has its own idea of what is to be published, and reads that.
    putMoody(c, MOODY.replace("data: null, mtu", 'data: "odd" as never, mtu'));
    await c.startDaemon(onNode, ["run"]);
    const why = `${toC}: what c has published cannot be read: cannot read "odd"`;
    for (const host of [a, b]) await untilLeftOut(host, [why]);
    t.same(await unreached([a, b]), [], "the others go on");
    await c.daemon!.stop();
    putMoody(c, picky("null"));
    await c.startDaemon(onNode, ["run"]);
    await untilRouted(hosts);
    t.same(await unreached(hosts), []);
  });

  await t.test(
    "hosts with different backends are no peers, and say so",
    { timeout: TIMEOUT_MS },
    async (t) => {
      for (const host of [a, c]) putMoody(host, MOODY, "calm");
      await setNetwork(a, { Type: "calm" });
      const [subnetA, subnetB] = [await subnetOf(a), await subnetOf(b)];
      for (const host of [a, c]) {
        await untilLeftOut(host, [
          `${subnetB}: b has the backend moody, and this host calm${MEET}`,
        ]);
      }
      await untilLeftOut(b, [
        `${subnetA}: a has the backend calm, and this host moody${MEET}`,
        `${toC}: c has the backend calm, and this host moody${MEET}`,
      ]);
      t.same(await ownRoutes(b), [], "nothing leads to where nobody answers");
      t.same(await unreached([a, c]), []);
      t.match(await notesOf(b), /! interface: Cannot find the backend "calm".*backends\/calm/);
      putMoody(b, MOODY, "calm");
      for (const host of hosts) await untilLeftOut(host, []);
      await untilRouted(hosts);
      t.same(await unreached(hosts), []);
    },
  );
});
