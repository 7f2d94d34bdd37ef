/** What a daemon that refuses leaves behind: nothing, on its host and in the cluster. */
import { readdirSync } from "node:fs";
import type { Host } from "../../src/cli/lab/host.ts";
import { ip } from "../../src/cli/lab/ip.ts";
import { onNode, runInside, type Said } from "./lab.ts";

/** Everything that a daemon may have changed on its host. */
async function traces(host: Host): Promise<unknown> {
  return {
    files: readdirSync(host.folder, { recursive: true }).sort(),
    routes: await ip(`-n ${host.namespace} route show`),
    links: await linksOf(host),
  };
}

/** Not whether they have a carrier: the kernel tells of that when it likes. */
async function linksOf({ namespace }: Host): Promise<unknown> {
  const links = JSON.parse(await ip(`-n ${namespace} -j link show`)) as {
    readonly ifname: string;
    readonly address: string;
    readonly mtu: number;
  }[];
  return links.map(({ ifname, address, mtu }) => [ifname, address, mtu]);
}

/** What a cluster knows, without what changes by itself. */
export async function knownOf(host: Host): Promise<unknown> {
  const items = async <Item>(path: string) =>
    (await host.get(`${path}?consistency=linearizable`) as { items: Item[] }).items;
  const leases = await items<{ subnet: string }>("/v1/leases");
  const nodes = await items<{ name: string }>("/v1/nodes");
  return [leases.map(({ subnet }) => subnet), nodes.map(({ name }) => name)];
}

interface Asserting {
  same(found: unknown, wanted: unknown, message: string): unknown;
}

/** Runs a daemon that must refuse, and compares the host before and after. */
export async function refused(
  t: Asserting,
  host: Host,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
  program = onNode,
): Promise<Said & { readonly code: string | undefined }> {
  const before = await traces(host);
  const said = await runInside(host, words, env, program);
  t.same(await traces(host), before, `nothing is left of: ${words.join(" ")}`);
  return { ...said, code: /^ {2}code {2}(.*)$/m.exec(said.err)?.[1] };
}
