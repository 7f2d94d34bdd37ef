import t, { type Test } from "tap";
import { type Libc, openLibc } from "../../src/kernel/libc.ts";
import { waiterOf } from "../../src/kernel/waiter.ts";
import { startChild } from "../support/child.ts";

const libc = await openLibc();
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/** A descriptor that can be made readable, and what hears of it, once. */
class Watched {
  readonly fd = libc.eventfd(0, 0);
  readonly heard = Promise.withResolvers<void>();
  readonly stop: () => Promise<void>;

  constructor(t: Test) {
    this.stop = waiterOf(libc).add(this.fd, () => {
      this.heard.resolve();
      // It stays readable, as nobody reads it.
      void this.stop();
    });
    t.teardown(async () => {
      await this.stop();
      libc.close(this.fd);
    });
  }

  write(): void {
    libc.write(this.fd, ONE, ONE.length);
  }
}

t.test("one wait for all: each hears of its own descriptor", async (t) => {
  const polls: number[] = [];
  const counting: Libc = {
    ...libc,
    poll: (fds, count, timeoutMs) => {
      polls.push(count);
      return libc.poll(fds, count, timeoutMs);
    },
  };
  const fds = [libc.eventfd(0, 0), libc.eventfd(0, 0)];
  const heard: number[] = [];
  const both = Promise.withResolvers<void>();
  const stops = fds.map((fd) =>
    waiterOf(counting).add(fd, () => {
      heard.push(fd);
      if (new Set(heard).size === 2) both.resolve();
    })
  );
  for (const fd of fds) libc.write(fd, ONE, ONE.length);
  await both.promise;
  await Promise.all(stops.map((stop) => stop()));
  for (const fd of fds) libc.close(fd);
  t.ok(polls.includes(3), "two descriptors, and what wakes it");
});

t.test("one that goes leaves the others, and one that comes later is heard", async (t) => {
  const [first, second] = [new Watched(t), new Watched(t)];
  await first.stop();
  const third = new Watched(t);
  first.write();
  second.write();
  await second.heard.promise;
  third.write();
  await third.heard.promise;
  await Promise.all([second.stop(), third.stop()]);
  const fourth = new Watched(t);
  fourth.write();
  await fourth.heard.promise;
  t.pass("also after all had gone");
});

t.test("a process does not wait for what has gone", async (t) => {
  const child = startChild(
    t,
    `
    import { openLibc } from "$root/src/kernel/libc.ts";
    import { waiterOf } from "$root/src/kernel/waiter.ts";
    const libc = await openLibc();
    const waiter = waiterOf(libc);
    const stop = waiter.add(libc.eventfd(0, 0), () => {});
    const other = waiter.add(libc.eventfd(0, 0), () => {});
    await Promise.all([stop(), other()]);
    console.log("end");
  `,
  );
  await child.spoke;
  t.equal(await child.closed, 0);
});
