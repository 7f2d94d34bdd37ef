import t from "tap";
import { seededRandom, systemRandom } from "../../src/base/random.ts";

t.test("the same seed gives the same run", async (t) => {
  const [a, b, c] = [seededRandom(7), seededRandom(7), seededRandom(8)];
  const run = (random: typeof a) => Array.from({ length: 50 }, () => random.below(1000)).join();
  const first = run(a);
  t.equal(run(b), first);
  t.not(run(c), first);
});

t.test("numbers stay below their limit and reach all of it", async (t) => {
  for (const random of [seededRandom(1), systemRandom()]) {
    const seen = new Set(Array.from({ length: 2_000 }, () => random.below(7)));
    t.same([...seen].sort(), [0, 1, 2, 3, 4, 5, 6]);
    t.ok(random.fraction() < 1);
    t.equal(random.bytes(16).length, 16);
  }
});
