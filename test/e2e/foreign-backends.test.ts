/** Backends that are not Denim's own, on real hosts: loaded from a directory, and used by name. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { ipBatch } from "../../src/cli/lab/ip.ts";
import { filesIn, LANGUAGES, putBackend } from "../support/foreign.ts";
import {
  cannotLab,
  eventually,
  makeLab,
  onDeno,
  onNode,
  ownRoutes,
  singleBinary,
  subnetOf,
  typed,
  unreached,
  untilRouted,
} from "../support/lab.ts";
import { MOODY, notesOf, putMoody, setNetwork, threeRuntimes } from "../support/moody.ts";
import { root } from "../support/root.ts";
import { addFarHost, addRouter } from "../support/router.ts";
import { formCluster, untilInPlace } from "../support/tunnels.ts";

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

  for (const language of LANGUAGES) {
    await t.test(`and one in .${language} that imports another file`, async (t) => {
      const name = `in-${language}`;
      const publish = "publish: (host) => ({ data: { word }, mtu: host.link.mtu - 20 })";
      for (const { backendsDir } of hosts) {
        putBackend(backendsDir, filesIn(language, { publish }, name), name);
      }
      await setNetwork(hosts[0], { Type: name });
      await eventually("every host has said its word by the new one", async () => {
        const { items } = await hosts[0].get("/v1/leases") as {
          items: { backendType: string; backendData: object }[];
        };
        const words = items.map(({ backendType, backendData }) =>
          `${backendType} ${JSON.stringify(backendData)}`
        );
        return words.every((words) => words === `${name} {"word":"hello"}`) ? true : undefined;
      });
      await untilRouted(hosts);
      await eventually("containers reach each other", async () => {
        return (await unreached(hosts)).length === 0 ? true : undefined;
      });
      t.same(await unreached(hosts), []);
    });
  }
});

t.test("the example backend carries packets across a router that is the gateway of both links", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const lab = await makeLab(t);
  const router = await addRouter(lab);
  const [a, b, c] = [await lab.addHost("a"), await lab.addHost("b"), await addFarHost(lab, "c", 4)];
  const hosts = [a, b, c];
  // One address for all hosts: on the other link the router answers for it, too.
  await ipBatch([`route add ${router.address} dev eth0`], c.namespace);
  for (const { backendsDir } of hosts) {
    cpSync(join(root, "examples/backends/static"), join(backendsDir, "static"), {
      recursive: true,
    });
  }
  await formCluster([[a, await singleBinary()], [b, onNode], [c, onDeno]], {
    ...{ Network: "10.244.0.0/16", Backend: { Type: "static", Gateway: router.address } },
  });
  for (const host of hosts) {
    await ipBatch([`route add ${await subnetOf(host)} via ${host.address}`], router.namespace);
  }
  await untilInPlace(hosts, 2, "static");
  for (const host of hosts) await host.startContainer();
  t.same(await unreached(hosts), []);
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
