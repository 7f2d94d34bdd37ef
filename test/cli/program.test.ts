import t from "tap";
import { backends } from "../../plugins/mod.ts";
import { run } from "../../src/cli/program.ts";
import type { Io } from "../../src/cli/output.ts";
import { DenimError } from "../../src/base/errors.ts";
import { runProbes } from "../../src/cli/self-test.ts";

/** Runs one command line and keeps what it said. */
async function denim(line: string, env: Io["env"] = {}) {
  let [out, err] = ["", ""];
  const io: Io = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    widthMax: undefined,
    env,
  };
  const status = await run(line.split(" ").filter(Boolean), { io, version: "1.2.3", backends });
  return { status, out, err };
}

t.test("the version is told to people and to programs", async (t) => {
  t.same(await denim("--version"), { status: 0, out: "1.2.3\n", err: "" });
  t.match((await denim("version")).out, /^denim 1\.2\.3\n(node|deno) \d+/);
  for (const found of [await denim("version --json"), await denim("version", JSON_ENV)]) {
    const report = JSON.parse(found.out);
    t.same([report.version, report.binary], ["1.2.3", false]);
  }
});

const JSON_ENV = { DENIM_OUTPUT: "json" };

t.test("help is no error", async (t) => {
  for (const line of ["--help", "help", "help version", "version --help"]) {
    const { status, out, err } = await denim(line);
    t.same([status, err], [0, ""], line);
    t.match(out, /^Usage: denim/);
  }
});

t.test("what cannot be typed is a usage error, with the nearest command", async (t) => {
  const found = await denim("versoin");
  t.equal(found.status, 2);
  t.equal(found.out, "");
  t.match(found.err, /^error: Unknown command 'versoin'\n {2}why {3}Did you mean version\?/);
  t.match(found.err, /code {2}USAGE\n$/);
  t.equal((await denim("version --colour")).status, 2);
  t.equal((await denim("")).status, 2);
});

t.test("with --json an error is JSON too", async (t) => {
  const { status, out, err } = await denim("nope --json");
  t.same([status, out], [2, ""]);
  t.equal(JSON.parse(err).error.code, "USAGE");
});

t.test("every part of the program works on this runtime", async (t) => {
  const { status, out, err } = await denim("self-test --json");
  t.equal(status, 0, err);
  const { ok, probes } = JSON.parse(out);
  t.equal(ok, true);
  t.same(probes.map(({ name }: { name: string }) => name), [
    "store",
    "api",
    "kernel",
    "rules",
    "transport",
    "node",
  ]);
});

t.test("a part that does not work is named, and the others are still tried", async (t) => {
  const results = await runProbes([
    { name: "broken", run: () => Promise.reject(new DenimError("STORE_FAILED", "no disk")) },
    { name: "fine", run: async () => "well" },
  ]);
  t.same(results, [
    { name: "broken", ok: false, error: { code: "STORE_FAILED", message: "no disk" } },
    { name: "fine", ok: true, found: "well" },
  ]);
  const { status, out, err } = await denim("self-test --foreign /nowhere.ts");
  t.equal(status, 9);
  t.match(out, /foreign +FAILED +There is no backend in \/nowhere\.ts/);
  t.match(err, /CHECKS_FAILED/);
});
