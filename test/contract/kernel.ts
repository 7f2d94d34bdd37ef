/** What every driver of the Kernel port must do. `kernel/*.test.ts` runs it for each. */
import type { Test } from "tap";
import { parseAddress } from "../../src/ip/address.ts";
import { formatPrefix } from "../../src/ip/prefix.ts";
import {
  type Change,
  type Kernel,
  type KernelRoute,
  ROUTE_PROTOCOL,
} from "../../src/plan/kernel.ts";
import type { OnLink, Route } from "../../src/plan/wanted.ts";
import { formatWanted } from "../../src/plan/text.ts";
import { route } from "../support/routes.ts";
import { sleep } from "../../src/base/clock.ts";
import { fastClock } from "../support/fast-clock.ts";
import { linksContract } from "./kernel-links.ts";
import { onLinksContract } from "./kernel-on-links.ts";

/** A machine with `eth0` (10.0.0.1/24, fd00::1/64) and `eth1` (10.1.0.1/24), both up. */
export interface Machine {
  readonly kernel: Kernel;
  /** Plays another program. */
  putRoute(route: Route, protocol: number): void;
  dropRoute(destination: string): void;
  setLink(name: string, state: "up" | "down"): void;
  /** A vxlan link, down, with as much of Denim's mark as is said. */
  putLink(name: string, mark: { group?: number; alias?: string }): void;
  changeLink(name: string, change: { mtu?: number; mac?: string }): void;
  dropLink(name: string): void;
  /** `ip address`, `ip neigh`, `bridge fdb`, as a person types it. */
  put(item: OnLink): void;
  drop(item: OnLink): void;
}

const add = (item: Route): Change => ({ kind: "add", item });
const remove = (item: Route): Change => ({ kind: "remove", item });

/** Static routes of an administrator (`linux/rtnetlink.h`, RTPROT_STATIC). */
const FOREIGN = 4;

/** Generous: a worker thread of the runtime's pool has to wake up. */
const EVENT_WAIT_MS = 60_000;

/** Long enough for an event that should not come. */
const QUIET_MS = 60;

/** While this process does not get the processor it hears nothing, which proves nothing. */
const ATTENTION = fastClock(1);

export function kernelContract(
  t: Test,
  open: (t: Test) => Promise<Machine>,
  options: { skip: string | false; ipv6: boolean },
): void {
  const { skip } = options;
  const wantsIpv6 = { skip: skip || (options.ipv6 ? false as const : "no IPv6 here") };

  t.test("links, addresses and the routes that follow from them are seen", { skip }, async (t) => {
    const { kernel } = await open(t);
    const state = await kernel.read();
    const eth0 = state.links.find((link) => link.name === "eth0");
    t.equal(eth0?.up, true);
    t.equal(eth0?.mtu, 1500);
    const own = state.addresses.find((address) => address.linkIndex === eth0?.index);
    t.equal(own?.address.value, parseAddress("10.0.0.1").value);
    t.same([own?.length, own?.scope, own?.flags.permanent], [24, "global", true]);
    t.same(await lines(kernel, 2, 4), ["10.0.0.0/24 dev eth0", "10.1.0.0/24 dev eth1"]);
  });

  t.test("an added route is there, and carries our protocol", { skip }, async (t) => {
    const { kernel } = await open(t);
    const link = route("10.42.3.0/24", undefined, "eth1");
    const outcomes = await kernel.apply([add(route("10.42.2.0/24", "10.0.0.2")), add(link)]);
    t.same(outcomes.map((outcome) => outcome.error), [undefined, undefined]);
    t.same(await lines(kernel), ["10.42.2.0/24 via 10.0.0.2 dev eth0", "10.42.3.0/24 dev eth1"]);
    const [found] = (await kernel.read()).routes.filter(ours);
    t.same([found?.metric, found?.onlink, found?.plain], [0, false, true]);
  });

  t.test("an add overwrites nobody, and the others go on", { skip }, async (t) => {
    const { kernel, putRoute } = await open(t);
    putRoute(route("10.42.2.0/24", "10.0.0.9"), FOREIGN);
    const outcomes = await kernel.apply([
      add(route("10.42.1.0/24", "10.0.0.2")),
      add(route("10.42.2.0/24", "10.0.0.2")),
      add(route("10.42.3.0/24", "10.0.0.2")),
    ]);
    t.same(outcomes.map((outcome) => outcome.error), [undefined, "EEXIST: File exists", undefined]);
    t.same(await lines(kernel, FOREIGN), ["10.42.2.0/24 via 10.0.0.9 dev eth0"]);
    t.same(await lines(kernel), [
      "10.42.1.0/24 via 10.0.0.2 dev eth0",
      "10.42.3.0/24 via 10.0.0.2 dev eth0",
    ]);
  });

  t.test("a removal takes ours and never another's", { skip }, async (t) => {
    const { kernel, putRoute } = await open(t);
    putRoute(route("10.42.2.0/24", "10.0.0.2"), FOREIGN);
    await kernel.apply([add(route("10.42.3.0/24", "10.0.0.2"))]);
    const outcomes = await kernel.apply([
      remove(route("10.42.2.0/24", "10.0.0.2")),
      remove(route("10.42.3.0/24", "10.0.0.2")),
    ]);
    t.same(outcomes.map((outcome) => outcome.error), ["ESRCH: No such process", undefined]);
    t.same(await lines(kernel, FOREIGN), ["10.42.2.0/24 via 10.0.0.2 dev eth0"]);
    t.same(await lines(kernel), []);
  });

  t.test("a replacement moves a route", { skip }, async (t) => {
    const { kernel } = await open(t);
    const old = route("10.42.2.0/24", "10.0.0.2");
    await kernel.apply([add(old)]);
    const item = route("10.42.2.0/24", "10.1.0.2", "eth1");
    const outcomes = await kernel.apply([{ kind: "replace", old, item }]);
    t.equal(outcomes[0]?.error, undefined);
    t.same(await lines(kernel), ["10.42.2.0/24 via 10.1.0.2 dev eth1"]);
  });

  t.test("a replacement succeeds when the old route is gone already", { skip }, async (t) => {
    const { kernel } = await open(t);
    const old = route("10.42.2.0/24", "10.0.0.2");
    const item = route("10.42.2.0/24", "10.0.0.3");
    t.same((await kernel.apply([{ kind: "replace", old, item }]))[0]?.error, undefined);
    t.same(await lines(kernel), ["10.42.2.0/24 via 10.0.0.3 dev eth0"]);
  });

  t.test("a route says that nobody is there, and is one again", { skip }, async (t) => {
    const { kernel } = await open(t);
    const old = route("10.42.2.0/24", "10.0.0.2");
    const item: Route = { ...route("10.42.2.0/24", undefined, ""), unreachable: true };
    await kernel.apply([add(old)]);
    const there = await kernel.apply([{ kind: "replace", old, item }]);
    t.equal(there[0]?.error, undefined);
    t.same(await lines(kernel), ["unreachable 10.42.2.0/24"]);
    const [found] = (await kernel.read()).routes.filter(ours);
    t.same([found?.device, found?.unreachable, found?.plain], ["", true, true]);
    const back = await kernel.apply([{ kind: "replace", old: item, item: old }]);
    t.equal(back[0]?.error, undefined);
    t.same(await lines(kernel), ["10.42.2.0/24 via 10.0.0.2 dev eth0"]);
  });

  t.test("so does one of IPv6", wantsIpv6, async (t) => {
    const { kernel } = await open(t);
    const item: Route = { ...route("fd42:2::/64", undefined, ""), unreachable: true };
    t.equal((await kernel.apply([add(item)]))[0]?.error, undefined);
    const found = (await kernel.read()).routes.find((route) => ours(route) && route.unreachable);
    t.same([found?.device, found?.metric, found?.plain], ["", 1024, true]);
    t.equal((await kernel.apply([remove(item)]))[0]?.error, undefined);
    t.same(await lines(kernel, ROUTE_PROTOCOL, 6), []);
  });

  t.test("the kernel says in its own words why not", { skip }, async (t) => {
    const { kernel } = await open(t);
    const [gateway, device] = await kernel.apply([
      add(route("10.42.2.0/24", "192.0.2.1")),
      add(route("10.42.3.0/24", "10.0.0.2", "eth9")),
    ]);
    t.equal(gateway?.error, "ENETUNREACH: Nexthop has invalid gateway");
    t.equal(device?.error, 'ENODEV: No such device ("eth9")');
    const onlink = { ...route("10.42.2.0/24", "192.0.2.1"), onlink: true };
    t.same((await kernel.apply([add(onlink)]))[0]?.error, undefined);
    t.same(await lines(kernel), ["10.42.2.0/24 via 192.0.2.1 dev eth0 onlink"]);
  });

  t.test("a replacement onto a link that is not there keeps the old", { skip }, async (t) => {
    const { kernel } = await open(t);
    const old = route("10.42.2.0/24", "10.0.0.2");
    await kernel.apply([add(old)]);
    const item = route("10.42.2.0/24", "10.0.0.2", "eth9");
    t.ok((await kernel.apply([{ kind: "replace", old, item }]))[0]?.error);
    t.same(await lines(kernel), ["10.42.2.0/24 via 10.0.0.2 dev eth0"]);
  });

  t.test("many changes at once all arrive, and each has its outcome", { skip }, async (t) => {
    const { kernel } = await open(t);
    const items = Array.from(
      { length: 500 },
      (_, i) => route(`10.50.${i >> 8}.${i & 255}/32`, i % 100 === 7 ? "192.0.2.1" : "10.0.0.2"),
    );
    const outcomes = await kernel.apply(items.map(add));
    t.equal(outcomes.length, 500);
    const failed = outcomes.flatMap((outcome, i) => outcome.error === undefined ? [] : [i]);
    t.same(failed, [7, 107, 207, 307, 407]);
    t.equal((await lines(kernel)).length, 495);
  });

  t.test("IPv6 routes come and go like IPv4's", wantsIpv6, async (t) => {
    const { kernel } = await open(t);
    const old = route("fd42:0:0:2::/64", "fd00::2");
    const item = route("fd42:0:0:2::/64", "fd00::3");
    await kernel.apply([add(old)]);
    t.same(await lines(kernel, ROUTE_PROTOCOL, 6), ["fd42:0:0:2::/64 via fd00::2 dev eth0"]);
    t.equal((await kernel.apply([add(item)]))[0]?.error, "EEXIST: File exists");
    t.same((await kernel.apply([{ kind: "replace", old, item }]))[0]?.error, undefined);
    t.same(await lines(kernel, ROUTE_PROTOCOL, 6), ["fd42:0:0:2::/64 via fd00::3 dev eth0"]);
    t.same((await kernel.apply([remove(item)]))[0]?.error, undefined);
    t.same(await lines(kernel, ROUTE_PROTOCOL, 6), []);
  });

  t.test("another's change is told; our own is not", { skip }, async (t) => {
    const { kernel, putRoute, dropRoute } = await open(t);
    const seen = watched(kernel);
    const alone = await seen.quiet();
    await kernel.apply([add(route("10.42.2.0/24", "10.0.0.2"))]);
    t.equal(await seen.quiet(), alone);
    putRoute(route("10.42.3.0/24", "10.0.0.2"), FOREIGN);
    await seen.next(alone + 1);
    const before = seen.count();
    dropRoute("10.42.2.0/24");
    await seen.next(before + 1);
    seen.stop();
    t.same(await lines(kernel), []);
  });

  t.test("a link that goes down takes its routes along, and says so", { skip }, async (t) => {
    const { kernel, setLink } = await open(t);
    await kernel.apply([add(route("10.42.2.0/24", "10.0.0.2"))]);
    const seen = watched(kernel);
    setLink("eth0", "down");
    await seen.next(1);
    seen.stop();
    t.same(await lines(kernel), []);
    const [down] = await kernel.apply([add(route("10.42.2.0/24", "10.0.0.2"))]);
    t.match(down?.error ?? "", /^E/);
  });

  t.test("who has stopped watching hears nothing", { skip }, async (t) => {
    const { kernel, putRoute } = await open(t);
    const gone = watched(kernel);
    gone.stop();
    const here = watched(kernel);
    putRoute(route("10.42.3.0/24", "10.0.0.2"), FOREIGN);
    await here.next(1);
    here.stop();
    t.equal(gone.count(), 0);
  });

  linksContract(t, open, options);
  onLinksContract(t, open, options);
}

function ours(found: KernelRoute): boolean {
  return found.protocol === ROUTE_PROTOCOL;
}

/** The routes of a protocol as lines, sorted. */
async function lines(
  kernel: Kernel,
  protocol: number = ROUTE_PROTOCOL,
  family = 4,
): Promise<string[]> {
  return (await kernel.read()).routes
    .filter((found) => found.protocol === protocol && found.destination.family === family)
    .filter((found) => !formatPrefix(found.destination).startsWith("fe80:"))
    .map(({ destination, via, device, onlink, unreachable = false }) =>
      formatWanted({
        ...{ kind: "route", destination, device, onlink, unreachable },
        ...(via ? { via } : {}),
      })
    )
    .sort();
}

export function watched(kernel: Kernel) {
  let calls = 0;
  let wake = () => {};
  const stop = kernel.watch(() => {
    calls++;
    wake();
  });
  return {
    stop,
    count: () => calls,
    /** Resolves when nothing has come for a while, with the calls so far: new links go on talking. */
    async quiet(durationMs = QUIET_MS): Promise<number> {
      for (let before = -1; before !== calls;) {
        before = calls;
        await sleep(ATTENTION, durationMs);
      }
      return calls;
    },
    /** Resolves at the given number of calls. */
    async next(count: number): Promise<void> {
      const late = setTimeout(() => {
        throw new Error(`No event came within ${EVENT_WAIT_MS} ms`);
      }, EVENT_WAIT_MS);
      while (calls < count) await new Promise<void>((resolve) => (wake = resolve));
      clearTimeout(late);
    },
  };
}
