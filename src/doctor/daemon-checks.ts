/** What only a running daemon knows. */
import { tryParseAddress } from "../ip/address.ts";
import { containsAddress, parsePrefix } from "../ip/prefix.ts";
import type { DaemonFact, Facts } from "./facts.ts";
import { type Finding, ok } from "./finding.ts";

export function checkDaemon({ daemon, hungDaemon, subnetEnv }: Facts): Finding[] {
  if (hungDaemon !== undefined) {
    const fix = "run this as root; if it hangs, look into its log and restart it: that leaves " +
      "routes and containers alone";
    return [{
      check: "daemon",
      result: "failed",
      found: "it does not answer",
      why: hungDaemon,
      fix,
    }];
  }
  if (daemon === undefined) {
    const why = "what the cluster knows could not be looked at";
    const fix = "start it: denim init, denim join HOST, or denim run";
    return [{ check: "daemon", result: "note", found: "none runs here", why, fix }];
  }
  return [ready(daemon), routes(daemon), subnetFile(daemon, subnetEnv), servers(daemon)]
    .filter((finding) => finding !== undefined);
}

function ready({ status }: DaemonFact): Finding {
  if (status.ready) return ok("daemon", `${status.node.name} is ready`);
  const wrong = status.checks.filter(({ ok }) => !ok)
    .map(({ name, why }) => why === undefined ? name : `${name}: ${why}`);
  return {
    ...{ check: "daemon", result: "failed", found: `${status.node.name} is not ready` },
    why: wrong.join("; "),
    fix: "denim status",
  };
}

function routes({ status }: DaemonFact): Finding {
  const { ok: good = 0, ...others } = status.dataPlane.routes;
  const { ok: _, ...broken } = status.dataPlane.tunnel;
  const bad = [
    ...Object.entries(others),
    ...Object.entries(broken).map(([state, count]) => [`${state} of the tunnel`, count] as const),
  ].filter(([, count]) => count > 0);
  if (bad.length === 0) return ok("routes", `${good} in place`);
  return {
    ...{ check: "routes", result: "warning" },
    found: [`${good} in place`, ...bad.map(([state, count]) => `${count} ${state}`)].join(", "),
    why: "the kernel does not say what the leases say",
    fix: "denim route --drift",
  };
}

function subnetFile({ status }: DaemonFact, text: string | undefined): Finding | undefined {
  const { lease: { subnets }, dataPlane: { subnetFile, mtu } } = status;
  if (subnets.length === 0) return undefined;
  const value = (key: string) => new RegExp(`^${key}=(.*)$`, "m").exec(text ?? "")?.[1];
  const said = [value("FLANNEL_SUBNET"), value("FLANNEL_IPV6_SUBNET")]
    .filter((subnet) => subnet !== undefined && subnet !== "");
  // The file names the first address of each subnet, the bridge's.
  const agrees = said.length === subnets.length &&
    said.every((subnet, i) => sameBlock(subnet!, subnets[i]!));
  const mtuSaid = value("FLANNEL_MTU");
  if (agrees && (mtu === null || mtuSaid === String(mtu))) {
    return ok("subnet-file", `${subnetFile} says ${said.join(", ")}`);
  }
  return {
    ...{ check: "subnet-file", result: "failed" },
    found: text === undefined
      ? `${subnetFile} is missing`
      : `${subnetFile} says ${said.join(", ")}`,
    why: `the lease is of ${subnets.join(", ")}, MTU ${mtu}`,
    fix: "the daemon writes it again when it starts; look for who else writes it",
  };
}

/** `10.244.1.1/24` says the same as `10.244.1.0/24`. */
function sameBlock(gateway: string, subnet: string): boolean {
  const [address, length] = gateway.split("/");
  const parsed = tryParseAddress(address!);
  return parsed !== undefined && subnet.endsWith(`/${length}`) &&
    containsAddress(parsePrefix(subnet), parsed);
}

function servers({ reachable, unreachable }: DaemonFact): Finding | undefined {
  if (unreachable.length > 0) {
    return {
      ...{ check: "servers", result: "warning" },
      found: `${unreachable.length} of ${reachable + unreachable.length} do not answer`,
      why: unreachable.map(({ name, why }) => `${name}: ${why}`).join("; "),
      fix: "open the control port between the hosts (TCP 7470), or bring them up",
    };
  }
  if (reachable === 0) return undefined;
  return ok("servers", `${reachable} other${reachable === 1 ? "" : "s"} answer`);
}
