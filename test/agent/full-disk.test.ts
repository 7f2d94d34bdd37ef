/** A whole node on a real file system of a few MiB that somebody fills. */
import t from "tap";
import { checksOf } from "../../src/agent/views.ts";
import { isDenimError } from "../../src/base/errors.ts";
import { until } from "../support/fast-clock.ts";
import { FOUND, RealHost } from "../support/real-host.ts";
import { cannotMount, SmallDisk } from "../support/small-disk.ts";

const MIB = 1024 * 1024;

async function writeUntilFull(host: RealHost): Promise<string[]> {
  const acknowledged: string[] = [];
  for (let n = 0; n < 5_000; n++) {
    const subnet = `10.5.${n % 250 + 2}.0/24`;
    try {
      const { cluster } = host.node.control;
      await cluster.propose({ kind: "reservation.put", subnet, nodeName: `host${n}` });
      acknowledged.push(`${subnet} host${n}`);
    } catch (error) {
      if (isDenimError(error, "OUTCOME_UNKNOWN")) return acknowledged;
      throw error;
    }
  }
  throw new Error("the disk never was full");
}

t.test("a full disk ends a server's part, and room brings it back with all it had", {
  skip: cannotMount,
}, async (t) => {
  const disk = new SmallDisk(t, 12);
  const host = await RealHost.enter(t, 1, FOUND, disk.folder);
  await until("it holds its lease", () => host.subnet.endsWith("/24"));
  await host.parts.place.makeBallast(4 * MIB);
  disk.fill();
  const acknowledged = await writeUntilFull(host);
  await until("it says so", () => host.node.control.storeFailure !== undefined);
  t.equal(host.node.control.storeFailure?.code, "DISK_FULL");
  const store = checksOf(host.node).find(({ name }) => name === "store")!;
  t.notOk(store.ok);
  t.match(store.why!, /Cannot write to .*: the disk is full: .*No space left/);
  t.ok(host.log.lines.some((line) => /the replica has stopped.*make room there/.test(line)));
  t.ok(host.subnet.endsWith("/24"), "its lease stands, and its routes do");
  await host.stop();

  await host.start();
  await until("it leads again", () => host.node.control.replica?.leads === true);
  t.equal(await host.parts.place.ballastBytes(), 0, "thanks to the ballast");
  const { state } = host.node.control.cluster.view()!;
  const last = new Map(acknowledged.map((line) => line.split(" ") as [string, string]));
  const lost = [...last].filter(([subnet, name]) => {
    const found = state.get("reservation", subnet)?.body.nodeName ?? "none";
    // The one that was not answered may be there as well.
    return Number(found.slice(4)) < Number(name.slice(4));
  });
  t.same(lost, [], `${acknowledged.length} were acknowledged`);
});
