import process from "node:process";
import t from "tap";
import { openLibc } from "../../src/kernel/libc.ts";
import { NotifySocket } from "../../src/kernel/notify-socket.ts";
import { NotifyListener } from "../support/notify-listener.ts";

t.test("messages arrive whole and in order, at a file and at an abstract name", async (t) => {
  const libc = await openLibc();
  for (const path of [undefined, `@denim-test-${process.pid}`]) {
    const listener = await NotifyListener.open(t, path);
    using socket = new NotifySocket(libc, listener.path);
    t.equal(socket.send("STATUS=no lease yet · ü"), true);
    t.equal(socket.send("STATUS=10.244.1.0/24", "READY=1"), true);
    t.equal(socket.send("STATUS=two\nREADY=1"), true);
    t.same(listener.messages(), [
      "STATUS=no lease yet · ü",
      "STATUS=10.244.1.0/24\nREADY=1",
      "STATUS=two READY=1",
    ], "a newline in a text begins no assignment");
  }
});

t.test("a manager that is gone, or reads nothing, stops nobody", async (t) => {
  const libc = await openLibc();
  using gone = new NotifySocket(libc, "/does/not/exist");
  t.equal(gone.send("READY=1"), false);
  const listener = await NotifyListener.open(t);
  using socket = new NotifySocket(libc, listener.path);
  const taken = Array.from({ length: 2_000 }, () => socket.send("WATCHDOG=1"));
  t.equal(taken[0], true);
  t.equal(taken.at(-1), false, "the queue is full, and send returned");
});

t.test("what is no socket is refused", async (t) => {
  const libc = await openLibc();
  for (const path of ["relative", "@", "/", "", `/${"x".repeat(107)}`]) {
    t.throws(() => new NotifySocket(libc, path), { code: "CONFIG_INVALID" }, path);
  }
  using longest = new NotifySocket(libc, `/${"x".repeat(106)}`);
  t.equal(longest.send("READY=1"), false);
});
