import fc from "fast-check";
import t from "tap";
import { equalPrefix, formatPrefix, parsePrefix } from "../../src/ip/prefix.ts";
import { diff } from "../../src/plan/diff.ts";
import type { Difference, DiffOptions } from "../../src/plan/difference.ts";
import type { Change, KernelRoute } from "../../src/plan/kernel.ts";
import type { Route } from "../../src/plan/wanted.ts";
import { formatSubject } from "../../src/plan/subject.ts";
import { formatChange } from "../../src/plan/text.ts";
import { kernelRoute, kernelWith, route } from "../support/routes.ts";

const full: DiffOptions = { networks: [parsePrefix("10.42.0.0/16")], mode: "full" };
const addOnly: DiffOptions = { ...full, mode: "add-only" };

const text = (difference: Difference) => difference.changes.flatMap(formatChange);
const states = (difference: Difference) =>
  difference.items.map((item) => `${formatSubject(item.about)} ${item.state}`);

t.test("what is missing is added, what is there stays", async (t) => {
  const wanted = [route("10.42.2.0/24", "10.0.0.2"), route("10.42.1.0/24", "10.0.0.3")];
  const difference = diff(wanted, kernelWith([kernelRoute("10.42.1.0/24", "10.0.0.3")]), full);
  t.same(text(difference), ["ip route add 10.42.2.0/24 via 10.0.0.2 dev eth0 proto 68"]);
  t.same(states(difference), ["10.42.1.0/24 ok", "10.42.2.0/24 missing"]);
});

t.test("a dead peer's route goes away, after the new ones have come", async (t) => {
  const actual = [kernelRoute("10.42.1.0/24", "10.0.0.3"), kernelRoute("10.42.3.0/24", "10.0.0.3")];
  const wanted = [route("10.42.2.0/24", "10.0.0.2"), route("10.42.3.0/24", "10.0.0.4")];
  t.same(text(diff(wanted, kernelWith(actual), full)), [
    "ip route add 10.42.2.0/24 via 10.0.0.2 dev eth0 proto 68",
    "ip route del 10.42.3.0/24 via 10.0.0.3 dev eth0 proto 68",
    "ip route add 10.42.3.0/24 via 10.0.0.4 dev eth0 proto 68",
    "ip route del 10.42.1.0/24 via 10.0.0.3 dev eth0 proto 68",
  ]);
});

t.test("add-only leaves alone what stands, however wrong", async (t) => {
  const actual = [kernelRoute("10.42.1.0/24", "10.0.0.3"), kernelRoute("10.42.3.0/24", "10.0.0.3")];
  const wanted = [route("10.42.2.0/24", "10.0.0.2"), route("10.42.3.0/24", "10.0.0.4")];
  const difference = diff(wanted, kernelWith(actual), addOnly);
  t.same(text(difference), ["ip route add 10.42.2.0/24 via 10.0.0.2 dev eth0 proto 68"]);
  t.same(states(difference), [
    "10.42.1.0/24 extra",
    "10.42.2.0/24 missing",
    "10.42.3.0/24 different",
  ]);
});

t.test("a lease claimed in this epoch may be followed in a hold, without removals", async (t) => {
  const claimed = [parsePrefix("10.42.3.0/24")];
  const actual = [
    kernelRoute("10.42.3.0/24", "10.0.0.3"),
    kernelRoute("10.42.4.0/24", "10.0.0.3"),
    kernelRoute("10.42.3.0/24", "10.0.0.3", { metric: 9 }),
  ];
  const wanted = [route("10.42.3.0/24", "10.0.0.4"), route("10.42.4.0/24", "10.0.0.4")];
  t.same(text(diff(wanted, kernelWith(actual), { ...addOnly, claimed })), [
    "ip route del 10.42.3.0/24 via 10.0.0.3 dev eth0 proto 68",
    "ip route add 10.42.3.0/24 via 10.0.0.4 dev eth0 proto 68",
  ]);
});

t.test("a foreign route for the prefix, at any metric, is reported and not fought", async (t) => {
  const foreign = kernelRoute("10.42.2.0/24", "10.0.0.9", { protocol: 4, metric: 100 });
  const difference = diff([route("10.42.2.0/24", "10.0.0.2")], kernelWith([foreign]), full);
  t.same(text(difference), []);
  t.same(states(difference), ["10.42.2.0/24 conflict"]);
  t.equal(difference.items[0]?.actual, foreign);
  t.match(difference.items[0]?.why ?? "", /protocol 4/);
});

t.test("ours beside a foreign route is kept, and repaired", async (t) => {
  const foreign = kernelRoute("10.42.2.0/24", "10.0.0.9", { protocol: 4, metric: 100 });
  const right = kernelRoute("10.42.2.0/24", "10.0.0.2");
  const wanted = [route("10.42.2.0/24", "10.0.0.2")];
  t.same(text(diff(wanted, kernelWith([foreign, right]), full)), []);
  const wrong = kernelRoute("10.42.2.0/24", "10.0.0.7");
  t.equal(diff(wanted, kernelWith([foreign, wrong]), full).changes[0]?.kind, "replace");
});

t.test("our protocol outside our networks is not ours", async (t) => {
  const actual = [kernelRoute("10.99.2.0/24", "10.0.0.2"), kernelRoute("10.0.0.0/8", "10.0.0.2")];
  const difference = diff([], kernelWith(actual), full);
  t.same([difference.changes, difference.items], [[], []]);
});

t.test("a network of the past is still ours to clean", async (t) => {
  const networks = [...full.networks, parsePrefix("10.99.0.0/16")];
  t.same(
    text(diff([], kernelWith([kernelRoute("10.99.2.0/24", "10.0.0.2")]), { ...full, networks })),
    [
      "ip route del 10.99.2.0/24 via 10.0.0.2 dev eth0 proto 68",
    ],
  );
});

t.test("nothing is programmed outside our networks", async (t) => {
  const difference = diff([route("0.0.0.0/0", "10.0.0.2")], kernelWith([]), full);
  t.same([text(difference), states(difference)], [[], ["0.0.0.0/0 conflict"]]);
});

t.test("a stray copy at another metric is removed by that metric", async (t) => {
  const wanted = [route("10.42.2.0/24", "10.0.0.2")];
  const right = kernelRoute("10.42.2.0/24", "10.0.0.2");
  const stray = kernelRoute("10.42.2.0/24", "10.0.0.2", { metric: 7 });
  const removal = ["ip route del 10.42.2.0/24 via 10.0.0.2 dev eth0 metric 7 proto 68"];
  t.same(text(diff(wanted, kernelWith([stray, right]), full)), removal);
  t.same(text(diff(wanted, kernelWith([stray]), full)), [
    ...removal,
    "ip route add 10.42.2.0/24 via 10.0.0.2 dev eth0 proto 68",
  ]);
});

t.test("a gateway, a device, a flag or a strange shape each make it different", async (t) => {
  const wanted = [route("10.42.2.0/24", "10.0.0.2")];
  for (
    const other of [{ device: "eth1" }, { onlink: true }, { plain: false }, { metric: 5 }]
  ) {
    const difference = diff(
      wanted,
      kernelWith([kernelRoute("10.42.2.0/24", "10.0.0.2", other)]),
      full,
    );
    t.same(states(difference), ["10.42.2.0/24 different"], JSON.stringify(other));
  }
});

t.test("IPv6's default metric is not a difference", async (t) => {
  const options: DiffOptions = { networks: [parsePrefix("fd42::/48")], mode: "full" };
  const actual = [kernelRoute("fd42:0:0:2::/64", "fd00::2")];
  const wanted = [route("fd42:0:0:2::/64", "fd00::2")];
  t.same(states(diff(wanted, kernelWith(actual), options)), ["fd42:0:0:2::/64 ok"]);
  t.same(text(diff([route("fd42:0:0:3::/64", "fd00::2")], kernelWith([]), options)), [
    "ip -6 route add fd42:0:0:3::/64 via fd00::2 dev eth0 proto 68",
  ]);
});

t.test("two wishes for one destination: the first stays", async (t) => {
  const wanted = [route("10.42.2.0/24", "10.0.0.2"), route("10.42.2.0/24", "10.0.0.3")];
  const difference = diff(wanted, kernelWith([]), full);
  t.same(text(difference), ["ip route add 10.42.2.0/24 via 10.0.0.2 dev eth0 proto 68"]);
  t.same(states(difference), ["10.42.2.0/24 missing", "10.42.2.0/24 conflict"]);
});

/** Few destinations and few gateways, so that they often meet. */
const destination = fc.constantFrom("10.42.1.0/24", "10.42.2.0/24", "10.42.2.0/25", "10.77.1.0/24");
const gateway = fc.constantFrom("10.0.0.2", "10.0.0.3");
const someRoutes = fc.uniqueArray(
  fc.record({
    destination,
    gateway,
    protocol: fc.constantFrom(68, 4),
    metric: fc.constantFrom(0, 5),
  }),
  { selector: (found) => `${found.destination} ${found.metric}` },
).map((list) =>
  list.map(({ destination, gateway, ...rest }) => kernelRoute(destination, gateway, rest))
);
const someWanted = fc.array(fc.tuple(destination, gateway))
  .map((list) => list.map(([destination, gateway]) => route(destination, gateway)));
const mode = fc.constantFrom("full" as const, "add-only" as const);

t.test("foreign routes survive any plan, and add-only removes nothing", async (t) => {
  fc.assert(fc.property(someWanted, someRoutes, mode, (wanted, actual, mode) => {
    const { changes } = diff(wanted, kernelWith(actual), { ...full, mode });
    const after = changes.reduce(applied, actual);
    const foreign = actual.filter((found) => found.protocol !== 68);
    const kept = foreign.every((found) => after.includes(found));
    return kept && (mode === "full" || actual.every((found) => after.includes(found)));
  }));
  t.pass();
});

t.test("a full plan once applied leaves nothing to do", async (t) => {
  fc.assert(fc.property(someWanted, someRoutes, (wanted, actual) => {
    const after = diff(wanted, kernelWith(actual), full).changes.reduce(applied, actual);
    return diff(wanted, kernelWith(after), full).changes.length === 0;
  }));
  t.pass();
});

/** What the kernel would hold after one change. */
function applied(routes: readonly KernelRoute[], change: Change): readonly KernelRoute[] {
  const without = (old: Route) =>
    routes.filter((found) =>
      !(found.protocol === 68 && equalPrefix(found.destination, old.destination) &&
        found.metric === (old.metric ?? 0))
    );
  const made = (item: Route) =>
    kernelRoute(formatPrefix(item.destination), undefined, item.via ? { via: item.via } : {});
  if (change.kind === "remove") return without(change.item as Route);
  const rest = change.kind === "replace" ? without(change.old as Route) : routes;
  return [...rest, made(change.item as Route)];
}
