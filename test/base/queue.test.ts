import t from "tap";
import { Queue } from "../../src/base/queue.ts";

t.test("a full queue says no and loses nothing that it took", async (t) => {
  const queue = new Queue<number>(2);
  t.same([queue.push(1), queue.push(2), queue.push(3)], [true, true, false]);
  t.same(queue.drain(), [1, 2]);
  t.equal(queue.size, 0);
});

t.test("a consumer wakes for an item, and for the end", async (t) => {
  const queue = new Queue<string>(1);
  const waiting = queue.ready();
  queue.push("a");
  t.equal(await waiting, true);
  t.same(queue.drain(), ["a"]);
  const ending = queue.ready();
  queue.close();
  t.equal(await ending, false);
  t.equal(queue.push("b"), false);
});
