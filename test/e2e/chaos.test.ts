/** A few seconds of `chaos.ts`: enough to see that it harms, and that nothing comes of it. */
import t from "tap";
import { makeLab } from "../support/lab.ts";
import { chaos, keepHistory, summary } from "./chaos.ts";
import { cannotCut } from "./chaos-faults.ts";

const SECONDS = 20;
const SEED = 1;

t.test("daemons are killed, paused and cut off: no write, read, lease or packet is wrong", {
  skip: cannotCut,
  timeout: 600_000,
}, async (t) => {
  const report = await chaos(await makeLab(t), SECONDS, SEED);
  const { failures, faults, operations, elections, pings, tokens } = report;
  const kept = failures.length > 0 ? `, history: ${keepHistory(report)}` : "";
  t.same(failures, [], summary(report) + kept);
  t.ok(Object.values(faults).every((count) => count > 0), `every fault: ${summary(report)}`);
  t.ok(operations > 50 && tokens > 3 && elections > 0 && pings > 1_000, summary(report));
});
