import t from "tap";
import type { StateRecord } from "../../src/lease/records.ts";
import { Digest } from "../../src/store/digest.ts";
import { Ledger } from "../support/ledger.ts";

function someRecords(): StateRecord[] {
  const ledger = Ledger.open();
  for (let n = 1; n < 20; n++) ledger.join(n);
  return [...ledger.state.records("revisioned")];
}

t.test("equal records have equal digests, in whatever order they come", async (t) => {
  const records = someRecords();
  const [one, other] = [Digest.of(records), Digest.of([...records].reverse())];
  t.equal(one.text, other.text);
  t.match(one.text, /^[0-9a-f]{16}$/);
  t.equal(one.count, records.length);
});

t.test("a digest follows changes to where a new one would be", async (t) => {
  const records = someRecords();
  const digest = Digest.of(records.slice(0, 10));
  digest.follow(records.slice(10).map((after) => ({ before: undefined, after })));
  t.equal(digest.text, Digest.of(records).text);
  digest.follow([{ before: records[3], after: undefined }]);
  t.equal(digest.text, Digest.of(records.filter((_, i) => i !== 3)).text);
  t.equal(digest.count, records.length - 1);
});

t.test("of a record that changes often, only where it began and where it ends counts", async (t) => {
  const records = someRecords();
  const digest = Digest.of(records);
  const [first] = records as [StateRecord];
  const states = [1, 2, 3].map((more) => ({ ...first, modRevision: first.modRevision + more }));
  let before = first;
  for (const after of states) {
    digest.follow([{ before, after }]);
    before = after;
  }
  t.equal(digest.text, Digest.of([before, ...records.slice(1)]).text);
  digest.follow([{ before, after: undefined }, { before: undefined, after: first }]);
  t.equal(digest.text, Digest.of(records).text);
  t.equal(digest.count, records.length);
});

t.test("any difference shows", async (t) => {
  const records = someRecords();
  const changed = records.map((record, i) =>
    i === 5 ? { ...record, modRevision: record.modRevision + 1 } : record
  );
  t.not(Digest.of(changed).text, Digest.of(records).text);
});
