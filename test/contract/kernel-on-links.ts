/** What every driver of the Kernel port must do with what is on links: addresses and entries. */
import type { Test } from "tap";
import { formatAddress, parseAddress } from "../../src/ip/address.ts";
import type { Change, Kernel } from "../../src/plan/kernel.ts";
import { formatWanted } from "../../src/plan/text.ts";
import type { OnLink, Wanted } from "../../src/plan/wanted.ts";
import { forwarding, linkAddress, neighbour, vxlan } from "../support/links.ts";
import { route } from "../support/routes.ts";
import { type Machine, watched } from "./kernel.ts";

const add = (item: Wanted): Change => ({ kind: "add", item });
const remove = (item: Wanted): Change => ({ kind: "remove", item });
const replace = (old: Wanted, item: Wanted): Change => ({ kind: "replace", old, item });

const OURS = vxlan();
const MAC = "02:00:00:00:00:02";
const ADDRESS = linkAddress("10.42.1.0/32");
const NEIGHBOUR = neighbour("10.42.2.0", MAC);
const ENTRY = forwarding(MAC, "10.0.0.2");
const ROUTE = { ...route("10.42.2.0/24", "10.42.2.0", "denim.1"), onlink: true };
const ALL: readonly OnLink[] = [ADDRESS, NEIGHBOUR, ENTRY];
/** The last address of a family takes the neighbours along. */
const BACKWARDS = ALL.toReversed();

export function onLinksContract(
  t: Test,
  open: (t: Test) => Promise<Machine>,
  { skip, ipv6 }: { skip: string | false; ipv6: boolean },
): void {
  const wantsIpv6 = { skip: skip || (ipv6 ? false as const : "no IPv6 here") };

  t.test("a whole tunnel is made in one go, and taken away", { skip }, async (t) => {
    const { kernel } = await open(t);
    t.same(await failures(kernel, [OURS, ...ALL, ROUTE].map(add)), []);
    t.same(await onLinks(kernel), ALL.map(formatWanted));
    const { routes } = await kernel.read();
    t.equal(routes.filter(({ protocol }) => protocol === 68).length, 1);
    t.same(await failures(kernel, [ROUTE, ...BACKWARDS, OURS].map(remove)), []);
    t.same(await onLinks(kernel), []);
  });

  t.test("one is not made twice, and what is not there is not taken away", { skip }, async (t) => {
    const { kernel } = await open(t);
    await kernel.apply([OURS, ...ALL].map(add));
    for (const item of ALL) {
      t.match((await failures(kernel, [add(item)]))[0] ?? "", /^EEXIST: /, item.kind);
    }
    t.same(await failures(kernel, BACKWARDS.map(remove)), []);
    const [address, ...entries] = await failures(kernel, ALL.map(remove));
    t.match(address ?? "", /^EADDRNOTAVAIL: /);
    t.same(entries, Array(2).fill("ENOENT: No such file or directory"));
  });

  t.test("each can take the place of another", { skip }, async (t) => {
    const { kernel } = await open(t);
    await kernel.apply([OURS, ...ALL].map(add));
    const others = [
      linkAddress("10.42.1.0/31"),
      neighbour("10.42.2.0", "02:00:00:00:00:22"),
      forwarding(MAC, "10.0.0.22"),
    ];
    const changes = ALL.map((old, i) => replace(old, others[i]!));
    t.same(await failures(kernel, changes), []);
    t.same(await onLinks(kernel), others.map(formatWanted));
    t.same(await failures(kernel, ALL.map(remove).slice(1)), []);
    t.same(await failures(kernel, changes.slice(1)), [], "also of one that is gone already");
    t.same(await onLinks(kernel), others.map(formatWanted));
  });

  t.test("an address that takes the place of the only one leaves all else", { skip }, async (t) => {
    const { kernel } = await open(t);
    await kernel.apply([OURS, ...ALL, ROUTE].map(add));
    const other = linkAddress("10.42.1.0/31");
    t.same(await failures(kernel, [replace(ADDRESS, other)]), []);
    t.same(await onLinks(kernel), [other, NEIGHBOUR, ENTRY].map(formatWanted));
    const { routes } = await kernel.read();
    t.equal(routes.filter(({ protocol }) => protocol === 68).length, 1);
  });

  t.test("IPv6 is no different", wantsIpv6, async (t) => {
    const { kernel } = await open(t);
    const items = [linkAddress("fd42:1::/128"), neighbour("fd42:2::", MAC)];
    t.same(await failures(kernel, [OURS, ...items].map(add)), []);
    t.same(await onLinks(kernel), items.map(formatWanted));
    const { addresses } = await kernel.read();
    const own = addresses.find(({ address }) => formatAddress(address) === "fd42:1::");
    t.equal(own?.flags.tentative, false, "at once");
    t.same(await failures(kernel, items.map(remove)), []);
    t.same(await onLinks(kernel), []);
  });

  t.test("forwarding goes to an end of the tunnel's own family", wantsIpv6, async (t) => {
    const { kernel } = await open(t);
    const link = vxlan({ local: parseAddress("fd00::1"), mtu: 1430 });
    const entry = forwarding(MAC, "fd00::2");
    t.same(await failures(kernel, [link, entry].map(add)), []);
    t.same(await onLinks(kernel), [formatWanted(entry)]);
  });

  t.test("nothing is put on a link that is not Denim's, or not there", { skip }, async (t) => {
    const { kernel, putLink } = await open(t);
    for (const item of ALL) {
      const missing = await failures(kernel, [add(item)]);
      t.same(missing, ['ENODEV: No such device ("denim.1")'], item.kind);
    }
    putLink("denim.1", { group: 68, alias: "mine" });
    for (const item of ALL) {
      const foreign = await failures(kernel, [add(item)]);
      t.same(foreign, ["denim.1 does not carry Denim's mark"], item.kind);
      t.same(await failures(kernel, [remove(item)]), foreign);
    }
  });

  t.test("what somebody else has on a link of its own is not even seen", { skip }, async (t) => {
    const { kernel, putLink, put } = await open(t);
    putLink("denim.1", { group: 68, alias: "mine" });
    put(ENTRY);
    const { neighbours, forwarding } = await kernel.read();
    t.same([neighbours, forwarding], [[], []]);
  });

  t.test("one that the kernel refuses stops no other", { skip }, async (t) => {
    const { kernel } = await open(t);
    await kernel.apply([add(OURS), add(ENTRY)]);
    const items = [ADDRESS, ENTRY, NEIGHBOUR];
    const outcomes = await kernel.apply(items.map(add));
    t.same(outcomes.map(({ error }) => error === undefined), [true, false, true]);
  });

  t.test("hundreds at once all arrive", { skip }, async (t) => {
    const { kernel } = await open(t);
    const macOf = (i: number) =>
      `02:00:00:00:${(i >> 8).toString(16).padStart(2, "0")}:` +
      (i & 255).toString(16).padStart(2, "0");
    const items = Array.from({ length: 300 }, (_, i) => [
      neighbour(`10.42.${i >> 8}.${i & 255}`, macOf(i + 1)),
      forwarding(macOf(i + 1), `10.0.${1 + (i >> 8)}.${i & 255}`),
    ]).flat();
    t.same(await failures(kernel, [OURS, ...items].map(add)), []);
    const state = await kernel.read();
    const entries = state.forwarding.filter(({ permanent }) => permanent);
    t.same([state.neighbours.filter(({ permanent }) => permanent).length, entries.length], [
      ...[300, 300],
    ]);
    t.ok(entries.every(({ plain }) => plain));
  });

  t.test("whatever somebody takes from a link of ours is told of", { skip }, async (t) => {
    const { kernel, drop } = await open(t);
    await kernel.apply([OURS, ...ALL].map(add));
    await kernel.read();
    const seen = watched(kernel);
    for (const item of BACKWARDS) {
      const before = await seen.quiet();
      drop(item);
      await seen.next(before + 1);
    }
    seen.stop();
    t.same(await onLinks(kernel), []);
  });

  t.test("what is put there is told of, too", { skip }, async (t) => {
    const { kernel, put } = await open(t);
    await kernel.apply([add(OURS)]);
    const seen = watched(kernel);
    for (const item of ALL) {
      const before = await seen.quiet();
      put(item);
      await seen.next(before + 1);
    }
    seen.stop();
    t.same(await onLinks(kernel), ALL.map(formatWanted));
  });
}

async function failures(kernel: Kernel, changes: readonly Change[]): Promise<string[]> {
  return (await kernel.apply(changes)).flatMap(({ error }) => error === undefined ? [] : [error]);
}

/** What lasts on links of ours; as text. */
async function onLinks(kernel: Kernel): Promise<string[]> {
  const { links, addresses, neighbours, forwarding } = await kernel.read();
  const own = links.filter(({ detail }) => detail !== undefined);
  const items: OnLink[] = [
    ...addresses.filter(({ scope }) => scope !== "link").flatMap(({ linkIndex, ...rest }) => {
      const device = own.find(({ index }) => index === linkIndex)?.name;
      return device === undefined ? [] : [{ kind: "address" as const, device, ...rest }];
    }),
    ...neighbours.filter(({ permanent }) => permanent)
      .map(({ mac = "", ...rest }) => ({ ...rest, mac })),
    ...forwarding.filter(({ permanent, remote }) => permanent && remote !== undefined)
      .map(({ remote, ...rest }) => ({ ...rest, remote: remote! })),
  ];
  return items.map(formatWanted);
}
