/** A command line for flanneld, taken apart as Go and systemd do. */
import { spawnSync } from "node:child_process";
import t from "tap";
import { seededRandom } from "../../../src/base/random.ts";
import { FLANNELD_FLAGS } from "../../../src/cli/flanneld/table.ts";
import { sortWords, splitWords } from "../../../src/cli/flanneld/words.ts";

const sort = (line: string) => {
  const { given, rest } = sortWords(line.split(" ").filter(Boolean), FLANNELD_FLAGS);
  return [Object.fromEntries(given), rest];
};

t.test("words are split at blanks, and quotes keep them together", async (t) => {
  const lines: Record<string, readonly string[]> = {
    "": [],
    "  ": [],
    "-iface=eth2": ["-iface=eth2"],
    " -iface=eth2\t --ip-masq ": ["-iface=eth2", "--ip-masq"],
    '-iface-regex="^eth (1|2)$" -v=1': ["-iface-regex=^eth (1|2)$", "-v=1"],
    "-a='b \"c\"' \"d 'e'\"": ['-a=b "c"', "d 'e'"],
    'a\\ b \'c\\d\' "e\\"f"': ["a b", "c\\d", 'e"f'],
    "'' \"\"": ["", ""],
    "$HOME `id`": ["$HOME", "`id`"],
  };
  for (const [line, words] of Object.entries(lines)) t.same(splitWords(line), words, line);
  for (const line of ["-a='b", '-a="b']) t.throws(() => splitWords(line), { code: "USAGE" }, line);
});

t.test("a shell splits the same", async (t) => {
  const random = seededRandom(6);
  const parts = ["a", "-x=", " ", "\t ", "'", '"', "\\\\", "\\ ", "\\.", "\\'", '\\"', "^", "é"];
  let compared = 0;
  for (let round = 0; round < 150; round++) {
    const line = Array.from({ length: 9 }, () => parts[random.below(parts.length)]!).join("");
    const script = `set -f; eval "set -- $1" 2>/dev/null; printf '%s\\n' "$@" end`;
    const { status, stdout } = spawnSync("sh", ["-c", script, "sh", line], { encoding: "utf8" });
    if (status !== 0) {
      t.throws(() => splitWords(line), { code: "USAGE" }, line);
      continue;
    }
    compared++;
    t.same([...splitWords(line), "end"], stdout.trimEnd().split("\n"), line);
  }
  t.ok(compared > 30, String(compared));
});

t.test("one dash is as good as two, and a value may follow a blank", async (t) => {
  t.same(sort("-iface=eth2"), [{ iface: ["eth2"] }, []]);
  t.same(sort("--iface=eth2"), [{ iface: ["eth2"] }, []]);
  t.same(sort("-iface eth2 -v 4"), [{ iface: ["eth2"], v: ["4"] }, []]);
  t.same(sort("-iface=eth2 -iface=eth3"), [{ iface: ["eth2", "eth3"] }, []]);
  t.same(sort("-iface-regex==a=b"), [{ "iface-regex": ["=a=b"] }, []]);
  t.throws(() => sort("-ip-masq -iface"), { code: "USAGE", fix: /-iface=VALUE/ });
});

t.test("a switch takes its value with = only", async (t) => {
  t.same(sort("-ip-masq -iface=a"), [{ "ip-masq": ["true"], iface: ["a"] }, []]);
  t.same(sort("--ip-masq=false"), [{ "ip-masq": ["false"] }, []]);
  t.same(sort("-ip-masq false"), [{ "ip-masq": ["true"] }, ["false"]]);
  t.same(sort("-h"), [{ help: ["true"] }, []]);
});

t.test("what is no flag of flannel's is Denim's, in its order", async (t) => {
  t.same(sort("-join=a,b --token-file - -ip-masq --name web1 -state-dir /x"), [
    { "ip-masq": ["true"] },
    ["--join=a,b", "--token-file", "-", "--name", "web1", "--state-dir", "/x"],
  ]);
});
