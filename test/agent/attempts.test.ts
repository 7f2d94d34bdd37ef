import t from "tap";
import { Attempts } from "../../src/agent/attempts.ts";
import { DenimError } from "../../src/base/errors.ts";
import { RecordingLogger } from "../support/log.ts";

t.test("a failure is told once, until there is another one or none", async (t) => {
  const log = new RecordingLogger();
  const attempts = new Attempts(log);
  const failing = (message: string) => () => Promise.reject(new DenimError("INTERNAL", message));
  await attempts.make("it cannot be made", failing("no room"));
  await attempts.make("it cannot be made", failing("no room"));
  t.equal(log.lines.length, 1);
  t.match(log.lines.join(), /it cannot be made.*no room/);
  await attempts.make("something else failed", failing("no room"));
  await attempts.make("it cannot be made", failing("no right"));
  t.equal(log.lines.length, 3);
  await attempts.make("it cannot be made", () => Promise.resolve());
  await attempts.make("it cannot be made", failing("no right"));
  t.equal(log.lines.length, 4);
});
