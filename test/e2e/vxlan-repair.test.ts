/** What happens to a tunnel and its ends, and how the daemons put it right. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { ipBatch } from "../../src/cli/lab/ip.ts";
import {
  cannotLab,
  eventually,
  makeLab,
  onNode,
  ownRoutes,
  restart,
  singleBinary,
  subnetOf,
  typed,
  unreached,
  untilReady,
} from "../support/lab.ts";
import { formCluster, inside, untilInPlace } from "../support/tunnels.ts";

const TIMEOUT_MS = 600_000;
/** Ten times the goal that `npm run bench -- repair` measures against. */
const REPAIR_MS = 2_000;
/** Another node has to hear of it first. */
const CLUSTER_MS = 60_000;

const NETWORK = { Network: "10.244.0.0/16", Backend: { Type: "vxlan" } };

/** All of a tunnel, as `ip` and `bridge` show it. */
async function tunnelOf({ namespace }: Host): Promise<string> {
  const texts: string[] = [];
  for (
    const words of [
      ["ip", "-d", "link", "show", "denim.1"],
      ["ip", "-4", "address", "show", "dev", "denim.1"],
      ["ip", "neigh", "show", "dev", "denim.1"],
      ["bridge", "fdb", "show", "dev", "denim.1"],
      ["ip", "route", "show", "dev", "denim.1"],
    ]
  ) texts.push(await inside(namespace, ...words).catch(() => "none\n"));
  // Its number is another one after it had to be made anew, and who comes first is by chance.
  return texts.join("").replaceAll(/^\d+: /gm, "").split("\n").sort().join("\n");
}

async function macOf({ namespace }: Host): Promise<string> {
  return /link\/ether (\S+)/.exec(await inside(namespace, "ip", "link", "show", "denim.1"))![1]!;
}

async function on(host: Host, ...lines: string[]): Promise<void> {
  await ipBatch(lines, host.namespace);
}

t.test("a tunnel that is meddled with", { skip: cannotLab, timeout: TIMEOUT_MS }, async (t) => {
  const lab = await makeLab(t);
  const [a, b, c] = [await lab.addHost("a"), await lab.addHost("b"), await lab.addHost("c")];
  const all = [a, b, c];
  await formCluster([[a, onNode], [b, await singleBinary()], [c, onNode]], NETWORK);
  await untilInPlace(all, 2);
  for (const host of all) await host.startContainer();
  t.same(await unreached(all), []);
  const before = await tunnelOf(b);
  const [macOfA, macOfB] = [await macOf(a), await macOf(b)];
  const toA = await subnetOf(a);
  const neighbour = toA.split("/")[0]!;

  /** Everything is as it was, within the time that is given. */
  const isBack = async (timeoutMs = REPAIR_MS) =>
    await eventually("all is back", async () => {
      return await tunnelOf(b) === before ? true : undefined;
    }, timeoutMs);

  const events: readonly (readonly [string, () => Promise<unknown>])[] = [
    ["the link is deleted", () => on(b, "link del denim.1")],
    ["the link is set down", () => on(b, "link set denim.1 down")],
    ["the link has another MAC address", () => on(b, "link set denim.1 address 02:00:00:00:00:77")],
    ["the link has another MTU", () => on(b, "link set denim.1 mtu 1300")],
    ["its address is deleted", () => on(b, "addr flush dev denim.1")],
    [
      "a forwarding entry is deleted",
      () => inside(b.namespace, "bridge", "fdb", "del", macOfA, "dev", "denim.1"),
    ],
    [
      "a forwarding entry leads elsewhere",
      () =>
        inside(
          b.namespace,
          ...["bridge", "fdb", "replace", macOfA, "dev", "denim.1"],
          ...["dst", "192.0.2.77", "self", "permanent"],
        ),
    ],
    ["a neighbour is deleted", () => on(b, `neigh del ${neighbour} dev denim.1`)],
    [
      "a neighbour has another MAC address",
      () => on(b, `neigh replace ${neighbour} lladdr 02:00:00:00:00:78 dev denim.1 nud permanent`),
    ],
    ["a route is deleted", () => on(b, `route del ${toA}`)],
  ];
  for (const [what, happens] of events) {
    await t.test(what, async (t) => {
      await happens();
      await isBack();
      t.same(await unreached(all), []);
    });
  }

  await t.test("the underlay is deleted and made anew", async (t) => {
    await on(b, "link del eth0");
    await eventually(
      "the tunnel went along",
      async () =>
        /denim\.1/.test(await inside(b.namespace, "ip", "link", "show")) ? undefined : true,
    );
    await lab.plugIn(b);
    await isBack();
    t.same(await unreached(all), []);
  });

  await t.test("the underlay has another MTU: the tunnel follows, and back", async (t) => {
    const says = async (mtu: number) =>
      readFileSync(b.subnetFile, "utf8").includes(`FLANNEL_MTU=${mtu}\n`) &&
      (await tunnelOf(b)).includes(` mtu ${mtu} `);
    for (const mtu of [1400, 1500]) {
      await on(b, `link set eth0 mtu ${mtu}`);
      await eventually(
        `an MTU of ${mtu - 50}`,
        async () => await says(mtu - 50) ? true : undefined,
        REPAIR_MS,
      );
    }
    await isBack();
    t.same(await unreached(all), []);
  });

  await t.test("a foreign link of that name is told of, and not touched", async (t) => {
    await b.daemon!.stop();
    await on(b, "link del denim.1", "link add denim.1 type bridge");
    await restart(b, onNode);
    await eventually(
      "it is told",
      async () =>
        /link denim\.1.*another link has that name/.test((await typed(b, ["status"])).out)
          ? true
          : undefined,
    );
    t.match(await inside(b.namespace, "ip", "-d", "link", "show", "denim.1"), /bridge/);
    await on(b, "link del denim.1");
    await isBack();
    await untilReady([b]);
    t.same(await unreached(all), []);
  });

  await t.test("a peer's MAC address is another one: all others follow", async (t) => {
    await b.daemon!.stop();
    const file = join(b.stateDir, "identity", "secret.json");
    const secret = readFileSync(file, "utf8");
    const other = secret.replace(/[0-9a-f]{64}/, (seed) => [...seed].reverse().join(""));
    t.not(other, secret);
    writeFileSync(file, other);
    await restart(b, onNode);
    await untilReady([b]);
    await eventually(
      "the tunnel has it",
      async () => await macOf(b) === macOfB ? undefined : true,
      CLUSTER_MS,
    );
    const now = await macOf(b);
    for (const host of [a, c]) {
      await eventually(`${host.name} knows it, and the old one no more`, async () => {
        const seen = await tunnelOf(host);
        return seen.includes(now) && !seen.includes(macOfB) ? true : undefined;
      }, CLUSTER_MS);
    }
    t.same(await unreached(all), []);
    t.equal((await ownRoutes(a)).length, 2);
  });

  await t.test("the daemon is down: the tunnel stays, and traffic flows", async (t) => {
    await a.daemon!.stop("SIGKILL");
    t.same(await unreached(all), []);
    await restart(a, onNode);
    await untilReady([a]);
    await untilInPlace(all, 2);
    t.same(await unreached(all), []);
  });
});
