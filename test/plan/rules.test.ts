import t from "tap";
import { formatPrefix, parsePrefix } from "../../src/ip/prefix.ts";
import { masqueradeRules, nameOfNetwork, type Rule } from "../../src/plan/rules.ts";
import { FOUR, readGolden, SIX, TEXTS } from "./golden.ts";

for (const [name, text] of Object.entries(TEXTS)) {
  t.test(`the rules are those of the golden file ${name}`, async (t) => {
    t.equal(text, readGolden(name));
  });
}

/** What becomes of a connection from one address to another: the verdict of the first rule. */
function verdictOf(rules: readonly Rule[], from: string, to: string): Rule["verdict"] | "none" {
  const matches = (match: Rule["source"], address: string) =>
    match === undefined || contains(match.prefix, address) !== (match.not === true);
  const rule = rules.find(({ source, destination, marked }) =>
    !marked && matches(source, from) && matches(destination, to)
  );
  return rule?.verdict ?? "none";
}

function contains(block: { readonly length: number }, address: string): boolean {
  const length = address.includes(":") ? 128 : 32;
  const { base } = parsePrefix(`${address}/${length}`);
  const whole = block as ReturnType<typeof parsePrefix>;
  const bits = BigInt(length - whole.length);
  return base >> bits === whole.base >> bits;
}

const CASES = [
  ["a container to the outside", "10.244.3.5", "203.0.113.9", "masquerade"],
  ["a container to one on another host", "10.244.3.5", "10.244.7.5", "return"],
  ["one on another host to a container", "10.244.7.5", "10.244.3.5", "return"],
  ["a container to an exempt destination", "10.244.3.5", "192.168.7.1", "return"],
  ["a container to a group", "10.244.3.5", "224.0.0.251", "none"],
  ["the outside to a container", "203.0.113.9", "10.244.3.5", "return"],
  ["this host to a container on another host", "198.51.100.7", "10.244.7.5", "masquerade"],
  ["an exempt source to a container on another host", "192.168.7.1", "10.244.7.5", "masquerade"],
  ["what has nothing to do with containers", "192.168.7.1", "203.0.113.9", "none"],
] as const;

t.test("who is masqueraded, and who is not", async (t) => {
  const rules = masqueradeRules(FOUR);
  for (const [what, from, to, verdict] of CASES) {
    t.equal(verdictOf(rules, from, to), verdict, what);
  }
  const six = masqueradeRules(SIX);
  t.equal(verdictOf(six, "fd00:244:0:3::5", "2001:db8::1"), "masquerade");
  t.equal(verdictOf(six, "fd00:244:0:3::5", "fd00:244:0:7::5"), "return");
  t.equal(verdictOf(six, "fd00:244:0:3::5", "ff02::fb"), "none");
  t.equal(verdictOf(six, "2001:db8::1", "fd00:244:0:7::5"), "masquerade");
});

t.test("what kube-proxy has marked is left to it, before everything else", async (t) => {
  t.same(masqueradeRules(FOUR)[0], { marked: true, verdict: "return" });
});

t.test("a host without a subnet of the family has the rules of the network", async (t) => {
  const rules = masqueradeRules({ ...FOUR, subnets: [], exempt: [] });
  t.same(rules.map(({ verdict }) => verdict), ["return", "masquerade", "masquerade"]);
});

t.test("a network's name has neither a slash nor a colon", async (t) => {
  t.equal(nameOfNetwork(FOUR.network), "10.244.0.0-16");
  t.equal(nameOfNetwork(SIX.network), "fd00_244__-48");
  t.equal(formatPrefix(SIX.network), "fd00:244::/48");
});
