/** What dockerd is told out of subnet.env, and when it is told nothing. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { run } from "../../src/cli/program.ts";
import { renderSubnetEnv } from "../../src/lease/subnet-env.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { temporaryFolder } from "../support/folders.ts";

/** The file of the handbook's first node. */
const HANDBOOK = "FLANNEL_NETWORK=172.33.0.0/16\nFLANNEL_SUBNET=172.33.68.1/24\n" +
  "FLANNEL_MTU=1500\nFLANNEL_IPMASQ=false\n";

async function make(
  t: Test,
  subnetEnv: string | undefined,
  line = "",
  env: Readonly<Record<string, string>> = {},
) {
  const folder = temporaryFolder(t);
  const [from, to] = [join(folder, "subnet.env"), join(folder, "docker")];
  if (subnetEnv !== undefined) writeFileSync(from, subnetEnv);
  let err = "";
  const io = { out() {}, err: (text: string) => void (err += text), widthMax: undefined, env };
  const words = ["mk-docker-opts", "-f", from, "-d", to, ...line.split(" ").filter(Boolean)];
  const status = await run(words, { io, version: "0", backends: [] });
  return { status, err, path: to, text: existsSync(to) ? readFileSync(to, "utf8") : undefined };
}

t.test("it is the handbook's file, with the space that the page has lost", async (t) => {
  const { status, text, path } = await make(t, HANDBOOK, "-k DOCKER_NETWORK_OPTIONS");
  t.equal(status, 0);
  t.equal(
    text,
    `DOCKER_OPT_BIP="--bip=172.33.68.1/24"
DOCKER_OPT_IPMASQ="--ip-masq=true"
DOCKER_OPT_MTU="--mtu=1500"
DOCKER_NETWORK_OPTIONS=" --bip=172.33.68.1/24 --ip-masq=true --mtu=1500"
`,
  );
  t.equal(statSync(path).mode & 0o777, 0o644);
});

const INDIVIDUAL = `DOCKER_OPT_BIP="--bip=172.33.68.1/24"
DOCKER_OPT_IPMASQ="--ip-masq=true"
DOCKER_OPT_MTU="--mtu=1500"
`;
const COMBINED = `DOCKER_OPTS=" --bip=172.33.68.1/24 --ip-masq=true --mtu=1500"\n`;

t.test("neither form means both", async (t) => {
  const forms = { "": INDIVIDUAL + COMBINED, "-i": INDIVIDUAL, "-c": COMBINED };
  for (const [line, text] of Object.entries(forms)) {
    t.equal((await make(t, HANDBOOK, line)).text, text, line);
  }
  t.equal((await make(t, HANDBOOK, "-i -c")).text, INDIVIDUAL + COMBINED);
  t.equal(
    (await make(t, HANDBOOK, "-ick X")).text,
    INDIVIDUAL + COMBINED.replace("DOCKER_OPTS", "X"),
  );
});

t.test("who masquerades is said the other way round, or not at all", async (t) => {
  const masked = HANDBOOK.replace("false", "true");
  t.equal((await make(t, masked, "-c")).text, COMBINED.replace("=true", "=false"));
  t.equal((await make(t, masked, "-cm")).text, COMBINED.replace(" --ip-masq=true", ""));
  const silent = HANDBOOK.replace(/FLANNEL_IPMASQ.*\n/, "");
  t.equal((await make(t, silent, "-c")).text, COMBINED.replace(" --ip-masq=true", ""));
});

t.test("what the environment has already goes in front, or in its place by name", async (t) => {
  const env = { DOCKER_OPTS: "--debug", DOCKER_OPT_ICC: "--icc=false", DOCKER_OPT_MTU: "--mtu=9" };
  t.equal(
    (await make(t, HANDBOOK, "", env)).text,
    `DOCKER_OPT_BIP="--bip=172.33.68.1/24"
DOCKER_OPT_ICC="--icc=false"
DOCKER_OPT_IPMASQ="--ip-masq=true"
DOCKER_OPT_MTU="--mtu=1500"
DOCKER_OPTS="--debug  --bip=172.33.68.1/24 --icc=false --ip-masq=true --mtu=1500"
`,
  );
});

t.test("IPv6 is told too, which the script does not know", async (t) => {
  const both = renderSubnetEnv({
    networks: ["10.42.0.0/16", "2001:cafe:42::/56"].map(parsePrefix),
    subnets: ["10.42.7.0/24", "2001:cafe:42:7::/64"].map(parsePrefix),
    mtu: 1450,
    ipMasq: true,
  });
  const all = "--bip=10.42.7.1/24 --fixed-cidr-v6=2001:cafe:42:7::/64 --ip-masq=false " +
    "--ipv6=true --mtu=1450";
  t.equal((await make(t, both, "-c")).text, `DOCKER_OPTS=" ${all}"\n`);
  const alone = both.replace(/FLANNEL_(NETWORK|SUBNET).*\n/g, "");
  t.equal(
    (await make(t, alone, "-c")).text,
    `DOCKER_OPTS=" ${all.replace("--bip=10.42.7.1/24 ", "")}"\n`,
  );
});

t.test("a shell reads back what was meant", async (t) => {
  const { path } = await make(t, HANDBOOK);
  const said = execFileSync("sh", ["-c", `. "$1"; printf %s "$DOCKER_OPTS"`, "sh", path]);
  t.equal(said.toString(), " --bip=172.33.68.1/24 --ip-masq=true --mtu=1500");
});

t.test("options with quotes in them come back as they were", async (t) => {
  const mine = '--label="a b" --log-opt=tag="{{.Name}}" --x=$HOME\\`ls`';
  const { path } = await make(t, HANDBOOK, "-c", { DOCKER_OPTS: mine, DOCKER_OPT_X: '--y="c d"' });
  const said = execFileSync("sh", ["-c", `. "$1"; printf %s "$DOCKER_OPTS"`, "sh", path]);
  t.equal(
    said.toString(),
    `${mine}  --bip=172.33.68.1/24 --ip-masq=true --mtu=1500 --y="c d"`,
  );
});

t.test("without a subnet nothing is written, and Docker's unit fails", async (t) => {
  const missing = await make(t, undefined);
  t.same([missing.status, missing.text], [3, undefined]);
  t.match(missing.err, /^error: There is no .*subnet\.env\n {2}why[^]*fix {3}wait until/);
  const unusable = {
    "": /no subnet in it/,
    "FLANNEL_MTU=1500\n": /no subnet in it/,
    "FLANNEL_SUBNET=$(reboot)\n": /Invalid value of FLANNEL_SUBNET: \$\(reboot\)/,
    "FLANNEL_SUBNET=10.0.0.1\n": /Invalid value of FLANNEL_SUBNET/,
    "FLANNEL_SUBNET=fd00::1/64\n": /of IPv4/,
    [HANDBOOK.replace("1500", "15O0")]: /Invalid value of FLANNEL_MTU: 15O0/,
    [HANDBOOK.replace("false", "maybe")]: /Invalid value of FLANNEL_IPMASQ: maybe/,
  };
  for (const [text, error] of Object.entries(unusable)) {
    const found = await make(t, text);
    t.same([found.status, found.text], [2, undefined], text);
    t.match(found.err, error);
  }
});

t.test("a refusal leaves an older file as it was", async (t) => {
  const folder = temporaryFolder(t);
  const [from, to] = [join(folder, "subnet.env"), join(folder, "docker")];
  writeFileSync(to, "older\n");
  const io = { out() {}, err() {}, widthMax: undefined, env: {} };
  const words = ["mk-docker-opts", "-f", from, "-d", to];
  t.equal(await run(words, { io, version: "0", backends: [] }), 3);
  t.equal(readFileSync(to, "utf8"), "older\n");
});

t.test("the combined variable has a variable's name", async (t) => {
  for (const name of ["X;reboot", "1X", "A-B"]) {
    const found = await make(t, HANDBOOK, `-k ${name}`);
    t.same([found.status, found.text], [2, undefined], name);
  }
  t.equal((await make(t, HANDBOOK, "-x")).status, 2);
});

t.test("where it writes to need not be a file: a link is followed, not replaced", async (t) => {
  const folder = temporaryFolder(t);
  const [from, real, link] = ["subnet.env", "real", "link"].map((name) => join(folder, name));
  writeFileSync(from!, HANDBOOK);
  writeFileSync(real!, "");
  symlinkSync(real!, link!);
  const io = { out() {}, err() {}, widthMax: undefined, env: {} };
  const words = ["mk-docker-opts", "-f", from!, "-d", link!, "-c"];
  t.equal(await run(words, { io, version: "0", backends: [] }), 0);
  t.equal(readFileSync(real!, "utf8"), COMBINED);
});
