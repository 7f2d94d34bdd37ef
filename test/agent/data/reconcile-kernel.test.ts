/** The reconciler on a real kernel: what a person does with `ip` is put right. */
import { spawnSync } from "node:child_process";
import t from "tap";
import { hostGw } from "../../../plugins/host-gw/mod.ts";
import { type Pass, Reconciler } from "../../../src/agent/data/reconcile.ts";
import { routeViews } from "../../../src/agent/data/route-view.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLogger } from "../../../src/base/log.ts";
import { formatPrefix, parsePrefix } from "../../../src/ip/prefix.ts";
import { LinuxKernel } from "../../../src/kernel/linux-kernel.ts";
import { ROUTE_PROTOCOL } from "../../../src/plan/kernel.ts";
import { hostAt, peerAt } from "../../support/hosts.ts";
import { reconcilePeers } from "../../support/many-peers.ts";
import { cannotUnshare, inNamespace, ip } from "../../support/namespace.ts";

/** Generous; the periodic look would come after thirty seconds. */
const REPAIR_MS_MAX = 20_000;

/** `linux/rtnetlink.h`: an administrator's. */
const RTPROT_STATIC = 4;

t.test("routes that ip or a link took away are back at once, and others' stay", {
  skip: cannotUnshare,
}, async (t) => {
  inNamespace(t);
  ip("link add eth0 type veth peer name eth0p");
  ip("address add 10.0.0.1/24 dev eth0");
  ip("link set eth0p up");
  ip("link set eth0 up");
  ip("route add 10.42.9.0/24 via 10.0.0.9");
  const host = hostAt("10.0.0.1/24");
  const node = (n: number) => peerAt(`node-${n}`, `10.0.0.${n}`, `10.42.${n}.0/24`);
  await using kernel = await LinuxKernel.open();
  const passes: Pass[] = [];
  await using reconciler = new Reconciler({
    kernel,
    clock: systemClock(),
    log: silentLogger,
    situation: () => ({
      backend: hostGw,
      network: parsePrefix("10.42.0.0/16"),
      host,
      config: null,
      own: node(1),
      peers: [node(2), node(3), node(9)],
      networks: [parsePrefix("10.42.0.0/16")],
      confidence: {
        confirmedByLeader: true,
        hold: false,
        epoch: { n: 1, random: "a" },
        revision: 1,
        programmed: undefined,
      },
    }),
    onPass: (pass) => passes.push(pass),
  });
  reconciler.start();
  const both = "10.42.2.0/24 via 10.0.0.2 dev eth0 10.42.3.0/24 via 10.0.0.3 dev eth0";
  const isThere = async (wanted = both) => {
    const deadlineMs = performance.now() + REPAIR_MS_MAX;
    while (performance.now() < deadlineMs) {
      if (ip("route show proto 68").replace(/\s+/g, " ").trim() === wanted) return true;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return false;
  };
  t.ok(await isThere(), "made");
  ip("route del 10.42.2.0/24");
  t.ok(await isThere(), "repaired after ip route del");
  t.match(ip("route show 10.42.9.0/24"), /^10\.42\.9\.0\/24 via 10\.0\.0\.9 dev eth0 *\n$/);
  // The link takes the foreign route along, too; with it the conflict is gone.
  ip("link set eth0 down");
  ip("link set eth0 up");
  t.ok(await isThere(`${both} 10.42.9.0/24 via 10.0.0.9 dev eth0`), "repaired after the link");
  const comesToRest = async () => {
    const deadlineMs = performance.now() + REPAIR_MS_MAX;
    while (performance.now() < deadlineMs) {
      const before = passes.length;
      await new Promise((resolve) => setTimeout(resolve, 300));
      if (passes.length === before) return true;
    }
    return false;
  };
  t.ok(await comesToRest(), "its own changes wake nobody");
});

/** The loop stands still while the stranger works: `spawnSync` waits for it. */
t.test("5,000 changes while nobody listens are put right, and no foreign route is touched", {
  skip: cannotUnshare,
}, async (t) => {
  inNamespace(t);
  ip("link add eth0 type veth peer name eth0p");
  ip("address add 10.0.0.1/16 dev eth0");
  ip("link set eth0p up");
  ip("link set eth0 up");
  await using kernel = await LinuxKernel.open();
  await using table = reconcilePeers(kernel, 2_500);
  await table.nextPass();
  const foreign = (i: number) => `10.200.${i >> 8}.${i & 255}`;
  const lines = table.wanted.flatMap(({ destination }, i) => [
    `route del ${formatPrefix(destination)} proto 68`,
    `route add ${foreign(i)} via 10.0.0.9 proto ${RTPROT_STATIC}`,
  ]);
  const repaired = table.nextPass();
  const input = lines.join("\n");
  const { status, stderr } = spawnSync("ip", ["-batch", "-"], { input, encoding: "utf8" });
  t.equal(status, 0, stderr);
  t.equal((await repaired).changes.length, 2_500, "the kernel's word was enough");
  const { routes } = await kernel.read();
  t.equal(routes.filter(({ protocol }) => protocol === ROUTE_PROTOCOL).length, 2_500);
  t.equal(routes.filter(({ protocol }) => protocol === RTPROT_STATIC).length, 2_500);
});

t.test("routes that the kernel refuses are told in its words, and keep no other waiting", {
  skip: cannotUnshare,
}, async (t) => {
  inNamespace(t);
  ip("link add eth0 type veth peer name eth0p");
  // Its broadcast address, and what is beyond it, are nobody's; the backend does not know that.
  ip("address add 10.0.0.1/24 dev eth0");
  ip("link set eth0p up");
  ip("link set eth0 up");
  await using kernel = await LinuxKernel.open();
  await using table = reconcilePeers(kernel, 300);
  const views = routeViews(await table.nextPass());
  const states = views.map(({ state }) => state);
  t.same([...new Set(states)].sort(), ["failed", "ok"]);
  const refused = views.filter(({ state }) => state === "failed");
  t.equal(refused.length, 47);
  for (const { about, error } of refused) t.match(error!, /Nexthop has invalid gateway/, about);
  const ours = ip("route show proto 68").trim().split("\n");
  t.equal(ours.length, 253, "all others are there");
  ip("address del 10.0.0.1/24 dev eth0");
  ip("address add 10.0.0.1/16 dev eth0");
  await table.untilRight();
});
