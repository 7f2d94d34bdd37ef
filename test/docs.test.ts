/** What the docs say is so: links lead somewhere, commands exist, examples can be read. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import t from "tap";
import { backend } from "../examples/backends/static/mod.ts";
import { backends } from "../plugins/mod.ts";
import { BackendRegistry } from "../src/backend/registry.ts";
import { splitPlan } from "../src/backend/scene.ts";
import { parseAddress } from "../src/ip/address.ts";
import { ERRORS } from "../src/base/errors.ts";
import { describe, FLANNELD_FLAGS } from "../src/cli/flanneld/table.ts";
import { createProgram } from "../src/cli/program.ts";
import { parseNetworkConfig } from "../src/lease/network.ts";
import { parsePrefix } from "../src/ip/prefix.ts";
import { formatWanted } from "../src/plan/text.ts";
import { hostAt, peerAt } from "./support/hosts.ts";
import { root } from "./support/root.ts";

const pages = globSync("{*.md,docs/**/*.md,plugins/**/*.md,compile/*.md,examples/**/*.md}", {
  cwd: root,
}).sort();

const registry = new BackendRegistry(backends);
const io = { out() {}, err() {}, widthMax: undefined, env: {} };
const program = createProgram({ io, version: "0", backends: [] });

function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

t.test("links between pages lead somewhere", async (t) => {
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1]!)
      .filter((target) => !existsSync(join(root, dirname(page), target)))
      .map((target) => `${page}: ${target}`)
  );
  t.same(broken, []);
  t.ok(pages.length > 8);
});

t.test("every command that a page types exists", async (t) => {
  const known = new Set(["help", ...program.commands.map((command) => command.name())]);
  const typed = pages.filter((page) => page !== "CHANGELOG.md").flatMap((page) =>
    [...read(page).matchAll(/`(?:[a-z0-9]+# )?denim ([a-z-]+)/g)]
      .map((match) => ({ page, name: match[1]! }))
  );
  const unknown = typed.filter(({ name }) => !known.has(name));
  t.same(unknown, []);
  t.ok(typed.length > 5);
});

t.test("the page of commands has every command, and every exit code", async (t) => {
  const page = read("docs/reference/commands.md");
  for (const command of program.createHelp().visibleCommands(program)) {
    t.match(page, new RegExp("`" + command.name() + "[` ]"), command.name());
  }
  for (const { exit } of Object.values(ERRORS)) t.match(page, new RegExp(`^\\| ${exit} +\\|`, "m"));
});

t.test("the page of flanneld's flags has each of them, and what the program does", async (t) => {
  const page = read("docs/reference/flanneld.md");
  const rows = page.slice(0, page.indexOf("## Variables")).split("\n")
    .filter((line) => line.startsWith("| `-"))
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim()));
  const wanted = FLANNELD_FLAGS.map((flag) => {
    const fallback = flag.fallback === "" ? "" : `\`${flag.fallback}\``;
    return [`\`-${flag.name}\``, fallback, describe(flag).replaceAll("|", "\\|")];
  });
  t.same(rows, wanted);
});

t.test("every key on the page of the network config is one that is read", async (t) => {
  const rows = read("docs/reference/network-config.md").split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|")[1]!);
  const named = rows.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map((match) => match[1]!));
  t.ok(named.length > 12);
  for (const key of named) {
    const message = refusalOf(JSON.stringify({ [key]: null }));
    t.notOk(message.startsWith("Unknown key"), `${key}: ${message}`);
  }
  t.equal(refusalOf('{"Netwrok":"10.0.0.0/8"}'), 'Unknown key "Netwrok" in the network config');
});

function refusalOf(config: string): string {
  try {
    parseNetworkConfig(config);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

t.test("every example of a network config can be used", async (t) => {
  const files = globSync("examples/networks/*.json", { cwd: root });
  for (const file of files) {
    const { backendType, backendOptions, warnings } = parseNetworkConfig(read(file));
    t.same(warnings, [], file);
    registry.get(backendType).parseConfig(JSON.parse(backendOptions));
  }
  t.ok(files.length >= 4);
});

const SECTIONS: readonly string[] = [
  ...["What it does", "Config", "What it publishes", "Kernel state", "Example", "Limits"],
];

t.test("every backend's page has the same sections, and an example that can be used", async (t) => {
  for (const name of registry.names) {
    const page = read(`plugins/${name}/README.md`);
    const sections = [...page.matchAll(/^\*\*(.+?)\.\*\*/gm)].map((match) => match[1]);
    // One that needs more says it in a section of its own, between these.
    t.same(sections.filter((section) => SECTIONS.includes(section!)), SECTIONS, name);
    const example = /^```json\n([^]*?)^```/m.exec(page)?.[1] ?? "";
    const { backendType, backendOptions, warnings } = parseNetworkConfig(example);
    t.same([backendType, warnings], [name, []]);
    registry.get(name).parseConfig(JSON.parse(backendOptions));
  }
});

t.test("the example of a backend plans what it says", async (t) => {
  const gateway = parseAddress("192.0.2.1");
  const host = hostAt("192.0.2.11/24");
  const peer = (node: string, subnet: string) => peerAt(node, "192.0.2.12", subnet);
  const plan = await backend.plan({
    network: parsePrefix("10.5.0.0/16"),
    host,
    config: backend.parseConfig({ Gateway: "192.0.2.1" }),
    own: peer("a", "10.5.1.0/24"),
    peers: [peer("b", "10.5.2.0/24")],
  });
  t.same(splitPlan(plan).wanted.map(formatWanted), ["10.5.2.0/24 via 192.0.2.1 dev eth0"]);
  t.equal(gateway.family, 4);
  t.throws(() => backend.parseConfig({}), { code: "CONFIG_INVALID" });
});
