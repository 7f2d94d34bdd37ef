import { existsSync } from "node:fs";
import t, { type Test } from "tap";
import { formatAddress } from "../../src/ip/address.ts";
import { formatPrefix } from "../../src/ip/prefix.ts";
import { LinuxKernel } from "../../src/kernel/linux-kernel.ts";
import { formatChange } from "../../src/plan/text.ts";
import type { KernelState, Route } from "../../src/plan/kernel.ts";
import { kernelContract, type Machine } from "../contract/kernel.ts";
import { cannotUnshare, inNamespace, ip } from "../support/namespace.ts";
import { route } from "../support/routes.ts";

const ipv6 = existsSync("/proc/sys/net/ipv6");

async function machine(t: Test): Promise<Machine> {
  inNamespace(t);
  for (const [name, address] of [["eth0", "10.0.0.1/24"], ["eth1", "10.1.0.1/24"]]) {
    ip(`link add ${name} type veth peer name ${name}p`);
    // Link-local addresses would come, and be told of, at a time of their own.
    if (ipv6) { for (const end of [name, `${name}p`]) ip(`link set ${end} addrgenmode none`); }
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
