import { spawnSync } from "node:child_process";
import t, { type Test } from "tap";
import { DenimError } from "../../src/base/errors.ts";
import type { Family } from "../../src/ip/address.ts";
import { Iptables } from "../../src/kernel/iptables.ts";
import { openLibnftables } from "../../src/kernel/libnftables.ts";
import {
  LinuxPacketFilter,
  type PacketFilterOptions,
} from "../../src/kernel/linux-packet-filter.ts";
import type { Table } from "../../src/plan/iptables.ts";
import { type Machine, outcome, packetFilterContract, RULES } from "../contract/packet-filter.ts";
import { cannotFilter, inNamespace } from "../support/namespace.ts";
import { readGolden, SIX } from "../plan/golden.ts";

const skip = cannotFilter;
const NONE = { nftables: () => Promise.resolve(undefined) };

/** Runs a program of the host with words that are separated by one blank. */
function run(words: string, input = ""): string {
  const [program, ...rest] = words.split(" ") as [string, ...string[]];
  const result = spawnSync(program, rest, { encoding: "utf8", input });
  if (result.status === 0) return result.stdout;
  throw new Error(`${words}: ${result.error?.message ?? result.stderr}`);
}

function machine(t: Test, options: PacketFilterOptions): Promise<Machine> {
  inNamespace(t);
  const filter = new LinuxPacketFilter(options);
  t.teardown(() => filter[Symbol.asyncDispose]());
  return Promise.resolve({
    filter,
    setPolicy: (policy) => void run(`iptables -P FORWARD ${policy}`),
    flush: () => void run("nft flush ruleset"),
  });
}

packetFilterContract(t, (t) => machine(t, {}), { skip });
packetFilterContract(t, (t) => machine(t, NONE), { skip });

t.test("both interfaces of iptables are cared for where both drop", { skip }, async (t) => {
  const { filter } = await machine(t, {});
  run("iptables-nft -P FORWARD DROP");
  run("iptables-legacy -P FORWARD DROP");
  const stands = ["masquerade changed", "forward changed", "forward changed"];
  t.same(await outcome(filter, [RULES]), stands);
  for (const kind of ["nft", "legacy"]) {
    t.match(run(`iptables-${kind} -S FORWARD`), /denim 10\.244\.0\.0\/16/, kind);
  }
  t.same(await filter.remove(await filter.list()), []);
  for (const kind of ["nft", "legacy"]) {
    t.equal(run(`iptables-${kind} -S`).includes("DENIM"), false, kind);
  }
});

t.test("tables of the older interface are not made by looking", { skip }, async (t) => {
  const { filter } = await machine(t, {});
  await outcome(filter, [RULES, SIX]);
  await filter.list();
  t.equal(run("cat /proc/self/net/ip_tables_names /proc/self/net/ip6_tables_names"), "");
});

t.test("what iptables prints is the golden file, so nothing is replaced", { skip }, async (t) => {
  const { filter } = await machine(t, NONE);
  run("ip6tables -P FORWARD DROP");
  t.same(await outcome(filter, [SIX]), ["masquerade changed", "forward changed"]);
  const own = (text: string) => text.split("\n").filter((line) => /^-A .*DENIM/.test(line)).sort();
  t.same(own(run("ip6tables-save")), own(readGolden("ipv6.iptables")));
  // Another process has no memory of how they are printed.
  const other = new LinuxPacketFilter(NONE);
  t.same(await outcome(other, [SIX]), ["masquerade stands", "forward stands"]);
});

t.test("a chain from before libnftables came is given up for the table", { skip }, async (t) => {
  const { filter } = await machine(t, NONE);
  t.same(await outcome(filter, [RULES]), ["masquerade changed"]);
  const now = new LinuxPacketFilter();
  t.teardown(() => now[Symbol.asyncDispose]());
  t.same(await outcome(now, [RULES]), ["masquerade changed", "masquerade changed"]);
  t.same((await now.list()).map(({ tool }) => tool), ["nftables"]);
  t.same(await outcome(now, [RULES]), ["masquerade stands"]);
});

t.test("somebody's change of our rules is undone", { skip }, async (t) => {
  const { filter } = await machine(t, {});
  await outcome(filter, [RULES]);
  run("nft add rule ip denim-10.244.0.0-16 postrouting drop");
  t.same(await outcome(filter, [RULES]), ["masquerade changed"]);
  t.equal(run("nft list table ip denim-10.244.0.0-16").includes("drop"), false);
});

t.test("what somebody undoes as it is made is not taken for what was made", { skip }, async (t) => {
  let isFirst = true;
  const nftables = async () => {
    const library = (await openLibnftables())!;
    return {
      run(commands: string): string {
        const out = library.run(commands);
        if (commands.startsWith("add") && isFirst) {
          isFirst = false;
          run("nft flush chain ip denim-10.244.0.0-16 postrouting");
        }
        return out;
      },
      close: () => library.close(),
    };
  };
  const { filter } = await machine(t, { nftables });
  t.same(await outcome(filter, [RULES]), ["masquerade changed"]);
  t.same(await outcome(filter, [RULES]), ["masquerade changed"], "as it was emptied");
  t.same(await outcome(filter, [RULES]), ["masquerade stands"]);
});

t.test("nor is a chain whose jump somebody takes away as it is made", { skip }, async (t) => {
  let isFirst = true;
  const iptables = async (family: Family) =>
    (await Iptables.find(family)).slice(0, 1).map((program) =>
      Object.assign(Object.create(program) as Iptables, {
        name: program.name,
        save: (table: Table) => program.save(table),
        async restore(script: string): Promise<void> {
          await program.restore(script);
          if (isFirst && family === 4) run("iptables -D FORWARD 1");
          isFirst = false;
        },
      })
    );
  const { filter } = await machine(t, { iptables });
  run("iptables -P FORWARD DROP");
  t.match((await outcome(filter, [RULES])).join(), /forward changed/);
  t.match((await outcome(filter, [RULES])).join(), /forward changed/);
  t.match((await outcome(filter, [RULES])).join(), /forward stands/);
  t.match(run("iptables -S FORWARD"), /-j DENIM-FWD/);
});

t.test("others' rules, chains and tables stay", { skip }, async (t) => {
  const { filter } = await machine(t, {});
  run("nft -f -", "table ip denim-of-cotton { chain x { counter accept; }; }");
  run("iptables -N DENIM-FWD-mine");
  run("iptables -A DENIM-FWD-mine -j ACCEPT");
  run("iptables -A FORWARD -j DENIM-FWD-mine");
  run("iptables -P FORWARD DROP");
  const before = run("nft list ruleset");
  await outcome(filter, [RULES]);
  t.not(run("nft list ruleset"), before);
  t.same(await filter.remove(await filter.list()), []);
  t.equal(run("nft list ruleset"), before);
});

t.test("a jump of somebody else to our chain is told of, not taken away", { skip }, async (t) => {
  const { filter } = await machine(t, {});
  run("iptables -P FORWARD DROP");
  await outcome(filter, [RULES]);
  run("iptables -A INPUT -j DENIM-FWD-10.244.0.0-16");
  const [failure] = await filter.remove(await filter.list());
  t.match(failure!, /^iptables DENIM-FWD-10\.244\.0\.0-16: .*(busy|in use|[Tt]oo many)/);
  t.match(run("iptables -S INPUT"), /-j DENIM-FWD/);
});

t.test("a failure is told in the tool's own words, and is on its own", { skip }, async (t) => {
  const words = "Could not process rule: Operation not supported";
  const nftables = () =>
    Promise.resolve({
      run(commands: string): string {
        if (!commands.startsWith("add")) return "";
        throw new DenimError("KERNEL_REJECTED", "nftables refuses the rules", { why: words });
      },
      close() {},
    });
  const { filter } = await machine(t, { nftables });
  run("iptables -P FORWARD DROP");
  t.same(await outcome(filter, [RULES]), [`masquerade ${words}`, "forward changed"]);
});

t.test("a kernel without nftables has iptables still", { skip }, async (t) => {
  let closed = 0;
  const nftables = () =>
    Promise.resolve({
      run(): string {
        throw new DenimError("KERNEL_REJECTED", "nftables refuses the rules");
      },
      close: () => void closed++,
    });
  const { filter } = await machine(t, { nftables });
  t.equal(await filter.masqueradesBy(), "iptables");
  t.same(await outcome(filter, [RULES]), ["masquerade changed"]);
  t.equal(closed, 1);
});

t.test("a host with neither says so", async (t) => {
  const filter = new LinuxPacketFilter({ ...NONE, iptables: () => Promise.resolve([]) });
  t.equal(await filter.masqueradesBy(), undefined);
  const none = "masquerade this host has neither libnftables nor iptables";
  t.same(await outcome(filter, [RULES]), [none]);
  t.same(await filter.list(), []);
});

t.test("libnftables tells what is wrong with a text", { skip }, async (t) => {
  inNamespace(t);
  const library = (await openLibnftables())!;
  t.teardown(() => library.close());
  t.throws(() => library.run("add table"), { code: "KERNEL_REJECTED", why: /^syntax error/ });
  t.equal(library.run("list tables"), "", "the complaint is not said twice");
});

t.test("programs of iptables: one for each interface, the host's own first", async (t) => {
  const names = (await Iptables.find(4)).map(({ name }) => name);
  t.ok(names.length <= 2);
  t.equal(names[0] ?? "iptables", "iptables");
});
