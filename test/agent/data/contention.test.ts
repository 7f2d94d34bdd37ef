import t from "tap";
import { Contention } from "../../../src/agent/data/contention.ts";
import type { Item } from "../../../src/plan/difference.ts";
import type { Change, Outcome } from "../../../src/plan/kernel.ts";
import { formatSubject } from "../../../src/plan/subject.ts";
import type { Wanted } from "../../../src/plan/wanted.ts";
import { forwarding, neighbour, vxlan } from "../../support/links.ts";
import { route } from "../../support/routes.ts";

const ROUTE = route("10.42.2.0/24", "10.0.0.2");
const SUBJECT = formatSubject(ROUTE);

const made = (...items: Wanted[]): Outcome[] =>
  items.map((item) => ({ change: { kind: "add", item } }));
const inPlace = (...items: Wanted[]): Item[] =>
  items.map((wanted) => ({ about: wanted, state: "ok", wanted }));

/** Where it was made once. */
function contentionOver(...items: Wanted[]): Contention {
  const contention = new Contention();
  contention.note([], made(...items), 0);
  return contention;
}

/** Somebody has taken it away, and it is made again. */
function repaired(contention: Contention, nowMs: number, item: Wanted = ROUTE) {
  return contention.note([], made(item), nowMs)?.times;
}

t.test("the third time within ten minutes is news, and then nothing is for as long", async (t) => {
  const contention = contentionOver(ROUTE);
  const news = [0, 1, 2, 3, 4].map((minute) => repaired(contention, minute * 60_000));
  t.same(news, [undefined, undefined, 3, undefined, undefined]);
  t.equal(repaired(contention, 13 * 60_000), undefined, "what is long ago does not count");
  t.equal(repaired(contention, 13.5 * 60_000), 3);
});

t.test("twice in a while is what happens when a network manager starts anew", async (t) => {
  const contention = contentionOver(ROUTE);
  const hourly = [0, 1, 2, 3].map((hour) => repaired(contention, hour * 3_600_000));
  t.same(hourly, [undefined, undefined, undefined, undefined]);
});

t.test("who answers each repair at once is answered once a second", async (t) => {
  const contention = contentionOver(ROUTE);
  for (let ms = 0; ms < 900; ms += 100) repaired(contention, ms);
  t.equal(contention.waitUntilMs(SUBJECT, 900), -Infinity);
  repaired(contention, 900);
  t.equal(contention.waitUntilMs(SUBJECT, 901), 1_900);
  t.equal(contention.waitUntilMs(SUBJECT, 11_000), -Infinity, "and at once again when it is over");
});

t.test("a fight over one thing holds up no other", async (t) => {
  const other = route("10.42.3.0/24", "10.0.0.3");
  const contention = contentionOver(ROUTE, other);
  for (let ms = 0; ms < 1_000; ms += 100) {
    contention.note(inPlace(other), made(ROUTE), ms);
  }
  t.ok(contention.waitUntilMs(SUBJECT, 1_000) > 1_000);
  t.equal(contention.waitUntilMs(formatSubject(other), 1_000), -Infinity);
});

t.test("what is wanted otherwise by now was taken away by nobody", async (t) => {
  const contention = contentionOver(ROUTE);
  for (let n = 3; n < 20; n++) {
    const item = route("10.42.2.0/24", `10.0.0.${n}`);
    const change: Change = { kind: "replace", item, old: ROUTE };
    t.equal(contention.note([], [{ change }], n), undefined);
  }
  t.equal(contention.waitUntilMs(SUBJECT, 20), -Infinity);
});

t.test("what somebody changes back and forth is undone like what is taken away", async (t) => {
  const contention = contentionOver(ROUTE);
  const old = route("10.42.2.0/24", "10.0.0.99");
  const change: Change = { kind: "replace", item: ROUTE, old };
  const news = [1, 2, 3].map((nowMs) => contention.note([], [{ change }], nowMs)?.example);
  t.same(news, [undefined, undefined, SUBJECT]);
});

t.test("what is on a link goes with it, and that is one loss and not many", async (t) => {
  const mac = "02:00:00:00:00:02";
  const all = [vxlan(), neighbour("10.42.2.0", mac), forwarding(mac, "10.0.0.2")];
  const contention = contentionOver(...all);
  for (let ms = 0; ms < 1_000; ms += 100) contention.note([], made(...all), ms);
  const waits = all.map((item) => contention.waitUntilMs(formatSubject(item), 1_000) > 1_000);
  t.same(waits, [true, false, false]);
});

t.test("a link that this node makes anew itself is no loss at all", async (t) => {
  const entry = forwarding("02:00:00:00:00:02", "10.0.0.2");
  const contention = contentionOver(vxlan(), entry);
  for (let vni = 2; vni < 22; vni++) {
    const change: Change = { kind: "replace", item: vxlan({ vni }), old: vxlan({ vni: vni - 1 }) };
    t.equal(contention.note([], [{ change }, ...made(entry)], vni), undefined);
  }
  const subjects = [vxlan(), entry].map(formatSubject);
  t.same(subjects.map((subject) => contention.waitUntilMs(subject, 22)), [-Infinity, -Infinity]);
});

t.test("what stands in a quiet while is remembered, and what is not wanted any more is not", async (t) => {
  for (const [items, calls] of [[inPlace(ROUTE), true], [[], false]] as const) {
    const contention = contentionOver(ROUTE);
    for (let ms = 0; ms < 1_000; ms += 100) {
      contention.note(items, [], ms);
      contention.note(inPlace(ROUTE), made(ROUTE), ms);
    }
    t.equal(contention.waitUntilMs(SUBJECT, 1_000) > 1_000, calls);
  }
});
