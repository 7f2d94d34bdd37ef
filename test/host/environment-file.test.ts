import t from "tap";
import { variableIn, withVariables } from "../../src/host/environment-file.ts";

t.test("variables are put where they stand, or at the end; the rest stays", async (t) => {
  const before = "# my notes\nDENIM_IFACE=eth0\n\n#DENIM_ZONE=no\nOTHER='x y'\n";
  const after = withVariables(before, new Map([["DENIM_IFACE", "eth1"], ["DENIM_ZONE", "rack7"]]));
  t.equal(after, "# my notes\nDENIM_IFACE=eth1\n\n#DENIM_ZONE=no\nOTHER='x y'\nDENIM_ZONE=rack7\n");
  t.equal(withVariables(after, new Map([["DENIM_ZONE", "rack7"]])), after, "the same is no change");
  t.equal(withVariables("", new Map([["A", "b"]])), "A=b\n");
  t.equal(withVariables("A=1", new Map([["B", "2"]])), "A=1\nB=2\n", "a last line without an end");
});

t.test("a value comes back as it was, whatever is in it", async (t) => {
  const values = [
    "",
    "10.0.0.1",
    "[::]:7470",
    "^eth[0-9]$",
    "a b",
    'say "so"',
    "back\\slash",
    "$HOME",
    "`ls`",
    "it's",
    "a=b",
    "#no comment",
    "ü",
  ];
  for (const value of values) {
    const text = withVariables("# first\n", new Map([["DENIM_X", value]]));
    t.equal(variableIn(text, "DENIM_X"), value, text);
  }
  t.equal(variableIn("A=1\nA=2\n", "A"), "2", "the last one counts");
  t.equal(variableIn("A='/srv/a b'\n", "A"), "/srv/a b", "as people write it");
  t.equal(variableIn("#A=1\n", "A"), undefined);
});
