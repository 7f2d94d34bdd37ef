import t from "tap";
import { canonical } from "../../src/base/canonical.ts";

t.test("equal values have equal bytes, whatever the order of their keys", async (t) => {
  t.equal(canonical({ b: 1, a: [true, null, "x"] }), '{"a":[true,null,"x"],"b":1}');
  t.equal(canonical({ a: [true, null, "x"], b: 1 }), canonical({ b: 1, a: [true, null, "x"] }));
});

t.test("a member that is undefined is as if it were not there", async (t) => {
  t.equal(canonical({ a: 1, b: undefined }), canonical({ a: 1 }));
});

t.test("a number that another runtime could print differently is refused", async (t) => {
  t.throws(() => canonical(0.1));
  t.throws(() => canonical(2 ** 53));
});
