import t from "tap";
import { Preparation, unprepared } from "../../../src/agent/data/preparation.ts";
import { type Backend, defineBackend } from "../../../src/backend/backend.ts";
import type { Invocation } from "../../../src/plan/hook.ts";
import { FakePrograms, hanging } from "../../support/fake-programs.ts";
import { FakeClock } from "../../support/clock.ts";
import { until } from "../../support/fast-clock.ts";
import { hostAt } from "../../support/hosts.ts";

/** A backend that has its config run before it publishes. */
const backend = defineBackend<string, null>({
  ...{ contract: 1, name: "preparing" },
  parseConfig: () => "make",
  parseData: () => null,
  programs: (words) => ({ argvs: [words.split(" ")], first: invocation(words) }),
  publish: () => ({ data: null, mtu: 1500 }),
  plan: () => [],
}) as Backend;

const plain = { ...backend, programs: () => ({ argvs: [] }) } as Backend;

const invocation = (words: string): Invocation => ({
  ...{ name: "PreStartupCommand", argv: words.split(" "), env: {}, input: "\n", timeoutMs: 1_000 },
});

const here = hostAt("10.0.0.1/24");

function rig() {
  const [programs, clock] = [new FakePrograms(), new FakeClock()];
  programs.out = "02:00\n";
  return { programs, clock, preparation: new Preparation({ programs, clock }) };
}

t.test("what is printed is asked for once, whoever asks", async (t) => {
  const { preparation, programs } = rig();
  const all = await Promise.all([1, 2, 3].map(() => preparation.printed(backend, here, "make")));
  t.same(all, ["02:00\n", "02:00\n", "02:00\n"]);
  t.same(programs.take(), ["make"]);
  t.equal(await preparation.printed(plain, here, ""), undefined);
});

t.test("another host or another command has it run anew", async (t) => {
  const { preparation, programs } = rig();
  await preparation.printed(backend, here, "make");
  await preparation.printed(backend, hostAt("10.0.0.2/24"), "make");
  await preparation.printed(backend, hostAt("10.0.0.2/24"), "make more");
  const bigger = { ...hostAt("10.0.0.2/24"), link: { ...here.link, mtu: 9000 } };
  await preparation.printed(backend, bigger, "make more");
  t.same(programs.take(), ["make", "make", "make more"]);
});

t.test("what the host does not allow is not run", async (t) => {
  const { preparation, programs } = rig();
  programs.allowed = false;
  await t.rejects(preparation.printed(backend, here, "make"), { code: "PERMISSION_DENIED" });
  await t.rejects(unprepared.printed(backend, here, "make"), { code: "PERMISSION_DENIED" });
  t.equal(await unprepared.printed(plain, here, ""), undefined);
  t.same(programs.begun, []);
});

t.test("a failure is told, and not repeated before its time", async (t) => {
  const { preparation, programs, clock } = rig();
  programs.end = () => "PreStartupCommand ended with 1: no such device";
  const failure = { code: "COMMAND_FAILED", why: "PreStartupCommand ended with 1: no such device" };
  for (let i = 0; i < 3; i++) await t.rejects(preparation.printed(backend, here, "make"), failure);
  t.same(programs.take(), ["make"]);
  programs.end = () => undefined;
  await clock.advance(1_001);
  t.equal(await preparation.printed(backend, here, "make"), "02:00\n");
});

t.test("who has other things to do does not wait, and hears when it is over", async (t) => {
  const { preparation, programs, clock } = rig();
  const { end, release } = hanging();
  programs.end = () => end;
  let news = 0;
  const patience = { ms: 1_000, onDone: () => void news++ };
  const asked = preparation.printed(backend, here, "make", { patience });
  asked.catch(() => {});
  await until("it runs", () => programs.running === 1);
  await clock.advance(1_001);
  await t.rejects(asked, { code: "TIMEOUT", message: "PreStartupCommand has not ended yet" });
  release();
  await until("it is told", () => news === 1);
  t.equal(await preparation.printed(backend, here, "make", { patience }), "02:00\n");
  t.same(programs.begun, ["make"]);
});
