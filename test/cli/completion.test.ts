import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import t from "tap";
import { bashCompletion } from "../../src/cli/completion.ts";
import { createProgram } from "../../src/cli/program.ts";

const io = { out() {}, err() {}, widthMax: undefined, env: {} };
const script = bashCompletion(createProgram({ io, version: "0", backends: [] }));

/** What bash offers for the last word. */
function offers(...words: readonly string[]): string[] {
  const list = words.map((word) => `'${word}'`).join(" ");
  const typed = `${script}\nCOMP_WORDS=(denim ${list}); COMP_CWORD=${words.length}; _denim\n` +
    'printf "%s\\n" "${COMPREPLY[@]}"';
  const { status, stdout, stderr } = spawnSync("bash", ["--norc", "-u", "-c", typed], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  return stdout.split("\n").filter(Boolean);
}

t.test("bash completes commands, those below them, and flags", {
  skip: existsSync("/bin/bash") ? false : "needs bash",
}, async (t) => {
  t.same(offers("ini"), ["init"]);
  t.same(offers("token", "cr"), ["create"]);
  t.same(offers("token", "create", "--us"), ["--uses"]);
  t.same(offers("init", "--iface-r"), ["--iface-regex"]);
  t.same(offers("--state-dir", "x", "init", "--netw"), ["--network"]);
  t.ok(offers("").includes("join"));
  t.ok(offers("token", "").includes("revoke"));
  t.notOk(offers("").includes("probe"), "what is hidden stays so");
  t.same(offers("nonsense-"), []);
});
