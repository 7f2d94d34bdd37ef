/** Two hosts of the deployment that Denim is to take the place of: its rules and everybody's. */
import t, { type Test } from "tap";
import type { StatusView } from "../../src/api/service.ts";
import { CONTAINER_BRIDGE } from "../../src/cli/lab/container.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import { handbookRules, withoutDenim } from "../support/handbook-rules.ts";
import {
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  offline,
  onDeno,
  onNode,
  restart,
  typed,
  unreached,
  untilReady,
  untilRouted,
} from "../support/lab.ts";
import { type Seen, send } from "../support/datagram.ts";
import { cannotFilter } from "../support/namespace.ts";
import { inside } from "../support/two-hosts.ts";

const options = { skip: cannotFilter, timeout: 600_000 };

/** A busy machine included; looked at by hand, it takes a tenth of a second. */
const BACK_MS_MAX = 3_000;

const TABLE = "table ip denim-10.244.0.0-16 {";
const CHAIN = "DENIM-FWD-10.244.0.0-16";

async function rulesOn(host: Host): Promise<{ nft: string; iptables: string }> {
  return {
    nft: await inside(host, ["nft", "list", "ruleset"]),
    iptables: await inside(host, ["iptables-save"]),
  };
}

async function stands(host: Host): Promise<true | undefined> {
  const { nft, iptables } = await rulesOn(host);
  const own = nft.slice(nft.indexOf(TABLE)).split("\n}")[0]!;
  const masquerades = nft.includes(TABLE) && own.includes("masquerade");
  const accepts = iptables.includes(`-j ${CHAIN}`) && iptables.includes(`-A ${CHAIN} `);
  return masquerades && accepts ? true : undefined;
}

/** Whom somebody on the link sees when a container speaks to it. */
async function seenOutside(host: Host, outside: Host): Promise<Seen | undefined> {
  const from = { namespace: host.containerNamespace, address: host.container!.address };
  return await send(from, outside);
}

async function backAfter(t: Test, host: Host, words: readonly string[]): Promise<void> {
  await inside(host, words);
  const startMs = performance.now();
  await eventually(`the rules are back after ${words.join(" ")}`, () => stands(host));
  const tookMs = performance.now() - startMs;
  t.ok(tookMs < BACK_MS_MAX, `${words.join(" ")}: ${tookMs.toFixed(0)} ms`);
}

t.test("rules come, stay and go", options, async (t) => {
  const lab = await makeLab(t);
  const [a, b, outside] = [
    await lab.addHost("a"),
    await lab.addHost("b"),
    await lab.addHost("outside"),
  ];
  const hosts = [a, b];
  const others = handbookRules({ to: "10.244.2.2", port: 53 })
    .replaceAll("docker0", CONTAINER_BRIDGE).replace(":FORWARD ACCEPT", ":FORWARD DROP");
  for (const host of hosts) await inside(host, ["iptables-restore"], others);
  const theirs = async () => withoutDenim((await rulesOn(a)).iptables);
  const before = await theirs();

  await found(a, onNode);
  await joinBy(b, onDeno, a, await makeToken(a));
  await untilRouted(hosts);
  for (const host of hosts) await host.startContainer();
  t.same(await unreached(hosts), [], "although FORWARD drops");
  t.same(await seenOutside(a, outside), { source: a.address, answered: true });
  t.match(await inside(a, ["cat", a.subnetFile]), /^FLANNEL_IPMASQ=true$/m);
  // Packets pass a moment before it is said that they may.
  const reported = async () => (await a.ask(onNode, ["status"]) as StatusView).dataPlane.rules;
  await eventually("both kinds of rules are reported", async () => {
    return (await reported()).length === 2 ? true : undefined;
  });
  t.same(await reported(), [
    { kind: "masquerade", network: "10.244.0.0/16", tool: "nftables", from: null, error: null },
    { kind: "forward", network: "10.244.0.0/16", tool: "iptables", from: "FORWARD", error: null },
  ]);
  const words = /rules +masquerade by nftables, let through FORWARD by iptables/;
  t.match((await typed(a, ["status"])).out, words);
  t.same(await theirs(), before, "nobody else's rule has changed");

  await eventually("it is quiet", () => stands(a));
  await backAfter(t, a, ["nft", "delete", "table", "ip", "denim-10.244.0.0-16"]);
  await backAfter(t, a, ["iptables", "-F", CHAIN]);
  await backAfter(t, a, ["iptables", "-D", "FORWARD", "7"]);
  t.same(await theirs(), before);

  await a.daemon!.stop();
  t.ok(await stands(a), "they stay while the daemon is down");
  t.same(await unreached(hosts), []);
  t.same(await seenOutside(a, outside), { source: a.address, answered: true });
  await a.startDaemon(onNode, ["run", "--no-ip-masq", "--no-forward-rules"]);
  await untilReady([a]);
  await eventually("they are not wanted", async () => {
    const { nft, iptables } = await rulesOn(a);
    return nft.includes(TABLE) || iptables.includes(CHAIN) ? undefined : true;
  });
  t.same(await theirs(), before);
  t.match(await inside(a, ["cat", a.subnetFile]), /^FLANNEL_IPMASQ=false$/m);
  t.equal((await seenOutside(a, outside))?.answered, false, "nobody knows the way back");

  await a.daemon!.stop();
  await restart(a, onNode);
  await untilReady([a]);
  await eventually("they are back", () => stands(a));
  await b.ask(onNode, ["leave", "--yes"]);
  await b.daemon!.ended;
  const left = await rulesOn(b);
  t.notOk(/denim/i.test(`${left.nft}${left.iptables}`), "who leaves takes them along");
  t.same(withoutDenim(left.iptables), before);

  await a.daemon!.stop("SIGKILL");
  t.ok(await stands(a), "they stay behind a daemon that is gone for good");
  const files = ["--subnet-file", a.subnetFile, "--cni-conflist", `${a.folder}/none`];
  const cleaned = await offline(a, ["cleanup", "--yes", ...files]);
  t.equal(cleaned.status, 0, cleaned.err);
  const clean = await rulesOn(a);
  t.notOk(/denim/i.test(`${clean.nft}${clean.iptables}`), "until a cleanup");
  t.same(withoutDenim(clean.iptables), before, "which leaves everybody else's as they were");
});

/** Denim where some files cannot be used: `ip netns exec` gives it mounts of its own. */
function withoutFiles(paths: string): Program {
  const hide = `for file in ${paths}; do mount --bind /dev/null "$file"; done; exec "$@"`;
  return ["sh", "-c", hide, "sh", ...onNode];
}

const LIBRARY = "$(ldconfig -p | sed -n 's/.*libnftables.so.1 .*=> //p')";
const PROGRAMS = "/usr/sbin/xtables-*-multi";

t.test("a host without libnftables, and one without anything", options, async (t) => {
  const lab = await makeLab(t);
  const host = await lab.addHost("a");
  await found(host, withoutFiles(LIBRARY));
  const rules = async () => (await host.ask(onNode, ["status"]) as StatusView).dataPlane.rules;
  t.same((await rules()).map(({ tool, from }) => [tool, from]), [["iptables", "POSTROUTING"]]);
  t.match((await rulesOn(host)).iptables, /-A POSTROUTING .* -j DENIM-NAT-10\.244\.0\.0-16/);
  t.match(await inside(host, ["cat", host.subnetFile]), /^FLANNEL_IPMASQ=true$/m);

  await host.daemon!.stop();
  await restart(host, withoutFiles(`${LIBRARY} ${PROGRAMS}`));
  await untilReady([host]);
  await eventually("container runtimes are told", async () => {
    return /^FLANNEL_IPMASQ=false$/m.test(await inside(host, ["cat", host.subnetFile])) ||
      undefined;
  });
  const { ready, checks } = await host.ask(onNode, ["status"]) as StatusView;
  t.ok(ready, "that keeps no container from starting");
  t.match(
    checks.find(({ name }) => name === "rules")?.why ?? "",
    /neither libnftables nor iptables/,
  );
});
