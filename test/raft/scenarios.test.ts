import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import t from "tap";
import { root } from "../support/root.ts";
import { type Outcome, replay, replayFolder } from "./scenarios.ts";
import { parseScript } from "./script-parser.ts";

function failures(outcomes: readonly Outcome[]): string[] {
  return outcomes.flatMap((one) => one.kind === "FAIL" ? [`${one.name}: ${one.difference}`] : []);
}

t.test("the scripts beside this test come out as written", async (t) => {
  const outcomes = replayFolder(join(import.meta.dirname!, "scripts"));
  t.same(failures(outcomes), []);
  t.same(outcomes.map((one) => `${one.kind} ${one.name}`), [
    "PASS divergent-follower",
    "PASS election",
    "PASS figure-7",
    "PASS figure-8-own-term",
    "PASS figure-8",
    "PASS leader-removal",
    "PASS learner-promotion",
    "PASS lost-news",
    "PASS snapshot-races",
  ]);
});

/** etcd raft's public scenarios: data that is not part of this project. */
const publicScenarios = process.env["DENIM_SCENARIOS"] ??
  join(root, "..", "shared", "raft-scenarios");
const absent = !existsSync(publicScenarios) &&
  "etcd raft's scenarios are not here (DENIM_SCENARIOS names their folder)";

t.test("etcd raft's public scenarios come out as written", { skip: absent }, async (t) => {
  const outcomes = replayFolder(publicScenarios);
  t.same(failures(outcomes), []);
  t.ok(outcomes.some((one) => one.kind === "PASS"));
});

t.test("a script that expects something else fails and says where", async (t) => {
  const script = [
    "add-nodes 1 voters=(1) index=2",
    "----",
    "ok",
    "",
    "campaign 1",
    "----",
    "ok",
    "",
    "process-ready 1",
    "----",
    "Ready MustSync=true:",
    "Lead:0 State:StateCandidate",
    "HardState Term:1 Vote:1 Commit:3",
  ].join("\n");
  const outcome = replay("wrong", script);
  t.equal(outcome.kind, "FAIL");
  t.match(outcome.kind === "FAIL" ? outcome.difference : "", /^line 9: process-ready 1$/m);
  t.equal(replay("right", script.replace("Commit:3", "Commit:2")).kind, "PASS");
});

t.test("messages that stand together are compared without their order", async (t) => {
  const script = (first: number, second: number) =>
    [
      "add-nodes 3 voters=(1,2,3) index=2",
      "----",
      "ok",
      "",
      "campaign 1",
      "----",
      "INFO what the core does not log is not compared",
      "",
      "process-ready 1",
      "----",
      "Ready MustSync=true:",
      "Lead:0 State:StateCandidate",
      "HardState Term:1 Vote:1 Commit:2",
      "Messages:",
      `1->${first} MsgVote Term:1 Log:1/2`,
      `1->${second} MsgVote Term:1 Log:1/2`,
    ].join("\n");
  t.equal(replay("ascending", script(2, 3)).kind, "PASS");
  t.equal(replay("descending", script(3, 2)).kind, "PASS");
  t.equal(replay("twice the same", script(2, 2)).kind, "FAIL");
});

t.test("what the core lacks by design is skipped with the reason", async (t) => {
  const reasonOf = (command: string, ...input: string[]) => {
    const outcome = replay("one", [command, ...input, "----", "ok"].join("\n"));
    return outcome.kind === "SKIP" ? outcome.reason : outcome.kind;
  };
  t.equal(reasonOf("add-nodes 1 async-storage-writes=true"), "asynchronous storage writes");
  t.equal(reasonOf("add-nodes 1 read-only=lease-based"), "reads that trust a lease");
  t.equal(
    reasonOf("add-nodes 1 disable-conf-change-validation=true"),
    "changes without validation",
  );
  t.equal(reasonOf("forget-leader 1"), "forget-leader");
  t.equal(reasonOf("propose-conf-change 1", "v2 v3"), "joint changes");
  t.equal(reasonOf("propose-conf-change 1 transition=explicit", "v2"), "joint changes");
  t.equal(reasonOf("propose-conf-change 1"), "joint changes");
});

t.test("a script is read with lists, input, continued lines and blank lines in output", async (t) => {
  const script = [
    "# a comment",
    "one 1 key=value list=(2, 3) \\",
    "  4",
    "input",
    "----",
    "expected",
    "",
    "two",
    "----",
    "----",
    "with",
    "",
    "a blank",
    "----",
    "----",
    "",
  ].join("\n");
  t.same(parseScript(script), [
    {
      line: 2,
      command: "one",
      arguments: [
        { key: "1", values: [] },
        { key: "key", values: ["value"] },
        { key: "list", values: ["2", "3"] },
        { key: "4", values: [] },
      ],
      input: ["input"],
      expected: ["expected"],
    },
    { line: 8, command: "two", arguments: [], input: [], expected: ["with", "", "a blank"] },
  ]);
  t.throws(() => parseScript("one\ntwo"), /no "----"/);
});
