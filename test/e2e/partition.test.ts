/** Hosts that are cut off or put out: fenced is not cut off, and no subnet is shared. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import t, { type Test } from "tap";
import { CONTAINER_BRIDGE } from "../../src/cli/lab/container.ts";
import { get } from "../../src/cli/lab/http.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import { ip } from "../../src/cli/lab/ip.ts";
import {
  cannotLab,
  eventually,
  joinBy,
  makeLab,
  makeToken,
  NETWORK,
  onNode,
  ownRoutes,
  subnetOf,
  untilReady,
  untilRouted,
} from "../support/lab.ts";
import { foundAt, holderOf, plug, unplug, untilLease } from "../support/partition.ts";
import { passHours } from "../support/time-travel.ts";

const options = { skip: cannotLab, timeout: 600_000 };
/** Hardly more than the shortest that there is, for machines that are busy. */
const SHORT = `{"Network":"${NETWORK}","LeaseTTL":"6s"}`;

/** Answers the host's own containers, as a service of the host would; ends with the lab. */
function serveOn(host: Host): void {
  spawn("ip", ["netns", "exec", host.namespace, ...onNode, "probe"], {
    stdio: ["pipe", "ignore", "ignore"],
  }).once("error", () => {});
}

/** A container of the host reaches the host. */
async function worksInside(host: Host): Promise<boolean> {
  const gateway = (await host.subnetEnv())!.subnets[0].replace(/\/\d+$/, "");
  return (await host.container!.ask([gateway], 5_000))[gateway] !== null;
}

async function untilNobodyRoutes(subnet: string, hosts: readonly Host[]): Promise<void> {
  for (const host of hosts) {
    await eventually(`${host.name} has no route to ${subnet}`, async () => {
      return (await ownRoutes(host)).some((line) => line.startsWith(subnet)) ? undefined : true;
    });
  }
}

/** A new host that would like just this subnet; resolves with what it gets. */
async function joinWishing(host: Host, subnet: string, server: Host): Promise<string> {
  writeFileSync(host.subnetFile, `FLANNEL_SUBNET=${subnet}\n`);
  await joinBy(host, onNode, server, await makeToken(server, 1, ["--role", "agent"]));
  return await subnetOf(host);
}

t.test("a host that is cut off past its time", options, async (t) => {
  const lab = await makeLab(t);
  const [a, b, c] = [await lab.addHost("a"), await lab.addHost("b"), await lab.addHost("c")];
  const [d, e, f] = [await lab.addHost("d"), await lab.addHost("e"), await lab.addHost("f")];
  await foundAt(a, SHORT);
  const token = await makeToken(a, 2, ["--role", "agent"]);
  await Promise.all([b, c].map((host) => joinBy(host, onNode, a, token)));
  await untilRouted([a, b, c]);
  await b.startContainer();
  serveOn(b);
  const [subnet, routes] = [await subnetOf(b), await ownRoutes(b)];

  /** Nothing on it has changed but its standing. */
  const isFencedWhole = async (t: Test) => {
    t.same(await ownRoutes(b), routes, "its routes are as they were");
    t.equal(await subnetOf(b), subnet, "and what its runtimes read");
    t.ok(await worksInside(b), "and its containers");
    t.equal((await get({ socketPath: b.socketPath }, "/readyz")).status, 503);
  };

  await t.test("is fenced and keeps its own, while its peers drop its route", async (t) => {
    await unplug(b);
    await untilLease(b, "fenced");
    await untilNobodyRoutes(subnet, [a, c]);
    t.equal(await holderOf(subnet, a), undefined);
    await isFencedWhole(t);
  });

  await t.test("has its subnet again by a claim once it is back", async (t) => {
    await plug(b);
    await untilLease(b, "held");
    await untilReady([b]);
    await untilRouted([a, b, c]);
    t.equal(await subnetOf(b), subnet);
    t.equal(await holderOf(subnet, a), "b");
  });

  await t.test("stays fenced if it has gone to another meanwhile, and never shares it", async (t) => {
    await unplug(b);
    await untilLease(b, "fenced");
    await untilNobodyRoutes(subnet, [a, c]);
    // An expired subnet waits for an hour.
    await passHours(a, 2);
    t.equal(await joinWishing(d, subnet, a), subnet);
    await plug(b);
    await untilLease(b, "fenced", /leased to d/);
    t.equal(await holderOf(subnet, a), "d");
    t.equal(await subnetOf(b), subnet, "it is not renumbered");
    t.ok(await worksInside(b), "its own containers go on");
    t.equal((await get({ socketPath: b.socketPath }, "/readyz")).status, 503);
    await eventually("c sends to d", async () => {
      const wanted = `${subnet} via ${d.address} dev eth0`;
      return (await ownRoutes(c)).includes(wanted) ? true : undefined;
    });
  });

  await t.test("goes on in another subnet when it is moved, and not before", async (t) => {
    await a.ask(onNode, ["lease", "move", "b", "10.244.90.0/24", "--yes"]);
    await untilLease(b, "held");
    await eventually("its runtimes are told", async () => {
      return await subnetOf(b) === "10.244.90.0/24" ? true : undefined;
    });
    await eventually("c has heard of it", async () => {
      return await holderOf("10.244.90.0/24", c) === "b" ? true : undefined;
    });
    t.notOk(
      (await ownRoutes(b)).some((line) => line.startsWith(subnet)),
      "its bridge is in the way",
    );
    await ip(`-n ${b.namespace} link del ${CONTAINER_BRIDGE}`);
    await untilRouted([a, b, c, d]);
  });

  await t.test("is put out: its subnet waits until its own deadline has passed", async (t) => {
    const gone = await subnetOf(c);
    const before = await ownRoutes(c);
    await unplug(c);
    await a.ask(onNode, ["node", "rm", "c", "--force"]);
    await untilNobodyRoutes(gone, [a, b, d]);
    await t.rejects(a.ask(onNode, ["lease", "release", gone]), {
      code: "CHECKS_FAILED",
      why: /it waits.*c may still use it until 20.*"exit":7/,
    });
    t.not(await joinWishing(e, gone, a), gone);
    await untilLease(c, "fenced");
    t.same(await ownRoutes(c), before);
    await plug(c);
    await passHours(a, 1);
    t.equal(await joinWishing(f, gone, a), gone);
    await untilLease(c, "fenced", /it left or was removed/);
    t.equal(await holderOf(gone, a), "f");
    t.equal(await subnetOf(c), gone, "and it leaves its own host alone");
  });
});
