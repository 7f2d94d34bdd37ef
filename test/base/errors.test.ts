import t from "tap";
import { asDenimError, assert, DenimError, isDenimError } from "../../src/base/errors.ts";

t.test("an error crosses a wire whole", async (t) => {
  const sent = new DenimError("LEASE_TAKEN", "10.5.1.0/24 is taken", {
    why: "by web1",
    fix: "wait",
  });
  const back = DenimError.fromJSON(JSON.parse(JSON.stringify(sent)));
  t.same(back.toJSON(), sent.toJSON());
});

t.test("an error from a newer peer is still an error", async (t) => {
  t.equal(DenimError.fromJSON({ code: "FROM_THE_FUTURE", message: "x" }).code, "INTERNAL");
  t.equal(DenimError.fromJSON(undefined).code, "INTERNAL");
  t.equal(DenimError.fromJSON({ code: "toString" }).code, "INTERNAL");
});

t.test("anything thrown can be reported", async (t) => {
  t.equal(asDenimError("oops").message, "oops");
  t.ok(isDenimError(asDenimError(new Error("x")), "INTERNAL"));
  t.notOk(isDenimError(new Error("x")));
  t.throws(() => assert(false, "two is one"), { message: "Assertion failed: two is one" });
});
