import t from "tap";
import { Observers } from "../../src/replica/observers.ts";

t.test("only what changes a view is told", async (t) => {
  const observers = new Observers();
  let count = 0;
  const stop = observers.add(() => count++);
  const told = (revision: number, leader: number, confirmedMs?: number, n = 1) => {
    const before = count;
    observers.look({ position: { epoch: { n, random: "a" }, revision }, leader, confirmedMs });
    return count - before;
  };
  t.equal(told(1, 0), 1, "the first");
  t.equal(told(1, 0), 0);
  t.equal(told(2, 0), 1, "a revision");
  t.equal(told(2, 1), 1, "a leader");
  t.equal(told(2, 1, 1_000), 1, "the first confirmation");
  t.equal(told(2, 1, 2_000), 0, "one like every second");
  t.equal(told(2, 1, 9_000), 1, "one after a while without");
  t.equal(told(2, 1, 9_000, 2), 1, "a new history");
  stop();
  t.equal(told(3, 1, 9_000, 2), 0);
});
