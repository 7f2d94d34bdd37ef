import t from "tap";
import { HeadStart } from "../../../src/agent/data/head-start.ts";
import { parseAddress } from "../../../src/ip/address.ts";
import { parsePrefix } from "../../../src/ip/prefix.ts";
import { MemoryKernel } from "../../../src/kernel/memory-kernel.ts";
import type { Wanted } from "../../../src/plan/wanted.ts";
import { formatChange } from "../../../src/plan/text.ts";
import { route } from "../../support/routes.ts";

const networks = [parsePrefix("10.42.0.0/16")];
const known = route("10.42.2.0/24", "10.0.0.2");
const news = route("10.42.3.0/24", "10.0.0.3");

function machine(): MemoryKernel {
  const kernel = new MemoryKernel();
  kernel.addLink("eth0", { addresses: [{ address: parseAddress("10.0.0.1"), length: 24 }] });
  return kernel;
}

/** As a pass does that wants this. */
async function read(headStart: HeadStart, kernel: MemoryKernel, wanted: Wanted[] = []) {
  headStart.know(await headStart.read(kernel), wanted);
}

t.test("before the kernel was read nothing is added", async (t) => {
  t.same(new HeadStart().take([known], networks), []);
});

t.test("what is new is added, once", async (t) => {
  const headStart = new HeadStart();
  await read(headStart, machine(), [known]);
  t.same(headStart.take([known], networks), []);
  t.same(headStart.take([known, news], networks).flatMap(formatChange), [
    "ip route add 10.42.3.0/24 via 10.0.0.3 dev eth0 proto 68",
  ]);
  t.same(headStart.take([known, news], networks), []);
});

t.test("where anybody had a route, at whatever metric, a pass decides", async (t) => {
  const kernel = machine();
  kernel.putRoute({ ...news, metric: 50 }, { protocol: 4 });
  const headStart = new HeadStart();
  await read(headStart, kernel);
  t.same(headStart.take([news], networks), []);
});

t.test("what lies outside of every network is never added", async (t) => {
  const headStart = new HeadStart();
  await read(headStart, machine());
  t.same(headStart.take([route("10.9.0.0/24", "10.0.0.3")], networks), []);
});

t.test("a word from the kernel ends it until the next reading", async (t) => {
  const kernel = machine();
  const headStart = new HeadStart();
  await read(headStart, kernel);
  headStart.forget();
  t.same(headStart.take([news], networks), []);
  await read(headStart, kernel);
  t.equal(headStart.take([news], networks).length, 1);
});

t.test("a word that comes while the kernel is read makes the reading worth nothing", async (t) => {
  const headStart = new HeadStart();
  const reading = read(headStart, machine());
  headStart.forget();
  await reading;
  t.same(headStart.take([news], networks), []);
});
