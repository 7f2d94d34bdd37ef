import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ApiClient } from "../../src/api/client.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import { sendSignal } from "../../src/cli/lab/signal.ts";
import type { ForgedTime } from "./forged-time.ts";
import { eventually, onNode } from "./lab.ts";
import { root } from "./root.ts";

const HOUR_MS = 3_600_000;

/** Denim on Node, at the time that {@link setTime} gives its host. */
export const inForgedTime: Program = [
  onNode[0]!,
  ...["--import", join(root, "test/support/forged-time.ts")],
  onNode[1]!,
];

function fileOf(host: Host): string {
  return join(host.folder, "time.json");
}

/** What a daemon {@link inForgedTime} has to find in its environment. */
export function timeOf(host: Host): { readonly DENIM_TEST_TIME: string } {
  if (!existsSync(fileOf(host))) writeFileSync(fileOf(host), JSON.stringify({ aheadMs: 0 }));
  return { DENIM_TEST_TIME: fileOf(host) };
}

/** From now on, for the daemon that runs and for those that will. */
export async function setTime(host: Host, time: ForgedTime): Promise<void> {
  const text = JSON.stringify(time);
  writeFileSync(fileOf(host), text);
  if (!host.daemon?.isRunning) return;
  sendSignal(host.daemon.pid, "SIGUSR2");
  await eventually(`${host.name} lives at another time`, () => {
    const isSeen = readFileSync(`${fileOf(host)}.seen`, "utf8") === text;
    return Promise.resolve(isSeen ? true : undefined);
  });
}

/**
 * Hours pass on the lease clock of a cluster whose only server is `host`. One entry moves it by an
 * hour at most, so each hour gets one: a reservation that is there already.
 */
export async function passHours(host: Host, hours: number): Promise<void> {
  const client = new ApiClient(host.socketPath);
  const write = () =>
    client.call("/v1/reservations/10.244.250.0-24", {
      ...{ method: "PUT", body: "{}" },
      headers: { "content-type": "application/json" },
    });
  const { aheadMs } = JSON.parse(readFileSync(fileOf(host), "utf8")) as ForgedTime;
  for (let hour = 1; hour <= hours; hour++) {
    await setTime(host, { aheadMs: aheadMs + hour * HOUR_MS });
    await write();
  }
}
