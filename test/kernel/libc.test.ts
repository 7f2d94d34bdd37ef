import { readFileSync } from "node:fs";
import t from "tap";
import { openLibc } from "../../src/kernel/libc.ts";

t.test("the boot clock agrees with the kernel's own uptime", async (t) => {
  const libc = await openLibc();
  const uptimeMs = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000;
  const bootMs = libc.bootMs();
  t.ok(Math.abs(bootMs - uptimeMs) < 1000, `${bootMs} and ${uptimeMs}`);
  t.ok(libc.bootMs() >= bootMs);
});

t.test("a failed call leaves its error number", async (t) => {
  const libc = await openLibc();
  t.equal(libc.open("/does/not/exist", 0, 0), -1);
  t.equal(libc.errno(), 2);
});
