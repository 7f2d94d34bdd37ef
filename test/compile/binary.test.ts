import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import t from "tap";
import { build } from "../../compile/build.ts";
import { smoke } from "../../compile/smoke.ts";
import { findTarget, HOST_TARGET, missingFiles, TARGETS } from "../../compile/targets.ts";
import { backendText, putBackend } from "../support/foreign.ts";
import manifest from "../../package.json" with { type: "json" };

const target = findTarget(HOST_TARGET)!;
const lines: string[] = [];
const binary = await build(target, (line) => lines.push(line));

t.test("a second build has nothing to do", async (t) => {
  const before = statSync(binary).mtimeMs;
  const again: string[] = [];
  await build(target, (line) => again.push(line));
  t.same(again, ["dist/denim is up to date"]);
  t.equal(statSync(binary).mtimeMs, before);
});

t.test("the binary works alone: in an empty folder, with an empty environment", async (t) => {
  const { version, probes } = smoke(binary);
  t.equal(version.version, manifest.version);
  t.match(version.runtime, /^node 24\./);
  t.equal(version.binary, true);
  t.same(probes.map(({ name, ok }) => `${name} ${ok}`), [
    "store true",
    "api true",
    "kernel true",
    "rules true",
    "transport true",
    "node true",
    "foreign true",
  ]);
});

t.test("a backend from the disk is loaded, and nothing is said but what it has to say", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "denim-backends-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const wordy = 'import process from "node:process";\nprocess.emitWarning("the card is old");';
  putBackend(dir, { "mod.ts": backendText() });
  putBackend(dir, { "mod.ts": backendText({}, { before: wordy, name: "wordy" }) }, "wordy");
  const said = (name: string) => {
    const words = ["backend", "test", join(dir, name), "--scenes", "1"];
    const { status, stderr } = spawnSync(binary, words, { encoding: "utf8", env: {} });
    return { status, lines: stderr.split("\n").filter((line) => !line.startsWith("(Use ")) };
  };
  t.same(said("mine"), { status: 0, lines: [""] });
  const { status, lines } = said("wordy");
  t.equal(status, 0);
  t.match(lines.join("\n"), /^\(node:\d+\) Warning: the card is old\n$/);
});

t.test("the environment of whoever starts it does not steer the runtime", async (t) => {
  const env = { NODE_OPTIONS: "--no-such-option" };
  t.match(execFileSync(binary, ["--version"], { env, encoding: "utf8" }), /^\d+\.\d+\.\d+\n$/);
});

t.test("a folder that is mounted noexec is passed over, and nothing is left behind", {
  skip: process.getuid?.() === 0 ? false : "mounting needs root",
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "denim-noexec-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const script = `mount -t tmpfs -o noexec none ${folder} && ` +
    `RUNTIME_DIRECTORY=${folder} ${binary} self-test --json && ls -A ${folder}`;
  const output = execFileSync("unshare", ["-m", "sh", "-ec", script], { encoding: "utf8" });
  t.equal(JSON.parse(output).ok, true);
});

t.test("a machine whose packages are not installed is named", async (t) => {
  const other = TARGETS.find((one) => missingFiles(one).length > 0);
  if (other === undefined) return t.pass("all of them are installed here");
  await t.rejects(build(other, () => {}), { message: /is not installed/ });
  t.notOk(existsSync(other.output));
});
