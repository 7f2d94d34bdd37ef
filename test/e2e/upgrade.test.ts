/** Three servers get a new Denim, one after the other, while they are used. */
import { join } from "node:path";
import t from "tap";
import { ApiClient } from "../../src/api/client.ts";
import type { LevelView } from "../../src/api/service.ts";
import { systemClock } from "../../src/base/clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import {
  cannotLab,
  eventually,
  makeLab,
  onNode,
  restart,
  runInside,
  subnetOf,
  untilReady,
  untilRouted,
  watchAll,
} from "../support/lab.ts";
import { root } from "../support/root.ts";
import { leasesOf, threeServers } from "../support/servers.ts";
import { makeTokens } from "./chaos-clients.ts";

const [runtime, main] = onNode as [string, string];
const onNext: Program = [runtime, "--import", join(root, "test/support/next-denim.ts"), main];
const WRITERS = 6;

interface Raft {
  readonly id: number;
  readonly role: string;
  readonly leader: number;
  readonly configuration: { readonly voters: readonly number[] };
}

const raftOf = async (host: Host) => await host.get("/v1/raft") as Raft;

/** `denim cluster upgrade`: the level, what everybody supports, and who is behind. */
async function upgrade(host: Host, ...more: readonly string[]): Promise<string> {
  const { level, supported, behind } = await host.ask(onNode, [
    ...["cluster", "upgrade"],
    ...more,
  ]) as LevelView;
  return [level, supported, ...behind.map(({ name }) => name)].join(" ");
}

t.test("a rolling upgrade loses no write and no packet, and then the level is raised", {
  skip: cannotLab,
  timeout: 600_000,
}, async (t) => {
  const hosts = await threeServers(await makeLab(t));
  await untilRouted(hosts);
  for (const host of hosts) await host.startContainer();
  const subnets = await Promise.all(hosts.map(subnetOf));
  const { voters } = (await raftOf(hosts[0])).configuration;
  const endWatch = await watchAll(hosts);
  const over = new AbortController();
  const writers = Array.from(
    { length: WRITERS },
    (_, i) =>
      makeTokens({ hosts, clock: systemClock(), random: seededRandom(i), signal: over.signal }),
  );

  for (const [i, host] of hosts.entries()) {
    const before = await raftOf(host);
    await host.daemon!.stop();
    const others = await Promise.all(hosts.filter((other) => other !== host).map(raftOf));
    if (before.role === "leader") {
      const followed = others.some(({ leader }) => leader !== 0 && leader !== before.id);
      t.ok(followed, "a leader that is stopped is followed before it is gone");
    }
    await restart(host, onNext);
    await untilReady([host]);
    if (i === 1) {
      await eventually("one is behind", async () => {
        return await upgrade(host) === "1 1 c" ? true : undefined;
      });
      await t.rejects(upgrade(host, "--finalize"), {
        code: "CHECKS_FAILED",
        why: /UPGRADE_NEEDED[^]*1 nodes do not support more, for example c /,
      });
    }
  }
  over.abort();
  const tokens = (await Promise.all(writers)).flat();
  t.same(await endWatch(), [], "no packet was lost");

  await eventually("the last one has said what it supports", async () => {
    return await upgrade(hosts[0]) === "1 2" ? true : undefined;
  });
  t.equal(await upgrade(hosts[2], "--finalize"), "2 2");
  t.equal(await upgrade(hosts[1], "--finalize"), "2 2", "twice is once");
  const known = await new ApiClient(hosts[2].socketPath).call("/v1/tokens") as {
    items: { id: string }[];
  };
  const present = new Set(known.items.map(({ id }) => id));
  t.same(tokens.filter((id) => !present.has(id)), [], "no write was lost");
  t.ok(tokens.length > 10, `${tokens.length} tokens`);
  t.same((await raftOf(hosts[1])).configuration.voters, voters, "nobody's role has changed");
  t.same((await leasesOf(hosts[0])).map(({ subnet }) => subnet).sort(), [...subnets].sort());

  await hosts[0].daemon!.stop();
  const said = await runInside(hosts[0], ["run"]);
  t.same([said.status, /UPGRADE_NEEDED/.test(said.err)], [7, true], "there is no way back");
});
