/** Disks that run full, with real nodes on a virtual clock. */
import t from "tap";
import { Metrics } from "../../src/agent/metrics.ts";
import { checksOf } from "../../src/agent/views.ts";
import { grow } from "./grow.ts";
import { aLeader, leaderOf, soon } from "./stage.ts";

const MIB = 1024 * 1024;

t.test("a leader whose disk runs full says so and hands over to one with room", async (t) => {
  const { stage, servers } = await grow(31);
  const leader = await aLeader(stage);
  const roomy = servers.find((host) => host !== leader)!;
  for (const host of servers) host.disk.mood.freeBytes = host === roomy ? 1_000 * MIB : 100 * MIB;
  t.ok(await soon(stage, 30_000, () => leaderOf(stage) === roomy));
  const disk = checksOf(leader.node!).find(({ name }) => name === "disk")!;
  t.ok(disk.ok, "containers can still be started");
  t.match(disk.why!, /^100 MiB are free where .* is, less than 256 MiB/);
  const metrics = await new Metrics("0.1.0").text(leader.node);
  t.match(metrics, /^denim_disk_low 1$/m);
  t.match(metrics, /^denim_disk_free_bytes 104857600$/m);
  await stage.pass(30_000);
  t.equal(leaderOf(stage), roomy, "and it stays there");
  roomy.disk.mood.freeBytes = 100 * MIB;
  await stage.pass(30_000);
  t.equal(leaderOf(stage), roomy, "where nobody has room, nothing is gained by moving");
});
