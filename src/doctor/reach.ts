import { type Address, equalAddress, formatAddress } from "../ip/address.ts";
import { containsAddress, formatPrefix, type Prefix, sizeOf } from "../ip/prefix.ts";
import type { EchoAnswer, EchoRequest } from "../kernel/echo.ts";
import { type Endpoint, formatEndpoint } from "../transport/address.ts";
import { type Finding, ok } from "./finding.ts";

/** Who is tried, and from where. */
export interface Trial {
  readonly name: string;
  /** Of the peer. */
  readonly subnet: Prefix;
  readonly publicIp: Address;
  readonly own: { readonly subnet: Prefix; readonly address: Address };
  /** How the route to the peer's subnet stands here. */
  readonly route: string | undefined;
  /** What that route goes by, where it is a tunnel. */
  readonly tunnel?: Tunnel;
}

export interface Tunnel {
  readonly device: string;
  /** UDP, of the outer packets. */
  readonly port: number | undefined;
  /** Where the peer itself listens, by its address within the tunnel. */
  readonly end: Endpoint;
}

/** Asks for an answer, and waits for it. Injected: the real one is `kernel/echo.ts`. */
export type Ask = (request: EchoRequest) => Promise<EchoAnswer | undefined>;
/** Whether the link layer knows the address of a neighbour; `undefined` where nobody can say. */
export type IsNeighbour = (address: Address) => boolean | undefined;
/** Whether a connection is answered there at all, be it by a refusal. */
export type Connects = (endpoint: Endpoint) => Promise<boolean>;

const FAR = 64;

/**
 * Whether packets between containers would arrive, tried without any container: a packet as one of
 * ours would send it, to an address that one of theirs could have, and with one hop to live. The
 * peer's host has to refuse to pass it on, and to tell a container of ours so: then both ways work.
 */
export async function tryReach(
  trial: Trial,
  any: Ask,
  isNeighbour: IsNeighbour,
  connects: Connects,
): Promise<Finding> {
  const { name, own, publicIp, tunnel } = trial;
  // Where nobody on the link answers, this host's own kernel does in the end.
  const ask: Ask = async (request) => {
    const answer = await any(request);
    return answer !== undefined && equalAddress(answer.by, own.address) ? undefined : answer;
  };
  const check = `reach-${name}${trial.subnet.family === 6 ? "-6" : ""}`;
  if (trial.route !== "ok") {
    return {
      ...{ check, result: "failed", found: `no route to ${formatPrefix(trial.subnet)}` },
      why: trial.route === undefined ? "it is not wanted here" : `it is ${trial.route}`,
      fix: "denim route",
    };
  }
  const to = aContainer(trial.subnet);
  const answer = await ask({ from: aContainer(own.subnet), to, hops: 1 });
  if (
    answer !== undefined && !equalAddress(answer.by, publicIp) &&
    !containsAddress(trial.subnet, answer.by)
  ) {
    return {
      ...{ check, result: "note", found: `${formatAddress(answer.by)} answers for ${name}` },
      why: `the next hop is not ${formatAddress(publicIp)}: a machine is in between`,
      fix: "host-gw needs peers on one link; across routers use vxlan",
    };
  }
  if (answer !== undefined && tunnel !== undefined && !await connects(tunnel.end)) {
    return { check, result: "warning", ...spoiled(name, tunnel) };
  }
  if (answer !== undefined) return ok(check, `${name} passes our containers' packets on`);
  return { check, result: "failed", ...await causeOf(trial, ask, isNeighbour) };
}

type Cause = Required<Pick<Finding, "found" | "why" | "fix">>;

/**
 * The link of a tunnel leaves checksums of TCP and UDP to the network card, and some cards, and some
 * kernels that masquerade, get them wrong. Pings have theirs made in software.
 */
function spoiled(name: string, { device, end }: Tunnel): Cause {
  return {
    found: `pings through ${device} arrive at ${name}, and connections do not`,
    why: `checksums are spoiled where ${device} leaves them to a network card; or a firewall of ` +
      `${name} drops what comes to ${formatEndpoint(end)} by it`,
    fix: `on both hosts: ethtool -K ${device} tx-checksum-ip-generic off`,
  };
}

/** Why nothing came back: what still works says what does not. */
async function causeOf(trial: Trial, ask: Ask, isNeighbour: IsNeighbour): Promise<Cause> {
  const { name, own, publicIp, subnet, tunnel } = trial;
  const text = formatAddress(publicIp);
  const found = `the route to ${formatPrefix(subnet)} is in, and nothing arrives at ${name}`;
  if (await ask({ from: own.address, to: aContainer(subnet), hops: 1 }) !== undefined) {
    return {
      found: `${name} answers this host, but not its containers`,
      why: `packets from ${formatPrefix(own.subnet)} are dropped on the way, or ${name} has no ` +
        "route back",
      fix: "in a cloud: turn off the check of source addresses, or allow the container network " +
        `there; else look at denim route on ${name}`,
    };
  }
  const isUp = await ask({ from: own.address, to: publicIp, hops: FAR }) !== undefined;
  if (isUp && tunnel !== undefined) {
    const port = `UDP ${tunnel.port ?? "of the tunnel"}`;
    return {
      found,
      why: `${text} answers for itself, and nothing comes through ${tunnel.device}: a firewall ` +
        `drops ${port}, or forwarding is off there`,
      fix: `let ${port} in on both hosts, and in a cloud by its rules; denim doctor on ${name}`,
    };
  }
  if (isUp) {
    return {
      found,
      why: `${text} answers for itself, but passes nothing on: forwarding is off there, or the ` +
        "network drops packets for addresses that are not the machine's own",
      fix: `denim doctor on ${name}; in a cloud: turn off the check of destination addresses`,
    };
  }
  if (isNeighbour(publicIp) === false) {
    return {
      found,
      why: `nobody on this link answers for ${text}: the machine is down, or on another link`,
      fix: `look whether ${name} is up; without a tunnel all hosts have to be on one link`,
    };
  }
  return {
    found,
    why: `${text} does not answer at all: a firewall drops ICMP, or the machine is down`,
    fix: `try it by hand: ping ${text}; allow ICMP between the hosts`,
  };
}

/** An address that a container can have: not the network's, and not the bridge's. */
function aContainer(subnet: Prefix): Address {
  const { family, base } = subnet;
  return { family, value: base + (sizeOf(subnet) > 2n ? 2n : 0n) };
}
