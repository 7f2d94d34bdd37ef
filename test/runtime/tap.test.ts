/** What tests rely on, and both runners have to do alike. */
import t from "tap";

const order: string[] = [];

t.test("what is made is taken away at the test's end", async (t) => {
  t.teardown(() => order.push("the folder"));
  t.teardown(async () => {
    await new Promise((resolve) => setTimeout(resolve, 10));
    order.push("who writes there");
  });
  t.same(order, []);
});

t.test("the last one first, and each waits for the one before", async (t) => {
  t.same(order, ["who writes there", "the folder"]);
});
