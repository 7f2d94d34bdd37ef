import type { Service } from "../api/service.ts";
import { sleep, systemClock } from "../base/clock.ts";

const POLL_MS = 20;
const PATIENCE_MS = 30_000;

/** Waits until containers can be started here; says nothing when that takes too long. */
export async function waitUntilReady(service: Service): Promise<boolean> {
  const clock = systemClock();
  const endMs = clock.monotonicMs() + PATIENCE_MS;
  while (clock.monotonicMs() < endMs) {
    if (service.status().ready) return true;
    await sleep(clock, POLL_MS);
  }
  return false;
}
