/** Hosts with two links: whatever one says of the data interface, peers send there. */
import t from "tap";
import type { Finding } from "../../src/doctor/finding.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import { ipBatch } from "../../src/cli/lab/ip.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import {
  cannotLab,
  eventually,
  makeLab,
  makeToken,
  NETWORK,
  onNode,
  ownRoutes,
  runInside,
  subnetOf,
  typed,
  untilReady,
} from "../support/lab.ts";
import { refused } from "../support/refusal.ts";

const options = { skip: cannotLab, timeout: 600_000 };

const SIX = '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd42::/48"}';

/** A host that has its default route by `eth0`, and its data link at `eth1`. */
async function addHost(lab: Lab, name: string, number: number): Promise<Host> {
  const host = await lab.addHost(name, [4, 6]);
  await lab.lay(host, "eth1", "data");
  await host.set("net/ipv6/conf/eth1/disable_ipv6", "0");
  await ipBatch([
    "link set eth1 up",
    `addr add 198.51.100.${number}/24 dev eth1`,
    `addr add fd00:9::${number}/64 dev eth1 nodad`,
  ], host.namespace);
  return host;
}

/** What `denim doctor` says of the interface that a daemon with these flags would choose. */
async function chosen(host: Host, network: string, words: readonly string[]): Promise<Finding> {
  const { out, err } = await runInside(host, ["doctor", "--json", "--network", network, ...words]);
  const findings = out === "" ? [] : (JSON.parse(out) as { findings: Finding[] }).findings;
  const finding = findings.find(({ check }) => check === "interface");
  if (finding === undefined) throw new Error(err);
  return finding;
}

t.test("the data interface is the one that was meant", options, async (t) => {
  const lab = await makeLab(t);
  await lab.addSwitch("data");
  const [a, b] = [await addHost(lab, "a", 1), await addHost(lab, "b", 2)];

  await t.test("by whatever it is named", async (t) => {
    const cases: readonly (readonly [string, readonly string[], string])[] = [
      [NETWORK, [], "eth0 192.0.2.1, MTU 1500: chosen by the default route"],
      [NETWORK, ["--iface", "eth1"], "eth1 198.51.100.1, MTU 1500: chosen by its name"],
      [NETWORK, ["--iface=198.51.100.1"], "eth1 198.51.100.1, MTU 1500: chosen by its address"],
      [NETWORK, ["--iface-regex", "^eth1$"], "eth1 198.51.100.1, MTU 1500: chosen by"],
      [NETWORK, ["--iface-regex", "^198[.]"], "eth1 198.51.100.1, MTU 1500: chosen by"],
      [NETWORK, ["--iface-can-reach", "198.51.100.77"], "eth1 198.51.100.1, MTU 1500: chosen by"],
      [NETWORK, ["--public-ip", "198.51.100.1"], "eth1 198.51.100.1, MTU 1500: chosen by"],
      [SIX, ["--public-ipv6", "fd00:9::1"], "eth1 fd00:9::1, MTU 1500: chosen by"],
    ];
    for (const [network, words, text] of cases) {
      const { result, found } = await chosen(a, network, words);
      t.equal(result, "ok", words.join(" "));
      t.ok(found.startsWith(text), `${words.join(" ")}: ${found}`);
    }
    const none = await chosen(a, NETWORK, ["--iface", "eth7"]);
    t.equal(none.result, "failed");
    t.match(`${none.why} ${none.fix}`, /eth1/, "what there is to choose from is named");
  });

  await t.test("peers send there, and the daemon says by which rule", async (t) => {
    const foreground = ["--foreground", "--network", NETWORK];
    await a.startDaemon(onNode, ["init", ...foreground, "--iface-regex", "^eth1$"]);
    await untilReady([a]);
    const DENIM_TOKEN = await makeToken(a, 2, ["--role", "agent"]);
    const join = ["join", a.address, "--foreground", "--iface-can-reach", "198.51.100.1"];
    await b.startDaemon(onNode, join, { DENIM_TOKEN });
    await untilReady([b]);
    for (const [host, other, number] of [[a, b, 2], [b, a, 1]] as const) {
      const wanted = `${await subnetOf(other)} via 198.51.100.${number} dev eth1`;
      await eventually(`${host.name}: ${wanted}`, async () => {
        return String(await ownRoutes(host)) === wanted || undefined;
      });
    }
    t.match((await typed(a, ["status"])).out, /over eth1 198\.51\.100\.1, chosen by .*\^eth1\$/);
    t.match(
      (await typed(b, ["status"])).out,
      /over eth1 198\.51\.100\.2, chosen by .*198\.51\.100/,
    );

    const c = await addHost(lab, "c", 3);
    const nat = ["join", a.address, "--foreground", "--iface=eth1", "--public-ip=203.0.113.9"];
    const said = await refused(t, c, nat, { DENIM_TOKEN });
    t.match(said.err, /Cannot use host-gw behind NAT/, "what no link has is another host's to say");
  });
});
