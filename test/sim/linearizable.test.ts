/** The checker as a command, on files in the form of Jepsen's logs. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { root } from "../support/root.ts";
import type { Test } from "../support/tap.ts";
import { type Event, jepsenLine, MalformedHistory, parseJepsen } from "./jepsen.ts";

const node = join(root, "node_modules/.bin/node");
const GOOD = ["0 :invoke :write 1", "0 :ok :write 1", "1 :invoke :read nil", "1 :ok :read 1"];
const BAD = [...GOOD.slice(0, 3), "1 :ok :read nil"];

/** `0 :ok :read 1` as Jepsen logs it. */
function logged(line: string): string {
  const { groups } = /^(?<process>\S+) :(?<type>\S+) :(?<verb>\S+) (?<value>.+)$/.exec(line)!;
  return jepsenLine(groups as unknown as Event);
}

function whats(lines: readonly string[]): string[] {
  return parseJepsen(lines.map(logged).join("\n")).map(({ what, returnedAt }) =>
    `${Object.values(what).join(" ")}${returnedAt === undefined ? " ?" : ""}`
  );
}

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), "denim-test-"));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

function check(cwd: string, files: readonly string[]) {
  return new Promise<{ status: number; out: string; err: string }>((resolve) => {
    const words = [join(root, "test/sim/linearizable.ts"), ...files];
    execFile(node, words, { cwd }, (error, out, err) => {
      resolve({ status: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

t.test("each file has its line, and the status tells whether all are ok", async (t) => {
  const cwd = folder(t);
  writeFileSync(join(cwd, "good"), GOOD.map(logged).join("\n"));
  writeFileSync(join(cwd, "bad"), BAD.map(logged).join("\n"));
  writeFileSync(join(cwd, "empty"), "");
  const [good, bad, both, none, nowhere] = await Promise.all(
    [["good"], ["bad"], ["bad", "empty", "good"], [], ["nowhere"]].map((files) =>
      check(cwd, files)
    ),
  );
  t.same(good, { status: 0, out: "good: ok\n", err: "" });
  t.same(bad, { status: 1, out: "bad: not linearizable\n", err: "" });
  t.equal(both!.status, 2);
  t.equal(both!.out, "bad: not linearizable\nempty: unknown\ngood: ok\n");
  t.match(both!.err, /^empty: it has no operation/);
  t.equal(none!.status, 2);
  t.match(none!.err, /^usage: /);
  t.equal(nowhere!.status, 2);
  t.equal(nowhere!.out, "nowhere: unknown\n");
});

t.test("an operation is a call and its end", async (t) => {
  t.same(whats(GOOD), ["write 1", "read 1"]);
  t.same(whats(["0 :invoke :read nil", "0 :ok :read nil"]), ["read nil"]);
  t.same(whats(["0 :invoke :cas [0 3]", "0 :ok :cas [0 3]"]), ["cas 0 3"]);
  t.same(whats(["0 :invoke :cas [nil -3]", "0 :ok :cas [nil -3]"]), ["cas nil -3"]);
  const [one] = parseJepsen(["# first", ...GOOD.map(logged)].join("\n"));
  t.same(one, { what: { kind: "write", value: "1" }, calledAt: 2, returnedAt: 3 });
});

t.test("a lost write or compare-and-set may have happened, a lost read tells nothing", async (t) => {
  for (const type of [":info", ":fail"]) {
    t.same(whats(["0 :invoke :write 2", `0 ${type} :write :timed-out`]), ["write 2 ?"]);
    t.same(whats(["0 :invoke :cas [1 2]", `0 ${type} :cas :timed-out`]), ["cas 1 2 ?"]);
    t.same(whats([...GOOD, "0 :invoke :read nil", `0 ${type} :read :timed-out`]), whats(GOOD));
  }
  t.same(whats(["0 :invoke :write 2", "0 :info :write 2"]), ["write 2 ?"]);
  t.same(whats(["0 :invoke :write 2"]), ["write 2 ?"], "never answered");
  t.same(whats([...GOOD, "7 :invoke :read nil"]), whats(GOOD));
  const again = whats(["0 :invoke :write 2", "0 :invoke :write 3", "0 :ok :write 3"]);
  t.same(again, ["write 2 ?", "write 3"], "its process calls again");
});

t.test("what failed did not happen; a compare-and-set was answered by another value", async (t) => {
  t.same(whats([...GOOD, "0 :invoke :write 2", "0 :fail :write 2"]), whats(GOOD));
  t.same(whats([...GOOD, "0 :invoke :read nil", "0 :fail :read nil"]), whats(GOOD));
  t.same(whats(["0 :invoke :cas [1 2]", "0 :fail :cas [1 2]"]), ["refused 1"]);
  t.same(whats([...GOOD, "0 :invoke :cas [1 2]", "0 :fail :cas :no-leader"]), whats(GOOD));
});

t.test("a line may be dressed in many ways", async (t) => {
  const text = [
    "INFO  jepsen.core - Worker 0 starting",
    'INFO  jepsen.util - :nemesis\t:info\t:start\t"Cut off {:n1 #{:n2}}"',
    "INFO  jepsen.util - 0\t:invoke\t:write\t1",
    "2014-07-20 10:01:02,123 INFO  jepsen.util -   0   :ok  :write 1  \t",
    "2026-01-01 10:01:02,124{GMT}\tINFO\t[jepsen worker 1] jepsen.util: 1\t:invoke\t:cas\t[1, 2]",
    "",
    "WARN  jepsen.client - 1 :fail :cas [1 2]",
    "INFO  jepsen.util - 1\t:ok\t:cas\t[1 2]",
    "INFO  jepsen.util - 6\t:invoke\t:read\tnil",
    "INFO  jepsen.util - 6\t:ok\t:read\t02",
  ].join("\r\n");
  t.same(parseJepsen(text).map(({ what }) => Object.values(what).join(" ")), [
    ...["write 1", "cas 1 2", "read 2"],
  ]);
});

t.test("what cannot be a history is refused, with its line", async (t) => {
  const refusals: [lines: string[], line: number | undefined, why: RegExp][] = [
    [[], undefined, /no operation/],
    [["0 :ok :write 1"], 1, /no call/],
    [["0 :invoke :read nil", "0 :ok :write 1"], 2, /its call was :read/],
    [["0 :invoke :write 1", "0 :ok :write 2"], 2, /its call had 1/],
    [["0 :invoke :write x", "0 :ok :write x"], 1, /a number/],
    [["0 :invoke :cas 3"], 1, /\[from to\]/],
    [["0 :invoke :read nil", "0 :ok :read [1 2]"], 2, /a number/],
  ];
  for (const [lines, line, why] of refusals) {
    let error: unknown;
    try {
      whats(lines);
    } catch (thrown) {
      error = thrown;
    }
    t.ok(error instanceof MalformedHistory && error.line === line, `${lines}: ${error}`);
    t.match(String((error as Error).message), why);
  }
});
