/** A host that cannot tell how long it was away asks before it relies on its lease. */
import { existsSync, rmSync } from "node:fs";
import t from "tap";
import { get } from "../../src/cli/lab/http.ts";
import { ip } from "../../src/cli/lab/ip.ts";
import {
  cannotLab,
  eventually,
  joinBy,
  makeLab,
  makeToken,
  NETWORK,
  ownRoutes,
  subnetOf,
  untilReady,
  untilRouted,
  wantedRoutes,
} from "../support/lab.ts";
import { foundAt, holderOf, plug, standingOf, unplug, untilLease } from "../support/partition.ts";
import { inForgedTime, passHours, setTime, timeOf } from "../support/time-travel.ts";

const options = { skip: cannotLab, timeout: 600_000 };

t.test(
  "a reboot with a dead clock after thirty hours: fenced until confirmed",
  options,
  async (t) => {
    const lab = await makeLab(t);
    const [a, b] = [await lab.addHost("a"), await lab.addHost("b")];
    await foundAt(a, NETWORK);
    await joinBy(b, inForgedTime, a, await makeToken(a, 1, ["--role", "agent"]));
    await untilRouted([a, b]);
    const [subnet, wanted] = [await subnetOf(b), await wantedRoutes(b, [a, b])];
    /** Power is lost: with it everything that was in memory. */
    const crash = async () => {
      await b.daemon!.stop("SIGKILL");
      await ip(`-n ${b.namespace} route flush proto 68`);
      rmSync(b.subnetFile);
    };
    const start = async () => {
      await b.startDaemon(inForgedTime, ["run"], timeOf(b));
      await eventually("its routes are back, from its disk", async () => {
        return String(await ownRoutes(b)) === String(wanted) ? true : undefined;
      });
    };

    await t.test("without a reboot its disk's word is good, while nobody can be asked", async (t) => {
      await crash();
      await unplug(b);
      await start();
      await untilReady([b]);
      t.equal((await standingOf(b)).lease.state, "held");
      await plug(b);
    });

    await t.test("after one it programs its routes, and starts no container", async (t) => {
      await crash();
      await unplug(b);
      await passHours(a, 30);
      // Its own clock stood still: as far as it can tell, no time has passed at all.
      await setTime(b, { aheadMs: 0, bootId: "00000000-0000-4000-8000-000000000002" });
      await start();
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      const { ready, lease } = await standingOf(b);
      t.same([ready, lease.state], [false, "fenced"]);
      t.notOk(existsSync(b.subnetFile));
      t.equal((await get({ socketPath: b.socketPath }, "/readyz")).status, 503);
      t.equal(await holderOf(subnet, a), undefined, "the cluster has given it up long ago");
    });

    await t.test("then the cluster confirms the very same one", async (t) => {
      await plug(b);
      await untilLease(b, "held");
      await untilReady([b]);
      t.equal(await subnetOf(b), subnet);
      t.equal(await holderOf(subnet, a), "b");
    });
  },
);
