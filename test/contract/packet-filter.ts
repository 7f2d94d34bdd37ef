/** What every driver of the PacketFilter port must do. `kernel/*.test.ts` runs it for each. */
import type { Test } from "tap";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { type PacketFilter, rulesOf } from "../../src/plan/packet-filter.ts";
import type { NetworkRules } from "../../src/plan/rules.ts";
import { until } from "../support/fast-clock.ts";

export interface Machine {
  readonly filter: PacketFilter;
  /** Plays Docker: FORWARD drops what nobody accepts, or does not any more. */
  setPolicy(policy: "DROP" | "ACCEPT"): void;
  /** Plays somebody who empties everything that the tools have. */
  flush(): void;
}

/** How often a driver looks that is told of changes. */
const TOLD_PERIOD_MS = 30_000;

export const RULES: NetworkRules = {
  network: parsePrefix("10.244.0.0/16"),
  subnets: [parsePrefix("10.244.3.0/24")],
  exempt: [],
  masquerade: true,
  forward: true,
};

/** Another daemon's on the same host. */
const OTHER: NetworkRules = { ...RULES, network: parsePrefix("10.9.0.0/16"), subnets: [] };

export function packetFilterContract(
  t: Test,
  open: (t: Test) => Promise<Machine>,
  options: { skip: string | false },
): void {
  const { skip } = options;

  t.test("rules that are missing are made, and then left alone", { skip }, async (t) => {
    const { filter } = await open(t);
    t.same(await outcome(filter, [RULES]), ["masquerade changed"]);
    t.same(await outcome(filter, [RULES]), ["masquerade stands"]);
    const [made] = await filter.list();
    t.equal((await filter.list()).length, 1);
    t.same([made?.family, made?.name.endsWith("10.244.0.0-16")], [4, true]);
    t.ok(await filter.masqueradesBy());
  });

  t.test("a subnet or an exemption that is another one changes them", { skip }, async (t) => {
    const { filter } = await open(t);
    await outcome(filter, [RULES]);
    const moved = { ...RULES, subnets: [parsePrefix("10.244.4.0/24")] };
    t.same(await outcome(filter, [moved]), ["masquerade changed"]);
    const exempt = { ...moved, exempt: [parsePrefix("192.168.0.0/16")] };
    t.same(await outcome(filter, [exempt]), ["masquerade changed"]);
    t.same(await outcome(filter, [exempt]), ["masquerade stands"]);
  });

  t.test("packets are let through while somebody drops them", { skip }, async (t) => {
    const { filter, setPolicy } = await open(t);
    const quiet = { ...RULES, masquerade: false };
    t.same(await outcome(filter, [quiet]), []);
    setPolicy("DROP");
    t.same(await outcome(filter, [quiet]), ["forward changed"]);
    t.same(await outcome(filter, [quiet]), ["forward stands"]);
    setPolicy("ACCEPT");
    t.same(await outcome(filter, [quiet]), ["forward changed"]);
    t.same(await filter.list(), []);
    setPolicy("DROP");
    t.same(await outcome(filter, [{ ...quiet, forward: false }]), [], "who does not want it");
  });

  t.test("what is not wanted any more goes", { skip }, async (t) => {
    const { filter, setPolicy } = await open(t);
    setPolicy("DROP");
    await outcome(filter, [RULES]);
    t.equal((await filter.list()).length, 2);
    const none = { ...RULES, masquerade: false, forward: false };
    t.same(await outcome(filter, [none]), ["masquerade changed", "forward changed"]);
    t.same(await filter.list(), []);
    t.same(await outcome(filter, [none]), []);
  });

  t.test("what somebody empties is made again, and heard of", { skip }, async (t) => {
    const { filter, setPolicy, flush } = await open(t);
    const heard = Promise.withResolvers<void>();
    setPolicy("DROP");
    await outcome(filter, [RULES]);
    t.teardown(filter.watch(heard.resolve));
    // The driver listens as soon as it can; then it need not look that often.
    await until("it listens", () => filter.periodMs >= TOLD_PERIOD_MS);
    flush();
    setPolicy("DROP");
    await heard.promise;
    t.same(await filter.list(), []);
    t.same(await outcome(filter, [RULES]), ["masquerade changed", "forward changed"]);
  });

  t.test(
    "all that is Denim's is found by its mark, and each network's apart",
    { skip },
    async (t) => {
      const { filter, setPolicy } = await open(t);
      setPolicy("DROP");
      await outcome(filter, [RULES]);
      await outcome(filter, [OTHER]);
      const all = await filter.list();
      t.equal(all.length, 4);
      const own = rulesOf([RULES.network], all);
      t.same(own.map(({ name }) => name.includes("10.244")), [true, true]);
      t.same(await filter.remove(own), []);
      t.same(await outcome(filter, [OTHER]), ["masquerade stands", "forward stands"]);
      t.same(await filter.remove(await filter.list()), []);
      t.same(await filter.list(), []);
    },
  );
}

/** One pass: what became of each kind of rule. */
export async function outcome(
  filter: PacketFilter,
  wanted: readonly NetworkRules[],
): Promise<string[]> {
  const reports = [...await filter.masquerade(wanted), ...await filter.forward(wanted)];
  return reports.map(({ kind, changed, error }) =>
    `${kind} ${error ?? (changed ? "changed" : "stands")}`
  );
}
