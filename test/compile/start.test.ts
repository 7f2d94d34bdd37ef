import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { TOOLS } from "../../compile/targets.ts";
import { root } from "../support/root.ts";

/** `npm start` in a clone where nothing was installed, on a machine that says what `says` sets. */
function startIn(folder: string, says: Readonly<Record<string, string>>) {
  const set = Object.entries(says)
    .map(([name, value]) => `Object.defineProperty(process, "${name}", { value: ${value} });`);
  const preload = `data:text/javascript,${encodeURIComponent(set.join(""))}`;
  const { status, stderr } = spawnSync(
    join(root, TOOLS.node),
    ["--import", preload, join(folder, "compile/start.js")],
    { encoding: "utf8", env: {} },
  );
  return { status, lines: stderr.trimEnd().split("\n") };
}

t.test("whoever cannot start Denim reads one line that says why", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "denim-start-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  cpSync(join(root, "compile"), join(folder, "compile"), { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');

  const other = startIn(folder, { platform: '"darwin"', arch: '"arm64"' });
  t.same(other.lines, ["Denim runs on Linux (x64 and arm64), and this is darwin-arm64."]);
  t.equal(other.status, 1);

  const old = startIn(folder, { versions: '{ node: "20.1.0" }', version: '"v20.1.0"' });
  t.same(old.lines, ["Denim needs Node 24, and this is v20.1.0: run npm ci, which brings it."]);
  t.equal(old.status, 1);

  const bare = startIn(folder, {});
  t.same(bare.lines, [`${TOOLS.node} is missing: run npm ci.`]);
  t.equal(bare.status, 1);
});
