/** What a backend that fails costs: neither the daemon nor a packet, on any runtime. */
import t from "tap";
import { cannotLab } from "../support/lab.ts";
import { type Fault, meetFaults } from "../support/moody.ts";

const TIMEOUT_MS = 600_000;

const FAULTS: readonly Fault[] = [
  ["throw", /moody\/mod\.ts:18: RangeError: too far/],
  ["object", /moody\/mod\.ts:13: it is \{.*, and no array/],
  ["link", /moody\/mod\.ts:13: plan\[0\] is a link whose name is "eth0", no name of a link/],
  ["default", /moody\/mod\.ts:13: plan\[0\], 0\.0\.0\.0\/0: it lies outside of the network/],
  ["exit", /moody\/mod\.ts: its thread has ended/],
];

t.test("a backend that fails costs neither the daemon nor a packet", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => await meetFaults(t, FAULTS, TIMEOUT_MS));
