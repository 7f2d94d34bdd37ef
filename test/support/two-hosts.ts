/**
 * Two hosts with a container each, and somebody outside, on one link; routes between the containers
 * made by hand. Both families. Nothing runs there: tests send and receive from where they like.
 */
import { ipBatch, runProgram } from "../../src/cli/lab/ip.ts";
import { makeLab } from "./lab.ts";
import type { Test } from "./tap.ts";

/** A network namespace with an address of each family. */
export interface End {
  readonly namespace: string;
  readonly four: string;
  readonly six: string;
}

export interface TwoHosts {
  /** The hosts, with a second address each, that nobody outside has a route to. */
  readonly a: End & { readonly second: string };
  readonly b: End & { readonly second: string };
  readonly inA: End;
  readonly inB: End;
  readonly outside: End;
}

export async function makeTwoHosts(t: Test): Promise<TwoHosts> {
  const lab = await makeLab(t);
  for (const name of ["a", "b", "world"]) await lab.addHost(name);
  const [a, b, world] = lab.hosts.map(({ namespace, address }, i) => (
    { namespace, four: address, six: `fd00:2::${i + 1}`, second: `198.51.100.${i + 1}` }
  ));
  for (const host of [a!, b!, world!]) {
    await withoutDad(host, ["default", "eth0"]);
    await ipBatch([
      `addr add ${host.six}/64 dev eth0 nodad`,
      `addr add ${host.second}/32 dev lo`,
    ], host.namespace);
    await inside(host, ["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"]);
  }
  const [inA, inB] = [await addContainer(a!, 1), await addContainer(b!, 2)];
  await ipBatch([`route add 10.244.2.0/24 via ${b!.four}`], a!.namespace);
  await ipBatch([`route add 10.244.1.0/24 via ${a!.four}`], b!.namespace);
  await ipBatch([`route add fd00:244:0:2::/64 via ${b!.six}`], a!.namespace);
  await ipBatch([`route add fd00:244:0:1::/64 via ${a!.six}`], b!.namespace);
  return { a: a!, b: b!, inA, inB, outside: world! };
}

async function addContainer(host: End, number: number): Promise<End> {
  const namespace = `${host.namespace}-container`;
  const [four, six] = [`10.244.${number}`, `fd00:244:0:${number}:`];
  await ipBatch([`netns add ${namespace}`]);
  await withoutDad({ namespace }, ["default"]);
  await ipBatch([
    `link add name c0 type veth peer name eth0 netns ${namespace}`,
    "link add name docker0 type bridge",
    "link set c0 master docker0 up",
    "link set docker0 up",
    `addr add ${four}.1/24 dev docker0`,
    `addr add ${six}:1/64 dev docker0 nodad`,
  ], host.namespace);
  await ipBatch([
    "link set lo up",
    "link set eth0 up",
    `addr add ${four}.2/24 dev eth0`,
    `addr add ${six}:2/64 dev eth0 nodad`,
    `route add default via ${four}.1`,
    `route add ::/0 via ${six}:1`,
  ], namespace);
  return { namespace, four: `${four}.2`, six: `${six}:2` };
}

/** Whom the kernel has not yet seen to be alone with its link's address finds no neighbour (RFC 4862 §5.4). */
async function withoutDad(end: Pick<End, "namespace">, links: readonly string[]): Promise<void> {
  for (const link of links) {
    await inside(end, ["sh", "-c", `echo 0 > /proc/sys/net/ipv6/conf/${link}/accept_dad`]);
  }
}

/** What a program prints in a namespace. */
export async function inside(
  { namespace }: Pick<End, "namespace">,
  words: readonly string[],
  input = "",
): Promise<string> {
  const { status, out, err } = await runProgram("ip", ["netns", "exec", namespace, ...words], {
    input,
  });
  if (status === 0) return out;
  throw new Error(`${words.join(" ")} ended with ${status}: ${err}`);
}
