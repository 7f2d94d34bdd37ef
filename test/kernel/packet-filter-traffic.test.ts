/** Who is seen at the far end, and what arrives there: the rules at work, in real namespaces. */
import t, { type Test } from "tap";
import type { Family } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { Iptables } from "../../src/kernel/iptables.ts";
import {
  LinuxPacketFilter,
  type PacketFilterOptions,
} from "../../src/kernel/linux-packet-filter.ts";
import type { NetworkRules } from "../../src/plan/rules.ts";
import { nextPort, type Seen, send } from "../support/datagram.ts";
import { handbookRules, withoutDenim } from "../support/handbook-rules.ts";
import { cannotFilter, enterNamed } from "../support/namespace.ts";
import { type End, inside, makeTwoHosts, type TwoHosts } from "../support/two-hosts.ts";

/** A tool that the rules are made with, and the program that the rest of the machine uses. */
interface Tool {
  readonly name: string;
  readonly options: PacketFilterOptions;
  readonly iptables: string;
}

const without = () => Promise.resolve(undefined);
const only = (kind: string) => async (family: Family) =>
  (await Iptables.find(family)).filter(({ name }) => name.endsWith("-legacy") === (kind !== "nft"));

const TOOLS: readonly Tool[] = [
  { name: "nftables", options: {}, iptables: "iptables" },
  {
    name: "iptables on nf_tables",
    options: { nftables: without, iptables: only("nft") },
    iptables: "iptables-nft",
  },
  {
    name: "iptables-legacy",
    options: { nftables: without, iptables: only("legacy") },
    iptables: "iptables-legacy",
  },
];

function rulesOf(number: number): NetworkRules[] {
  return [{
    network: parsePrefix("10.244.0.0/16"),
    subnets: [parsePrefix(`10.244.${number}.0/24`)],
    exempt: [parsePrefix("203.0.113.0/24")],
    masquerade: true,
    forward: true,
  }, {
    network: parsePrefix("fd00:244::/48"),
    subnets: [parsePrefix(`fd00:244:0:${number}::/64`)],
    exempt: [],
    masquerade: true,
    forward: true,
  }];
}

/** Puts the rules into both hosts; what goes wrong is the result. */
class Rules {
  readonly hosts: TwoHosts;
  readonly #filters: readonly LinuxPacketFilter[];

  constructor(t: Test, hosts: TwoHosts, { options }: Tool) {
    this.hosts = hosts;
    this.#filters = [new LinuxPacketFilter(options), new LinuxPacketFilter(options)];
    t.teardown(() => this.drop());
  }

  async put(): Promise<readonly string[]> {
    return await this.#each(async (filter, i) => {
      const wanted = rulesOf(i + 1);
      const reports = [...await filter.masquerade(wanted), ...await filter.forward(wanted)];
      return reports.flatMap(({ error = [] }) => error);
    });
  }

  async drop(): Promise<readonly string[]> {
    return await this.#each(async (filter) => await filter.remove(await filter.list()));
  }

  async #each(
    work: (filter: LinuxPacketFilter, i: number) => Promise<readonly string[]>,
  ): Promise<readonly string[]> {
    const { a, b } = this.hosts;
    const all: string[] = [];
    for (const [i, { namespace }] of [a, b].entries()) {
      const leave = enterNamed(namespace);
      all.push(...await work(this.#filters[i]!, i).finally(leave));
    }
    return all;
  }
}

const four = ({ namespace, four }: End) => ({ namespace, address: four });
const six = ({ namespace, six }: End) => ({ namespace, address: six });
const second = ({ namespace, second }: TwoHosts["a"]) => ({ namespace, address: second });

const as = (source: string, answered = true): Seen => ({ source, answered });

t.test("rules at work", { skip: cannotFilter, timeout: 300_000 }, async (t) => {
  const hosts = await makeTwoHosts(t);
  const { a, inA, inB, outside } = hosts;
  await inside(outside, ["ip", "addr", "add", "203.0.113.9/32", "dev", "lo"]);
  // Who is outside knows the way to the containers; it is only that most do not.
  await inside(outside, ["ip", "route", "add", "10.244.1.0/24", "via", a.four]);
  await inside(a, ["ip", "route", "add", "203.0.113.0/24", "via", outside.four]);
  // The kernel sends to a group by the link that has the sender's address.
  await inside(a, ["ip", "addr", "add", "10.244.1.9/32", "dev", "eth0"]);

  const unknown = { namespace: a.namespace, address: "fd00:99::1" };
  await inside(a, ["ip", "addr", "add", "fd00:99::1/128", "dev", "lo"]);

  await t.test("without rules a container is seen as it is", async (t) => {
    t.same(await send(four(inA), four(outside)), as(inA.four));
    const seen = await send(second(a), four(inB), { isAnswerLost: true });
    t.same(seen, as(a.second, false), "and the host as it likes");
  });

  for (const tool of TOOLS) {
    await t.test(`who is seen as whom: ${tool.name}`, async (t) => {
      const rules = new Rules(t, hosts, tool);
      t.same(await rules.put(), []);
      t.same(await send(four(inA), four(outside)), as(a.four), "container to outside");
      t.same(await send(four(inA), four(inB)), as(inA.four), "container to container");
      t.same(await send(four(inB), four(inA)), as(inB.four), "and back");
      t.same(await send(second(a), four(inB)), as(a.four), "host to a remote container");
      t.same(await send(four(outside), four(inA)), as(outside.four), "outside to a container");
      const exempt = { ...four(outside), address: "203.0.113.9" };
      t.same(await send(four(inA), exempt), as(inA.four), "an exempt destination");
      const group = { by: "224.0.0.1" };
      const member = { namespace: a.namespace, address: "10.244.1.9" };
      const everywhere = { namespace: outside.namespace, address: "0.0.0.0" };
      t.equal((await send(member, everywhere, group))?.source, member.address, "to a group");
      t.same(await send(six(inA), six(outside)), as(a.six), "container to outside, IPv6");
      t.same(await send(six(inA), six(inB)), as(inA.six), "container to container, IPv6");
      t.same(await send(six(inB), six(inA)), as(inB.six), "and back, IPv6");
      t.same(await send(unknown, six(inB)), as(a.six), "host to a remote container, IPv6");
      t.same(await rules.drop(), []);
      t.same(await send(four(inA), four(outside)), as(inA.four), "as before");
    });

    await t.test(`beside Docker's own masquerade rule: ${tool.name}`, async (t) => {
      const { iptables } = tool;
      const rule = ["-s", "10.244.1.0/24", "!", "-o", "docker0", "-j", "MASQUERADE"];
      await inside(a, [iptables, "-t", "nat", "-A", "POSTROUTING", ...rule]);
      t.teardown(() => inside(a, [iptables, "-t", "nat", "-D", "POSTROUTING", ...rule]));
      const rules = new Rules(t, hosts, tool);
      t.same(await rules.put(), []);
      t.same(await send(four(inA), four(outside)), as(a.four), "container to outside");
      t.same(await send(four(inB), four(inA)), as(inB.four), "container to container");
      t.same(await send(second(a), four(inB)), as(a.four), "host to a remote container");
      // As with flannel: that rule is about all that leaves the bridge.
      t.same(await send(four(inA), four(inB)), as(a.four), "from Docker's bridge to elsewhere");
    });

    await t.test(`beside kube-proxy's and Docker's chains: ${tool.name}`, async (t) => {
      const { iptables } = tool;
      const port = nextPort();
      const before = async () => withoutDenim(await inside(a, [`${iptables}-save`]));
      await inside(a, [`${iptables}-restore`], handbookRules({ to: inB.four, port }));
      t.teardown(async () => {
        for (const table of ["filter", "nat"]) {
          for (const word of ["-F", "-X"]) await inside(a, [iptables, "-t", table, word]);
        }
      });
      const found = await before();
      const rules = new Rules(t, hosts, tool);
      t.same(await rules.put(), []);
      t.same(await before(), found, "they stay as they are");
      const service = { by: "10.254.0.10", port };
      t.same(await send(four(inA), four(inB), service), as(inA.four), "a service, by a container");
      const nodePort = { by: a.four, port };
      t.same(await send(four(outside), four(inB), nodePort), as(a.four), "a port of the host");
      t.same(await rules.drop(), []);
      t.same(await before(), found, "also afterwards");
      t.ok(found.length > 40);
    });

    // With nftables or without, those rules are the same ones.
    if (tool.iptables === "iptables-nft") continue;
    await t.test(`where FORWARD drops: ${tool.name}`, async (t) => {
      const run = async (words: string) => await inside(a, [tool.iptables, ...words.split(" ")]);
      const lost = { isLost: true };
      t.teardown(async () => {
        for (const words of ["-P FORWARD ACCEPT", "-F", "-X"]) await run(words);
      });
      await run("-P FORWARD DROP");
      t.equal(await send(four(inB), four(inA), lost), undefined, "nothing comes through");
      const rules = new Rules(t, hosts, tool);
      t.same(await rules.put(), []);
      t.same(await send(four(inB), four(inA)), as(inB.four), "now it does");
      t.same(await send(four(inA), four(outside)), as(a.four), "and what goes out");

      // Docker 28: its chains drop by themselves, and DOCKER-USER comes before them.
      for (const words of ["-N DOCKER-USER", "-N DOCKER", "-A DOCKER-USER -j RETURN"]) {
        await run(words);
      }
      await run("-I FORWARD -o docker0 -j DOCKER");
      await run("-I FORWARD -j DOCKER-USER");
      await run("-A DOCKER ! -i docker0 -o docker0 -j DROP");
      t.equal(await send(four(inB), four(inA), lost), undefined, "Docker came later");
      t.same(await rules.put(), []);
      t.same(await send(four(inB), four(inA)), as(inB.four), "through DOCKER-USER");
      t.match(await run("-S DOCKER-USER"), /denim 10\.244\.0\.0\/16.*\n-A DOCKER-USER -j RETURN/);
      t.notOk(/denim/.test(await run("-S FORWARD")), "and no longer through FORWARD");
      await run(`-I DOCKER-USER -s ${inB.four} -j DROP`);
      t.equal(await send(four(inB), four(inA), lost), undefined, "who forbids it there, may");
      t.same(await rules.put(), []);
      t.equal(await send(four(inB), four(inA), lost), undefined, "and still does");

      const run6 = async (words: string) =>
        await inside(a, [tool.iptables.replace("ip", "ip6"), ...words.split(" ")]);
      t.teardown(() => run6("-P FORWARD ACCEPT"));
      await run6("-P FORWARD DROP");
      t.equal(await send(six(inB), six(inA), lost), undefined, "nothing of IPv6");
      t.same(await rules.put(), []);
      t.same(await send(six(inB), six(inA)), as(inB.six), "now it does");

      await run("-P FORWARD ACCEPT");
      await run(`-D DOCKER-USER -s ${inB.four} -j DROP`);
      t.same(await rules.put(), []);
      t.same(await send(four(inB), four(inA)), as(inB.four), "Docker drops without that policy");
      await run("-F DOCKER");
      t.same(await rules.put(), []);
      t.notOk(/denim/i.test(await run("-S")), "nothing is left where nobody drops");
    });
  }
});
