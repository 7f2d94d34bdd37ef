/** Routes to hosts that nobody hears. */
import t from "tap";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { diff } from "../../src/plan/diff.ts";
import type { DiffOptions } from "../../src/plan/difference.ts";
import { withUnreachable } from "../../src/plan/silent.ts";
import { formatChange, formatWanted } from "../../src/plan/text.ts";
import type { Wanted } from "../../src/plan/wanted.ts";
import { kernelRoute, kernelWith, route } from "../support/routes.ts";

const networks = [parsePrefix("10.42.0.0/16")];
const full: DiffOptions = { networks, mode: "full" };
const SILENT = [parsePrefix("10.42.2.0/24")];
const WANTED = [route("10.42.1.0/24", "10.0.0.1"), route("10.42.2.0/24", "10.0.0.2")];
const THERE = [kernelRoute("10.42.1.0/24", "10.0.0.1"), kernelRoute("10.42.2.0/24", "10.0.0.2")];
const NOBODY = kernelRoute("10.42.2.0/24", undefined, { device: "", unreachable: true });

t.test("the route to a silent peer says so, however it was to be reached", async (t) => {
  t.same(withUnreachable(WANTED, SILENT).map(formatWanted), [
    "10.42.1.0/24 via 10.0.0.1 dev eth0",
    "unreachable 10.42.2.0/24",
  ]);
  const part = route("10.42.2.128/25", undefined, "flannel.1");
  t.same(withUnreachable([part], SILENT).map(formatWanted), ["unreachable 10.42.2.128/25"]);
  t.same(withUnreachable(WANTED, []), WANTED);
});

t.test("it takes the place of the former one, and goes when the peer is heard", async (t) => {
  const changes = (wanted: readonly Wanted[], actual: typeof THERE, options = full) =>
    diff(wanted, kernelWith(actual), options).changes.flatMap(formatChange);
  const silent = withUnreachable(WANTED, SILENT);
  t.same(changes([...silent], THERE), [
    "ip route del 10.42.2.0/24 via 10.0.0.2 dev eth0 proto 68",
    "ip route add unreachable 10.42.2.0/24 proto 68",
  ]);
  t.same(changes([...silent], [THERE[0]!, NOBODY]), [], "and stays");
  t.same(changes(WANTED, [THERE[0]!, NOBODY]), [
    "ip route del unreachable 10.42.2.0/24 proto 68",
    "ip route add 10.42.2.0/24 via 10.0.0.2 dev eth0 proto 68",
  ]);
  t.same(changes(WANTED.slice(0, 1), [THERE[0]!, NOBODY]), [
    "ip route del unreachable 10.42.2.0/24 proto 68",
  ]);
});

t.test("no living route is given up on the word of an old cache", async (t) => {
  const silent = withUnreachable(WANTED, SILENT);
  t.same(diff(silent, kernelWith(THERE), { networks, mode: "add-only" }).changes, []);
});

t.test("an unreachable route of somebody else is a conflict, as any other is", async (t) => {
  const foreign = { ...NOBODY, protocol: 4 };
  const { items, changes } = diff(WANTED, kernelWith([THERE[0]!, foreign]), full);
  t.same([changes, items[1]!.state], [[], "conflict"]);
});
