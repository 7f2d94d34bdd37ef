import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Commands } from "../../plugins/extension/config.ts";
import { extension } from "../../plugins/extension/mod.ts";
import type { Json, Peer } from "../../src/backend/backend.ts";
import { splitPlan } from "../../src/backend/scene.ts";
import { asDenimError, type DenimError } from "../../src/base/errors.ts";
import { formatPrefix, parsePrefix } from "../../src/ip/prefix.ts";
import { formatInvocation, keyOfHook } from "../../src/plan/hook.ts";
import { hostAt, peerAt } from "../support/hosts.ts";
import { root } from "../support/root.ts";

const network = parsePrefix("10.42.0.0/16");
const host = hostAt("10.0.0.1/24");
const peer = (node: string, ip: string, data: string, ...subnets: string[]): Peer<string> => ({
  ...peerAt(node, ip, ...subnets),
  data,
});
const own = peer("a", "10.0.0.1", "mine", "10.42.1.0/24");
const b = peer("b", "10.0.0.2", "02:00:00:00:00:02", "10.42.2.0/24");

const ADD = ["ip", "route", "replace", "$SUBNET", "via", "$PUBLIC_IP"];
const REMOVE = ["ip", "route", "del", "${SUBNET}"];
const ROUTES = { Type: "extension", SubnetAddCommand: ADD, SubnetRemoveCommand: REMOVE };

const config = (json: Json = ROUTES): Commands => extension.parseConfig(json);

async function planOf(peers: readonly Peer<string>[], json: Json = ROUTES) {
  return splitPlan(
    await extension.plan({ network, host, config: config(json), own, peers }),
  );
}

/** What is thrown. */
function caught(act: () => unknown): DenimError {
  try {
    act();
  } catch (error) {
    return asDenimError(error);
  }
  throw new Error("nothing was thrown");
}

t.test("a peer's subnet is added and removed by commands with its values", async (t) => {
  const { wanted, hooks: [hook] } = await planOf([b]);
  t.same(wanted, []);
  const env = { SUBNET: "10.42.2.0/24", PUBLIC_IP: "10.0.0.2" };
  const given = { env, input: "02:00:00:00:00:02\n", timeoutMs: 30_000 };
  t.same(hook, {
    kind: "hook",
    destination: parsePrefix("10.42.2.0/24"),
    add: {
      name: "SubnetAddCommand",
      argv: ["ip", "route", "replace", "10.42.2.0/24", "via", "10.0.0.2"],
      ...given,
    },
    remove: {
      name: "SubnetRemoveCommand",
      argv: ["ip", "route", "del", "10.42.2.0/24"],
      ...given,
    },
  });
});

t.test("the own subnet has hooks of its own, where there are commands for it", async (t) => {
  t.same((await planOf([])).hooks, []);
  const { hooks: [hook] } = await planOf([], {
    PostStartupCommand: ["/x/up", "$NETWORK"],
    ShutdownCommand: ["/x/down"],
  });
  t.equal(hook?.own, true);
  t.equal(
    formatInvocation(hook!.add!),
    "NETWORK=10.42.0.0/16 SUBNET=10.42.1.0/24 PUBLIC_IP=10.0.0.1 /x/up 10.42.0.0/16",
  );
  t.same(hook?.remove?.argv, ["/x/down"]);
  t.equal(hook?.add?.input, "mine\n");
});

t.test("both families of a peer are one call", async (t) => {
  const both = peer("b", "10.0.0.2,fd00::2", "", "10.42.2.0/24", "fd42:0:0:2::/64");
  const { hooks } = await planOf([both], {
    SubnetAddCommand: ["/x", "$IPV6SUBNET", "$PUBLIC_IPV6", "$$x"],
  });
  t.same(hooks.map(({ add }) => add?.argv), [["/x", "fd42:0:0:2::/64", "fd00::2", "$x"]]);
  t.same(Object.keys(hooks[0]!.add!.env).sort(), [
    ...["IPV6SUBNET", "PUBLIC_IP", "PUBLIC_IPV6", "SUBNET"],
  ]);
});

t.test("a peer without a value that the command has is left out, and the others go on", async (t) => {
  const { hooks, leftOut } = await planOf(
    [b, peer("c", "10.0.0.3,fd00::3", "", "10.42.3.0/24", "fd42:0:0:3::/64")],
    { SubnetAddCommand: ["/x", "$IPV6SUBNET"] },
  );
  t.same(hooks.map(keyOfHook), ["10.42.3.0/24"]);
  t.same(leftOut.map(({ destination, why }) => `${formatPrefix(destination)}: ${why}`), [
    "10.42.2.0/24: SubnetAddCommand has IPV6SUBNET, and b has none",
  ]);
});

t.test("what runs before is said, and what it prints is published", async (t) => {
  const commands = config({ PreStartupCommand: ["/x/pre", "1"], ...ROUTES });
  const use = await extension.programs!(commands);
  t.same(use.argvs, [["/x/pre", "1"], ADD, REMOVE]);
  t.same([use.first?.name, use.first?.argv, use.first?.env, use.first?.input], [
    ...["PreStartupCommand", ["/x/pre", "1"], {}, "\n"],
  ]);
  t.same(await extension.publish({ ...host, printed: " 02:00\n" }, commands), {
    ...{ data: "02:00", mtu: 1500 },
  });
  t.same(await extension.publish(host, config()), { data: "", mtu: 1500 });
  t.equal((await extension.programs!(config())).first, undefined);
});

t.test("what a peer published has to be text", async (t) => {
  t.equal(extension.parseData(null), "");
  t.equal(extension.parseData("two\n\tlines"), "two\n\tlines");
  for (const bad of [7, ["x"], { a: 1 }, "\0", "\x1b[2J", "x".repeat(20_000)]) {
    t.throws(() => extension.parseData(bad), { code: "CONFIG_INVALID" });
  }
});

t.test("one text is refused, with the list that it would be", async (t) => {
  const flannels = 'ip route add "$SUBNET" via $PUBLIC_IP';
  const error = caught(() => config({ SubnetAddCommand: flannels }));
  t.equal(error.message, "Cannot use SubnetAddCommand of the extension backend");
  t.equal(error.fix, '"SubnetAddCommand": ["ip","route","add","$SUBNET","via","$PUBLIC_IP"]');
  const script = caught(() => config({ PostStartupCommand: "ip link del x; ip link add x" }));
  t.match(
    script.fix ?? "",
    /script on every host, and name that: "PostStartupCommand": \["\/usr\/local\/sbin\/post-startup"\]/,
  );
});

t.test("keys are read in any case, and a wrong one is refused", async (t) => {
  const { commands, timeoutMs } = config({
    ...{ type: "extension", subnetaddcommand: ["x"], SUBNETREMOVECOMMAND: "", commandTimeout: 2.5 },
  });
  t.same([commands, timeoutMs], [{ SubnetAddCommand: ["x"] }, 2_500]);
  t.match(
    caught(() => config({ SubnetAddComand: ["x"] })).message,
    /Unknown key "SubnetAddComand"/,
  );
});

const refused: [string, Json][] = [
  ["no words", { SubnetAddCommand: [] }],
  ["a word that is none", { SubnetAddCommand: ["ip", 7] }],
  ["a number", { SubnetAddCommand: 7 }],
  ["a zero in a word", { SubnetAddCommand: ["ip", "a\0b"] }],
  ["a very long word", { SubnetAddCommand: ["ip", "x".repeat(5_000)] }],
  ["very many words", { SubnetAddCommand: Array.from({ length: 65 }, () => "x") }],
  ["an empty program", { SubnetAddCommand: ["", "x"] }],
  ["a program from here", { SubnetAddCommand: ["./x"] }],
  ["a program that is a value", { SubnetAddCommand: ["$SUBNET"] }],
  ["a variable that it has not", { SubnetAddCommand: ["x", "$HOME"] }],
  ["a variable of another command", { SubnetAddCommand: ["x", "$NETWORK"] }],
  ["a variable before there is a subnet", { PreStartupCommand: ["x", "$SUBNET"] }],
  ["a sign that is no variable", { SubnetAddCommand: ["x", "5$"] }],
  ["no time at all", { CommandTimeout: 0 }],
  ["a time in words", { CommandTimeout: "30s" }],
];

for (const [what, json] of refused) {
  t.test(`a config is refused for ${what}`, async (t) => {
    t.throws(() => config(json), { code: "CONFIG_INVALID" });
  });
}

t.test("no value of a peer can be more than one word", async (t) => {
  const { hooks } = await planOf([peer("b", "10.0.0.2", "; rm -rf /", "10.42.2.0/24")], {
    SubnetAddCommand: ["/x", "a$SUBNET b"],
  });
  t.same(hooks[0]?.add?.argv, ["/x", "a10.42.2.0/24 b"]);
});

t.test("every example in its README is one that it reads", async (t) => {
  const page = readFileSync(join(root, "plugins/extension/README.md"), "utf8");
  const examples = [...page.matchAll(/```json\n([^]*?)```/g)].map((match) => match[1]!);
  const files = globSync("examples/**/*.json", { cwd: root })
    .map((path) => readFileSync(join(root, path), "utf8"))
    .filter((text) => text.includes('"extension"'));
  for (const text of [...examples, ...files]) {
    const { Backend } = JSON.parse(text) as { Backend: Json };
    t.ok(Object.keys(config(Backend).commands).length > 0);
  }
  t.ok(examples.length >= 2);
});
