import t from "tap";
import { SecretThrottle } from "../../../src/agent/entry/secret-throttle.ts";
import { FakeClock } from "../../support/clock.ts";

const MINUTE_MS = 60_000;

t.test("ten wrong secrets a minute from one address shut it out until its minute is over", async (t) => {
  const clock = new FakeClock();
  const throttle = new SecretThrottle(clock);
  for (let n = 0; n < 10; n++) {
    t.doesNotThrow(() => throttle.refuse("192.0.2.1"));
    throttle.noteWrong("192.0.2.1");
  }
  await clock.advance(20_000);
  t.throws(() => throttle.refuse("192.0.2.1"), { code: "TOKEN_THROTTLED", fix: /in 40 s/ });
  t.doesNotThrow(() => throttle.refuse("192.0.2.2"), "nobody else");
  await clock.advance(MINUTE_MS - 20_000);
  t.doesNotThrow(() => throttle.refuse("192.0.2.1"));
  throttle.noteWrong("192.0.2.1");
  t.doesNotThrow(() => throttle.refuse("192.0.2.1"), "it counts anew");
});

t.test("a slow trickle of mistakes shuts nobody out", async (t) => {
  const clock = new FakeClock();
  const throttle = new SecretThrottle(clock);
  for (let n = 0; n < 50; n++) {
    throttle.noteWrong("192.0.2.1");
    await clock.advance(8_000);
    t.doesNotThrow(() => throttle.refuse("192.0.2.1"));
  }
});

t.test("the addresses of one IPv6 site are one source", async (t) => {
  const throttle = new SecretThrottle(new FakeClock());
  for (let n = 0; n < 10; n++) throttle.noteWrong(`2001:db8:0:1::${n.toString(16)}`);
  t.throws(() => throttle.refuse("2001:db8:0:1:ffff::1"), { code: "TOKEN_THROTTLED" });
  t.doesNotThrow(() => throttle.refuse("2001:db8:0:2::1"));
});

t.test("whoever has many addresses does not fill the memory", async (t) => {
  const clock = new FakeClock();
  const throttle = new SecretThrottle(clock);
  for (let n = 0; n < 10_000; n++) throttle.noteWrong(`10.0.${n >> 8}.${n & 255}`);
  t.equal(throttle.size, 4_096);
  await clock.advance(MINUTE_MS);
  throttle.noteWrong("192.0.2.1");
  t.equal(throttle.size, 1, "what is over is forgotten");
});
