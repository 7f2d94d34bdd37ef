/** Hosts that are cut off from all others, and how they stand to their leases. */
import type { Host } from "../../src/cli/lab/host.ts";
import { ip } from "../../src/cli/lab/ip.ts";
import { eventually, untilReady } from "./lab.ts";
import { inForgedTime, timeOf } from "./time-travel.ts";

export interface Standing {
  readonly ready: boolean;
  readonly lease: { readonly state: string; readonly why: string | null };
}

export async function standingOf(host: Host): Promise<Standing> {
  return await host.get("/v1/self") as Standing;
}

export async function untilLease(host: Host, state: string, why = /./): Promise<Standing> {
  return await eventually(`the lease of ${host.name} is ${state}, for ${why}`, async () => {
    const standing = await standingOf(host);
    const { lease } = standing;
    return lease.state === state && (state === "held" || why.test(lease.why ?? ""))
      ? standing
      : undefined;
  });
}

/** Its cable goes to a switch that passes nothing on: the host itself notices nothing. */
export async function unplug(host: Host): Promise<void> {
  await ip(`-n ${switchOf(host)} link set dev ${host.name} nomaster`);
}

export async function plug(host: Host): Promise<void> {
  await ip(`-n ${switchOf(host)} link set dev ${host.name} master switch`);
}

function switchOf({ namespace, name }: Host): string {
  return `${namespace.slice(0, -name.length)}switch`;
}

/** The only server, at a time of its own, and its cluster. */
export async function foundAt(host: Host, network: string): Promise<void> {
  const words = ["init", "--network", network, "--foreground"];
  await host.startDaemon(inForgedTime, words, timeOf(host));
  await untilReady([host]);
}

/** Who has the subnet, by the cluster's word. */
export async function holderOf(subnet: string, server: Host): Promise<string | undefined> {
  const { items } = await server.get("/v1/leases") as {
    items: { subnet: string; nodeName: string }[];
  };
  return items.find((lease) => lease.subnet === subnet)?.nodeName;
}
