/** Snapshots on their way here, part by part. */
import t from "tap";
import { IncomingSnapshots, snapshotName } from "../../../src/agent/control/incoming.ts";
import type { StateRecord } from "../../../src/lease/records.ts";
import { Digest } from "../../../src/store/digest.ts";
import type { SnapshotPart } from "../../../src/transport/protocol.ts";
import { Ledger } from "../../support/ledger.ts";

/** The state of a cluster of so many hosts, as it would be sent. */
function snapshotOf(hosts: number) {
  const ledger = Ledger.open();
  for (let n = 1; n < hosts; n++) ledger.join(n);
  const { state } = ledger;
  const sections = [[...state.records("revisioned")], [...state.records("clock")]];
  const [digest, clockDigest] = sections.map((records) => Digest.of(records).text);
  const applied = { index: hosts, term: 1, digest, clockDigest };
  const snapshot = snapshotName({ applied: applied as never });
  const records: StateRecord[] = sections.flat();
  const end = { offer: {} as never, applied, chain: 1 };
  const part = (at: number, count: number): SnapshotPart => ({
    ...{ snapshot, at, records: records.slice(at, at + count) },
    ...(at + count >= records.length ? { end } : {}),
  });
  return { records, part };
}

t.test("parts in order are a whole, and only the last one gives it", async (t) => {
  const incoming = new IncomingSnapshots();
  const { records, part } = snapshotOf(4);
  t.same(incoming.take(part(0, 0)), { at: 0 });
  t.same(incoming.take(part(0, 3)), { at: 3 });
  t.same(incoming.take(part(3, 2)), { at: 5 });
  const { at, capture } = incoming.take(part(5, 99));
  t.equal(at, records.length);
  t.same(capture?.records, records);
  t.same(incoming.take(part(5, 99)), { at: 0 }, "what was given away is not kept");
});

t.test("a part that is repeated, or ahead of what has come, changes nothing", async (t) => {
  const incoming = new IncomingSnapshots();
  const { records, part } = snapshotOf(4);
  incoming.take(part(0, 3));
  t.same(incoming.take(part(0, 3)), { at: 3 });
  t.same(incoming.take(part(5, 99)), { at: 3 }, "not even the last");
  t.same(incoming.take(part(0, 0)), { at: 3 }, "who asks is told where to go on");
  t.same(incoming.take(part(3, 99)).capture?.records, records);
});

t.test("two transfers do not disturb each other; a third takes the older one's place", async (t) => {
  const incoming = new IncomingSnapshots();
  const [one, two, three] = [snapshotOf(4), snapshotOf(5), snapshotOf(6)];
  incoming.take(one.part(0, 2));
  incoming.take(two.part(0, 3));
  t.same(incoming.take(one.part(0, 0)), { at: 2 });
  incoming.take(three.part(0, 1));
  t.same(incoming.take(two.part(0, 0)), { at: 0 });
});

t.test("what is not the state that it is named after is forgotten", async (t) => {
  const incoming = new IncomingSnapshots();
  const { records, part } = snapshotOf(4);
  const { records: _, ...rest } = part(2, 99);
  incoming.take(part(0, 2));
  const other = { ...rest, records: records.slice(2).toSpliced(1, 1, records[0]!) };
  t.throws(() => incoming.take(other), { code: "PROTOCOL", message: /digest/ });
  t.same(incoming.take(part(0, 0)), { at: 0 });
});
