/** What a backend costs that takes all the time, or all the memory, that there is. */
import t from "tap";
import { cannotLab } from "../support/lab.ts";
import { type Fault, meetFaults } from "../support/moody.ts";

const TIMEOUT_MS = 600_000;

const FAULTS: readonly Fault[] = [
  ["memory", /moody\/mod\.ts\S*: it (used more memory than a backend has|gave no answer)/],
  ["loop", /moody\/mod\.ts:13: it gave no answer within 5 s/],
];

t.test("a backend without end costs neither the daemon nor a packet", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => await meetFaults(t, FAULTS, TIMEOUT_MS));
