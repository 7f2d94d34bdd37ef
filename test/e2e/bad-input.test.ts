/** What a real daemon says to bad input: what, why and fix; and that it then leaves no trace. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { ip } from "../../src/cli/lab/ip.ts";
import {
  cannotLab,
  found,
  joinBy,
  makeLab,
  makeToken,
  onNode,
  runInside,
  unreached,
  untilReady,
  untilRouted,
} from "../support/lab.ts";
import { knownOf, refused } from "../support/refusal.ts";

const options = { skip: cannotLab, timeout: 600_000 };

const init = (network: string) => ["init", "--foreground", "--network", network];

t.test("a network that cannot be read, or does not work", options, async (t) => {
  const lab = await makeLab(t);
  const a = await lab.addHost("a");
  const cases: readonly (readonly [string, RegExp])[] = [
    ["10.244.0.0", /10\.244\.0\.0/],
    ["10.244.0.0/40", /10\.244\.0\.0\/40/],
    ["{", /JSON/],
    ['{"Backend":{"Type":"host-gw"}}', /Network/],
    ['{"Network":"10.244.0.0/16","Backend":{"Type":"vxlam"}}', /vxlam/],
    ['{"Network":"10.244.0.0/16","SubnetLen":12}', /SubnetLen|subnet/i],
    ['{"Network":"10.244.0.0/16","SubnetLne":24}', /SubnetLne[^]*SubnetLen/],
  ];
  for (const [network, words] of cases) {
    const { status, err, code } = await refused(t, a, init(network));
    t.same([status, code], [2, "CONFIG_INVALID"], network);
    t.match(err, words);
  }
});

t.test("a network that the host has a route into; a public one only warns", options, async (t) => {
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a"), await lab.addHost("b")];
  for (const { namespace } of [a, b]) {
    await ip(`-n ${namespace} route add 10.244.7.0/24 via 192.0.2.9`);
  }
  const own = await refused(t, a, init("10.244.0.0/16"));
  t.same([own.status, own.code], [7, "NETWORK_OVERLAP"]);
  t.match(own.err, /10\.244\.7\.0\/24 via 192\.0\.2\.9/);
  t.match(own.err, /fix .*--network/);

  await ip(`-n ${a.namespace} route del 10.244.7.0/24`);
  await found(a, onNode);
  const before = await knownOf(a);
  const token = await makeToken(a, 1);
  const join = ["join", a.address, "--foreground"];
  const joined = await refused(t, b, join, { DENIM_TOKEN: token });
  t.same([joined.status, joined.code], [7, "NETWORK_OVERLAP"]);
  t.same(await knownOf(a), before);
  await ip(`-n ${b.namespace} route del 10.244.7.0/24`);
  await joinBy(b, onNode, a, token);
  t.pass("the token's only use was not spent on the refusal");

  const c = await lab.addHost("c");
  await ip(`-n ${c.namespace} route add 9.9.7.0/24 via 192.0.2.9`);
  await c.startDaemon(onNode, [...init("9.9.0.0/16"), "--allow-overlap"]);
  await untilReady([c]);
  t.match(readFileSync(c.logFile, "utf8"), /WRN.*9\.9\.0\.0\/16 is not a private range/);
});

t.test("a server that is not there", options, async (t) => {
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a"), await lab.addHost("b")];
  await found(a, onNode);
  const nobody = await refused(t, b, ["join", "192.0.2.77", "--foreground"], {
    DENIM_TOKEN: await makeToken(a, 1),
  });
  t.same([nobody.status, nobody.code], [5, "PEER_UNREACHABLE"]);
});

t.test("a second daemon on the same directory, socket or port", options, async (t) => {
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a"), await lab.addHost("b")];
  await found(a, onNode);
  const again = await refused(t, a, ["run"]);
  t.same([again.status, again.code], [7, "STORE_LOCKED"]);
  t.match(again.err, new RegExp(`${a.stateDir}`));
  await untilReady([a]);

  const words = ["run", "--state-dir", join(a.folder, "second")];
  const socket = await runInside(onlyFlags(a, ["--socket", a.socketPath]), words);
  t.equal(socket.status, 7);
  t.match(socket.err, /PORT_IN_USE/);
  const port = await runInside(onlyFlags(a, ["--socket", join(a.folder, "s.sock")]), [
    ...words,
    ...["--api-port", "off"],
  ]);
  t.equal(port.status, 7);
  t.match(port.err, /7470[^]*PORT_IN_USE/);
  await untilReady([a]);

  const holder = createServer();
  holder.listen(join(b.folder, "denim.sock"));
  t.teardown(() => holder.close());
  const taken = await refused(t, b, init("10.244.0.0/16"));
  t.same([taken.status, taken.code], [7, "PORT_IN_USE"]);
});

/** The same host, whose daemon is told other things. */
function onlyFlags(host: Host, flags: readonly string[]): Host {
  return Object.create(host, { flags: { value: flags } });
}

/** Root without some of root's rights. */
const without = (rights: string) =>
  ["setpriv", `--bounding-set=${rights}`, `--inh-caps=${rights}`].concat(onNode);

t.test("without the rights that it needs", options, async (t) => {
  const lab = await makeLab(t);
  const a = await lab.addHost("a");
  const words = init("10.244.0.0/16");
  const kernel = await refused(t, a, words, {}, without("-net_admin"));
  t.same([kernel.status, kernel.code], [4, "PERMISSION_DENIED"]);
  t.match(kernel.err, /CAP_NET_ADMIN[^]*fix .*root/);

  const folder = join(a.folder, "locked");
  mkdirSync(folder, { mode: 0o500 });
  const flags = ["--state-dir", join(folder, "state"), "--socket", a.socketPath];
  const disk = await refused(t, onlyFlags(a, flags), words, {}, without("-dac_override"));
  t.same([disk.status, disk.code], [4, "PERMISSION_DENIED"]);
  t.match(disk.err, /locked\/state[^]*fix .*root/);
});

t.test("no subnet is left, and a public address that a live node has", options, async (t) => {
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a"), await lab.addHost("b")];
  const [c, d] = [await lab.addHost("c"), await lab.addHost("d")];
  writeFileSync(join(a.folder, "network.json"), '{"Network":"10.9.0.0/22","SubnetLen":24}');
  await found(a, onNode, join(a.folder, "network.json"));
  const token = await makeToken(a, 4);
  await joinBy(b, onNode, a, token);

  await ip(`-n ${c.namespace} addr add ${b.address}/24 dev eth0`);
  const before = await knownOf(a);
  const joinWords = ["join", a.address, "--foreground"];
  const same = await refused(t, c, [...joinWords, "--public-ip", b.address], {
    DENIM_TOKEN: token,
  });
  t.same([same.status, same.code], [7, "PUBLIC_IP_TAKEN"]);
  t.match(same.err, /192\.0\.2\.2[^]*\bb\b[^]*--replace/);
  t.same(await knownOf(a), before);
  await ip(`-n ${c.namespace} addr del ${b.address}/24 dev eth0`);

  await joinBy(c, onNode, a, token);
  const full = await knownOf(a);
  const fourth = await refused(t, d, joinWords, { DENIM_TOKEN: token });
  t.same([fourth.status, fourth.code], [7, "POOL_EXHAUSTED"]);
  t.match(fourth.err, /10\.9\.0\.0\/22/);
  t.same(await knownOf(a), full);
  await untilRouted([a, b, c]);
  for (const host of [a, b, c]) await host.startContainer();
  t.same(await unreached([a, b, c]), []);
});
