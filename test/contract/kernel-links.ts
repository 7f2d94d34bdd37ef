/** What every driver of the Kernel port must do with links. */
import type { Test } from "tap";
import { parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import type { Change, Kernel, KernelLink } from "../../src/plan/kernel.ts";
import { asLink, networkOf } from "../../src/plan/mark.ts";
import { formatWanted } from "../../src/plan/text.ts";
import type { Link, Wanted } from "../../src/plan/wanted.ts";
import { vxlan } from "../support/links.ts";
import { route } from "../support/routes.ts";
import { type Machine, watched } from "./kernel.ts";

const add = (item: Wanted): Change => ({ kind: "add", item });
const remove = (item: Wanted): Change => ({ kind: "remove", item });
const replace = (old: Link, item: Link): Change => ({ kind: "replace", old, item });

const OURS = vxlan();
const MARK = { group: 68, alias: "denim:10.42.0.0/16" };

export function linksContract(
  t: Test,
  open: (t: Test) => Promise<Machine>,
  { skip, ipv6 }: { skip: string | false; ipv6: boolean },
): void {
  const wantsIpv6 = { skip: skip || (ipv6 ? false as const : "no IPv6 here") };

  t.test("a link is made with its whole mark, and is up", { skip }, async (t) => {
    const { kernel } = await open(t);
    t.equal(await failure(kernel, add(OURS)), undefined);
    const found = await linkOf(kernel, "denim.1");
    t.same([found?.up, found?.mtu, found?.detail?.group, found?.detail?.alias], [
      ...[true, 1450, MARK.group, MARK.alias],
    ]);
    t.equal(textOf(found), formatWanted(OURS));
  });

  t.test("every setting of a tunnel is kept", { skip }, async (t) => {
    const { kernel } = await open(t);
    const other = vxlan({
      ...{ name: "denim-b", vni: 0xfffffe, port: 4789, learning: true, gbp: true },
      ...{ mac: "02:ab:cd:ef:00:09", mtu: 1400, network: parsePrefix("10.43.0.0/16") },
      ...{ underlay: "eth1", local: parseAddress("10.1.0.1") },
    });
    t.equal(await failure(kernel, add(other)), undefined);
    t.equal(textOf(await linkOf(kernel, "denim-b")), formatWanted(other));
  });

  t.test("a tunnel over IPv6 is one as well", wantsIpv6, async (t) => {
    const { kernel } = await open(t);
    const other = vxlan({ local: parseAddress("fd00::1"), mtu: 1430 });
    t.equal(await failure(kernel, add(other)), undefined);
    t.equal(textOf(await linkOf(kernel, "denim.1")), formatWanted(other));
  });

  t.test("a route goes by a link that is made in the same breath", { skip }, async (t) => {
    const { kernel } = await open(t);
    const by = route("10.42.2.0/24", undefined, "denim.1");
    const outcomes = await kernel.apply([add(OURS), add(by)]);
    t.same(outcomes.map(({ error }) => error), [undefined, undefined]);
    const { routes } = await kernel.read();
    t.equal(
      routes.filter(({ device, protocol }) => device === "denim.1" && protocol === 68).length,
      1,
    );
  });

  t.test("one of that name is not overwritten, and gets no mark", { skip }, async (t) => {
    const { kernel, putLink } = await open(t);
    putLink("denim.1", {});
    t.equal(await failure(kernel, add(OURS)), "EEXIST: File exists");
    const found = await linkOf(kernel, "denim.1");
    t.same([found?.detail?.group, found?.detail?.alias, found?.up], [0, "", false]);
  });

  t.test("no two links are the same tunnel, and the kernel says so", { skip }, async (t) => {
    const { kernel } = await open(t);
    await kernel.apply([add(OURS)]);
    const other = vxlan({ name: "denim-b" });
    const words = "EEXIST: A VXLAN device with the specified VNI already exists";
    t.equal(await failure(kernel, add(other)), words);
    t.equal(await linkOf(kernel, "denim-b"), undefined);
  });

  t.test("a tunnel over IPv4 and one over IPv6 may have the same VNI", wantsIpv6, async (t) => {
    const { kernel } = await open(t);
    const other = vxlan({ name: "denim6.1", local: parseAddress("fd00::1"), mtu: 1430 });
    const outcomes = await kernel.apply([add(OURS), add(other)]);
    t.same(outcomes.map(({ error }) => error), [undefined, undefined]);
    t.equal(textOf(await linkOf(kernel, "denim6.1")), formatWanted(other));
  });

  t.test("a tunnel wants a link to go by", { skip }, async (t) => {
    const { kernel } = await open(t);
    const other = vxlan({ underlay: "eth9" });
    t.equal(await failure(kernel, add(other)), 'ENODEV: No such device ("eth9")');
    await kernel.apply([add(OURS)]);
    t.equal(await failure(kernel, replace(OURS, other)), 'ENODEV: No such device ("eth9")');
    t.ok(await linkOf(kernel, "denim.1"), "what stands is better than nothing");
  });

  t.test("MAC, MTU, network and state change under a link that stands", { skip }, async (t) => {
    const { kernel, setLink } = await open(t);
    await kernel.apply([add(OURS)]);
    const before = (await linkOf(kernel, "denim.1"))!;
    setLink("denim.1", "down");
    const network = parsePrefix("10.42.0.0/15");
    const item = vxlan({ mac: "02:00:00:00:00:77", mtu: 1300, network });
    t.equal(await failure(kernel, replace(OURS, item)), undefined);
    const after = (await linkOf(kernel, "denim.1"))!;
    t.same([after.index, after.up, after.mtu], [before.index, true, 1300]);
    t.same([after.detail?.mac, networkOf(after)], ["02:00:00:00:00:77", network]);
  });

  t.test("another tunnel is another link", { skip }, async (t) => {
    const { kernel } = await open(t);
    await kernel.apply([add(OURS)]);
    const before = (await linkOf(kernel, "denim.1"))!;
    const item = vxlan({ vni: 2 });
    t.equal(await failure(kernel, replace(OURS, item)), undefined);
    const after = (await linkOf(kernel, "denim.1"))!;
    t.equal(textOf(after), formatWanted(item));
    t.not(after.index, before.index);
  });

  t.test("a link that lacks any part of the mark is left alone", { skip }, async (t) => {
    const { kernel, putLink, dropLink } = await open(t);
    const strangers: [string, { group?: number; alias?: string }][] = [
      ["denim.1", {}],
      ["denim.1", { group: 68, alias: "mine" }],
      ["denim.1", { group: 7, alias: MARK.alias }],
      ["denim.1", { group: 68, alias: "denim:10.99.0.0/16" }],
    ];
    for (const [name, mark] of strangers) {
      putLink(name, mark);
      const before = await linkOf(kernel, name);
      const words = "denim.1 does not carry the mark of 10.42.0.0/16";
      t.equal(await failure(kernel, remove(OURS)), words, JSON.stringify(mark));
      t.equal(await failure(kernel, replace(OURS, vxlan({ mtu: 1300 }))), words);
      t.equal(await failure(kernel, replace(OURS, vxlan({ vni: 5 }))), words);
      t.same(await linkOf(kernel, name), before);
      dropLink(name);
    }
  });

  t.test("one that was begun and not marked is finished", { skip }, async (t) => {
    const { kernel, putLink } = await open(t);
    putLink("denim.1", { group: 68 });
    const begun = asLink((await linkOf(kernel, "denim.1"))!, OURS.network);
    t.equal(await failure(kernel, replace(begun, OURS)), undefined);
    const found = await linkOf(kernel, "denim.1");
    t.same([textOf(found), found?.up], [formatWanted(OURS), true]);
  });

  t.test("a removal takes the link, and what went by it", { skip }, async (t) => {
    const { kernel } = await open(t);
    await kernel.apply([add(OURS), add(route("10.42.2.0/24", undefined, "denim.1"))]);
    t.equal(await failure(kernel, remove(OURS)), undefined);
    const { links, routes } = await kernel.read();
    t.notOk(links.some(({ name }) => name === "denim.1"));
    t.notOk(routes.some(({ device }) => device === "denim.1"));
    t.equal(await failure(kernel, remove(OURS)), 'ENODEV: No such device ("denim.1")');
  });

  t.test("a link of ours that somebody changes or takes is told of", { skip }, async (t) => {
    const { kernel, changeLink, dropLink } = await open(t);
    await kernel.apply([add(OURS)]);
    const seen = watched(kernel);
    await seen.quiet();
    const before = seen.count();
    changeLink("denim.1", { mtu: 1300, mac: "02:00:00:00:00:88" });
    await seen.next(before + 1);
    const found = await linkOf(kernel, "denim.1");
    t.same([found?.mtu, found?.detail?.mac], [1300, "02:00:00:00:00:88"]);
    await seen.quiet();
    const then = seen.count();
    dropLink("denim.1");
    await seen.next(then + 1);
    seen.stop();
    t.equal(await linkOf(kernel, "denim.1"), undefined);
  });
}

async function failure(kernel: Kernel, change: Change): Promise<string | undefined> {
  return (await kernel.apply([change]))[0]?.error;
}

async function linkOf(kernel: Kernel, name: string): Promise<KernelLink | undefined> {
  return (await kernel.read()).links.find((link) => link.name === name);
}

function textOf(link: KernelLink | undefined): string | undefined {
  return link && formatWanted(asLink(link, OURS.network));
}
