import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import t, { type Test } from "tap";
import { formatAddress } from "../../src/ip/address.ts";
import { formatPrefix } from "../../src/ip/prefix.ts";
import { LinuxKernel } from "../../src/kernel/linux-kernel.ts";
import { formatChange } from "../../src/plan/text.ts";
import type { KernelState } from "../../src/plan/kernel.ts";
import type { ForwardingEntry, Route } from "../../src/plan/wanted.ts";
import { kernelContract, type Machine, watched } from "../contract/kernel.ts";
import { cannotUnshare, inNamespace, ip } from "../support/namespace.ts";
import { forwarding, neighbour, vxlan } from "../support/links.ts";
import { route } from "../support/routes.ts";

function type(line: string): void {
  const [command, ...words] = line.split(" ");
  const { status, stderr } = spawnSync(command!, words, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${line}: ${stderr}`);
}

const ipv6 = existsSync("/proc/sys/net/ipv6");

async function machine(t: Test): Promise<Machine> {
  inNamespace(t);
  // Link-local addresses would come, and be told of, at a time of their own.
  if (ipv6) writeFileSync("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1");
  for (const [name, address] of [["eth0", "10.0.0.1/24"], ["eth1", "10.1.0.1/24"]]) {
    ip(`link add ${name} type veth peer name ${name}p`);
    ip(`address add ${address} dev ${name}`);
    ip(`link set ${name}p up`);
    ip(`link set ${name} up`);
  }
  if (ipv6) ip("address add fd00::1/64 dev eth0 nodad");
  const kernel = await LinuxKernel.open();
  t.teardown(() => kernel[Symbol.asyncDispose]());
  return {
    kernel,
    putRoute(route, protocol) {
      const [line] = formatChange({ kind: "add", item: route });
      ip(line!.replace(/^ip /, "").replace(/proto 68$/, `proto ${protocol}`));
    },
    dropRoute: (destination) => void ip(`route del ${destination}`),
    setLink: (name, state) => void ip(`link set ${name} ${state}`),
    putLink(name, { group = 0, alias }) {
      ip(
        `link add ${name} group ${group} type vxlan id 99 dstport 9999 local 10.0.0.1 dev eth0`,
      );
      if (alias !== undefined) ip(`link set ${name} alias ${alias}`);
    },
    changeLink(name, { mtu, mac }) {
      if (mtu !== undefined) ip(`link set ${name} mtu ${mtu}`);
      if (mac !== undefined) ip(`link set ${name} address ${mac}`);
    },
    dropLink: (name) => void ip(`link del ${name}`),
    put: (item) => type(formatChange({ kind: "add", item })[0]!),
    drop: (item) => type(formatChange({ kind: "remove", item })[0]!),
  };
}

kernelContract(t, machine, { skip: cannotUnshare, ipv6 });

t.test("a namespace without a route can be read", { skip: cannotUnshare }, async (t) => {
  inNamespace(t);
  await using kernel = await LinuxKernel.open();
  const state = await kernel.read();
  t.same(state.links.map((link) => [link.name, link.up]), [["lo", false]]);
  t.same([state.addresses, state.routes], [[], []]);
});

t.test("routes of every shape are read, and only the main table's", {
  skip: cannotUnshare,
}, async (t) => {
  const { kernel } = await machine(t);
  ip("route add blackhole 10.60.0.0/16");
  ip(
    "route add 10.61.0.0/16 metric 100 nexthop via 10.0.0.2 dev eth0 nexthop via 10.1.0.2 dev eth1",
  );
  ip("route add 10.62.0.0/16 via 10.0.0.2 table 99");
  ip("route add 10.63.0.0/16 via 10.0.0.2 proto 68 metric 7");
  ip("route add default via 10.0.0.254");
  if (ipv6) ip("route add 10.64.0.0/16 via inet6 fd00::7 dev eth0");
  const found = (await kernel.read()).routes
    .filter((route) => route.destination.family === 4)
    .map(({ destination, via, device, metric, plain }) => [
      formatPrefix(destination),
      via === undefined ? "" : formatAddress(via),
      device,
      metric,
      plain,
    ]);
  const wanted = [
    ["0.0.0.0/0", "10.0.0.254", "eth0", 0, true],
    ["10.0.0.0/24", "", "eth0", 0, true],
    ["10.1.0.0/24", "", "eth1", 0, true],
    ["10.60.0.0/16", "", "", 0, false],
    ["10.61.0.0/16", "10.0.0.2", "eth0", 100, false],
    ["10.63.0.0/16", "10.0.0.2", "eth0", 7, true],
    ...(ipv6 ? [["10.64.0.0/16", "fd00::7", "eth0", 0, true]] : []),
  ];
  t.same(found, wanted);
});

t.test("a removal can name the metric of a stray route of ours", {
  skip: cannotUnshare,
}, async (t) => {
  const { kernel } = await machine(t);
  const stray: Route = { ...route("10.42.2.0/24", "10.0.0.2"), metric: 7 };
  await kernel.apply([
    { kind: "add", item: route("10.42.2.0/24", "10.0.0.2") },
    { kind: "add", item: stray },
  ]);
  t.same((await kernel.apply([{ kind: "remove", item: stray }]))[0]?.error, undefined);
  t.same(
    (await kernel.read()).routes.filter((found) => found.protocol === 68).map((r) => r.metric),
    [0],
  );
});

t.test("addresses say whether they last", { skip: cannotUnshare }, async (t) => {
  const { kernel } = await machine(t);
  ip("address add 10.0.0.50/24 dev eth0 valid_lft 500 preferred_lft 0");
  ip("address add 10.9.0.1 peer 10.9.0.2/32 dev eth1");
  const of = (state: KernelState, text: string) =>
    state.addresses.find(({ address }) => formatAddress(address) === text);
  const state = await kernel.read();
  t.same(of(state, "10.0.0.50")?.flags, {
    deprecated: true,
    temporary: false,
    permanent: false,
    tentative: false,
  });
  t.ok(of(state, "10.9.0.1"));
  t.notOk(of(state, "10.9.0.2"));
});

t.test("more MTU than the underlay allows is said, and the link is there with less", {
  skip: cannotUnshare,
}, async (t) => {
  const { kernel } = await machine(t);
  for (const kind of ["made", "changed"]) {
    const item = vxlan({ mtu: kind === "made" ? 1480 : 1490 });
    const change = kind === "made"
      ? { kind: "add" as const, item }
      : { kind: "replace" as const, old: vxlan(), item };
    const [outcome] = await kernel.apply([change]);
    t.match(outcome?.error ?? "", /^EINVAL: .*MTU 14[89]0 over eth0; it is 1450/, kind);
    const link = (await kernel.read()).links.find(({ name }) => name === "denim.1");
    t.same([link?.up, link?.mtu, link?.detail?.alias], [true, 1450, "denim:10.42.0.0/16"], kind);
  }
});

t.test("what the kernel refuses of a link again and again wakes nobody", {
  skip: cannotUnshare,
}, async (t) => {
  const { kernel } = await machine(t);
  await kernel.apply([{ kind: "add", item: vxlan() }]);
  const seen = watched(kernel);
  const before = await seen.quiet();
  const change = { kind: "replace" as const, old: vxlan(), item: vxlan({ mtu: 1490 }) };
  const errors = (await kernel.apply([change])).map(({ error }) => error);
  t.match(errors[0] ?? "", /^EINVAL: /);
  t.equal(await seen.quiet(), before);
  seen.stop();
});

t.test("forwarding entries of its own wake nobody, and a stranger's hand on them does", {
  skip: cannotUnshare,
}, async (t) => {
  const { kernel, put, drop } = await machine(t);
  await kernel.apply([{ kind: "add", item: vxlan() }]);
  await kernel.read();
  const seen = watched(kernel);
  const before = await seen.quiet();
  const entries = Array.from(
    { length: 100 },
    (_, i) => forwarding(`02:00:00:00:01:${(i + 16).toString(16)}`, "10.0.0.2"),
  );
  const [first, second, third] = entries as [ForwardingEntry, ForwardingEntry, ForwardingEntry];
  const moved = forwarding(first.mac, "10.0.0.3");
  await kernel.apply(entries.map((item) => ({ kind: "add", item })));
  t.equal(await seen.quiet(), before);
  await kernel.apply([
    { kind: "replace", item: moved, old: first },
    { kind: "remove", item: second },
  ]);
  t.equal(await seen.quiet(), before);
  for (const harm of [() => drop(moved), () => put(first), () => put(second), () => drop(third)]) {
    const then = seen.count();
    harm();
    await seen.next(then + 1);
    await seen.quiet();
  }
  t.equal((await kernel.read()).forwarding.length, 99);
  seen.stop();
});

t.test("what a bridge knows of a tunnel that somebody made a port of it is the bridge's", {
  skip: cannotUnshare,
}, async (t) => {
  const { kernel } = await machine(t);
  await kernel.apply([{ kind: "add", item: vxlan() }]);
  ip("link add br0 type bridge");
  ip("link set denim.1 master br0");
  t.same((await kernel.read()).forwarding, []);
});

t.test("others' neighbours come and go without waking anybody", {
  skip: cannotUnshare,
}, async (t) => {
  const { kernel, put, drop } = await machine(t);
  await kernel.apply([{ kind: "add", item: vxlan() }]);
  const seen = watched(kernel);
  // That a new link has a carrier is told once a second (`net/core/link_watch.c`).
  const before = await seen.quiet(1_500);
  for (let i = 2; i < 100; i++) ip(`neigh add 10.0.0.${i} lladdr 02:00:00:00:01:01 dev eth0`);
  t.equal(await seen.quiet(), before);
  const ours = neighbour("10.42.9.0", "02:00:00:00:00:09");
  put(ours);
  await seen.next(before + 1);
  const then = await seen.quiet();
  drop(ours);
  await seen.next(then + 1);
  seen.stop();
});
