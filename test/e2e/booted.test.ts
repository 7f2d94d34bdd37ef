/** The hosts that tests boot, themselves. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import t from "tap";
import { cannotBoot } from "../support/booted.ts";
import { eventually, onNode } from "../support/lab.ts";
import { root } from "../support/root.ts";

/** A test of which nothing is left but its process, and then not even that. */
const ENDED_TEST = `
  const { Booted } = await import("${join(root, "test/support/booted.ts")}");
  const { makeLab } = await import("${join(root, "test/support/lab.ts")}");
  const test = { teardown() {} };
  const host = await (await makeLab(test)).addHost("a");
  console.log((await Booted.boot(test, host)).root);
  process.kill(process.pid, "SIGTERM");
  await new Promise((resolve) => setTimeout(resolve, 60_000));
`;

t.test("a test that is ended takes its host along", {
  skip: cannotBoot(),
  timeout: 600_000,
}, async (t) => {
  const child = spawn(onNode[0]!, ["--input-type=module", "--eval", ENDED_TEST], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (chunk) => said += String(chunk));
  const status = await new Promise((resolve) => child.once("close", resolve));
  t.equal(status, 143, said);
  const folder = said.trim();
  t.match(basename(folder), /^denim-booted-/);
  t.notOk(existsSync(folder), "its files are gone");
  const runs = () =>
    readdirSync("/proc").filter((name) => /^\d+$/.test(name)).some((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(folder);
      } catch {
        return false;
      }
    });
  await eventually("nothing of it runs", async () => runs() ? undefined : true);
});
