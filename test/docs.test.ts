/** What the docs say is so: links lead somewhere, commands exist, examples can be read. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import t from "tap";
import { backend } from "../examples/backends/static.ts";
import { parsePrefix } from "../src/ip/prefix.ts";
import { parseAddress } from "../src/ip/address.ts";
import { ERRORS } from "../src/base/errors.ts";
import { createProgram } from "../src/cli/program.ts";
import { parseNetworkConfig } from "../src/lease/network.ts";
import { formatWanted } from "../src/plan/text.ts";
import { root } from "./support/root.ts";

const pages = globSync("{*.md,docs/**/*.md,plugins/**/*.md,compile/*.md,examples/*.md}", {
  cwd: root,
}).sort();

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
  // Named as missing in the README.
  const planned = new Set(["doctor"]);
  const unknown = typed.filter(({ name }) => !known.has(name) && !planned.has(name));
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
    const { backendType, warnings } = parseNetworkConfig(read(file));
    t.same([backendType, warnings], ["host-gw", []], file);
  }
  t.ok(files.length >= 3);
});

t.test("the example of a backend plans what it says", async (t) => {
  const gateway = parseAddress("192.0.2.1");
  const host = {
    link: { name: "eth0", index: 2, mtu: 1500 },
    address: parseAddress("192.0.2.11"),
    addressLength: 24,
    publicIp: parseAddress("192.0.2.11"),
    secret: new Uint8Array(32),
  };
  const peer = (node: string, subnet: string) => ({
    node,
    subnets: [parsePrefix(subnet)],
    publicIp: host.publicIp,
    data: null,
  });
  const wanted = await backend.plan({
    host,
    config: backend.parseConfig({ Gateway: "192.0.2.1" }),
    own: peer("a", "10.5.1.0/24"),
    peers: [peer("b", "10.5.2.0/24")],
  });
  t.same(wanted.map(formatWanted), ["10.5.2.0/24 via 192.0.2.1 dev eth0"]);
  t.equal(gateway.family, 4);
  t.throws(() => backend.parseConfig({}), { code: "CONFIG_INVALID" });
});
