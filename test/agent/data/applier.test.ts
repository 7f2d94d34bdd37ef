import t from "tap";
import { Applier } from "../../../src/agent/data/applier.ts";
import { parseAddress } from "../../../src/ip/address.ts";
import { MemoryKernel } from "../../../src/kernel/memory-kernel.ts";
import type { Change, Kernel } from "../../../src/plan/kernel.ts";
import { formatSubject } from "../../../src/plan/subject.ts";
import type { Wanted } from "../../../src/plan/wanted.ts";
import { FakeClock } from "../../support/clock.ts";
import { forwarding, linkAddress, vxlan } from "../../support/links.ts";
import { route } from "../../support/routes.ts";

const OURS = vxlan();
const ON_IT = [linkAddress("10.42.1.0/32"), forwarding("02:00:00:00:00:02", "10.0.0.2")];
const ELSEWHERE = route("10.42.9.0/24", "10.0.0.9");
const add = (item: Wanted): Change => ({ kind: "add", item });

function machine() {
  const kernel = new MemoryKernel();
  kernel.addLink("eth0", { addresses: [{ address: parseAddress("10.0.0.1"), length: 24 }] });
  const clock = new FakeClock();
  const tried: string[] = [];
  const apply: Kernel["apply"] = (changes) => {
    tried.push(...changes.map(({ item }) => formatSubject(item)));
    return kernel.apply(changes);
  };
  return { kernel, clock, tried, applier: new Applier({ kernel: { apply }, clock }) };
}

const told = (outcomes: readonly { change: Change; error?: string }[]) =>
  outcomes.map(({ change, error }) => [formatSubject(change.item), error === undefined]);

t.test("nothing is tried on a link that could not be made, and the rest is", async (t) => {
  const { kernel, applier } = machine();
  kernel.putLink("denim.1", { detail: { mac: "02:00:00:00:00:99", group: 0, alias: "" } });
  const outcomes = await applier.apply([OURS, ...ON_IT, ELSEWHERE].map(add));
  t.same(told(outcomes), [["link denim.1", false], ["10.42.9.0/24", true]]);
});

t.test("while the link waits for its next try, so does what is on it", async (t) => {
  const { kernel, clock, tried, applier } = machine();
  kernel.putLink("denim.1", { detail: { mac: "02:00:00:00:00:99", group: 0, alias: "" } });
  const changes = [OURS, ...ON_IT].map(add);
  await applier.apply(changes);
  kernel.removeLink("denim.1");
  tried.length = 0;
  t.same(told(await applier.apply(changes)), [["link denim.1", false]], "with its last error");
  t.same(tried, []);
  t.ok(applier.nextDueMs > clock.monotonicMs());
  applier.hurry();
  t.ok((await applier.apply(changes)).every(({ error }) => error === undefined));
  t.equal(applier.nextDueMs, Infinity);
});

t.test("what somebody undoes each time is held back, and nothing else is", async (t) => {
  const { clock, applier } = machine();
  const changes = [OURS, ...ON_IT].map(add);
  applier.note([], await applier.apply(changes));
  for (let i = 0; i < 10; i++) applier.note([], changes.map((change) => ({ change })));
  const outcomes = await applier.apply([...changes, add(ELSEWHERE)]);
  t.same(told(outcomes), [["10.42.9.0/24", true]]);
  t.equal(applier.nextDueMs, clock.monotonicMs() + 1_000);
  applier.forget();
  t.equal(applier.nextDueMs, Infinity);
});

t.test("a link that only changes in place keeps nobody waiting", async (t) => {
  const { kernel, applier } = machine();
  await applier.apply([add(OURS)]);
  kernel.putLink("denim.1", { detail: { mac: OURS.mac, group: 68, alias: "mine" } });
  const change: Change = { kind: "replace", item: vxlan({ mtu: 1300 }), old: OURS };
  const outcomes = await applier.apply([change, add(ELSEWHERE)]);
  t.same(told(outcomes), [["link denim.1", false], ["10.42.9.0/24", true]]);
});
