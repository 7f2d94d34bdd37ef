/**
 * 60 agents join at the same moment, in one process with kernels in memory, by way of three real
 * servers. Subnets are given in `apply`, one after the other, so no two of them can want the same:
 * flannel on etcd v3 loses 4 to 12 of 60 that start together (measured).
 */
import t from "tap";
import { overlaps, parsePrefix } from "../../src/ip/prefix.ts";
import { Fleet, type FleetMember, routesOf, subnetsOf } from "../support/fleet.ts";
import { cannotLab, eventually, makeLab, makeToken, ownRoutes } from "../support/lab.ts";
import { enterNamed } from "../support/namespace.ts";
import { leasesOf, settledViews, threeServers, wantedOf } from "../support/servers.ts";

const COUNT = 60;
const TIMEOUT_MS = 600_000;

/** 192.0.2.100 and up: on the servers' link, as far as anybody can tell. */
function member(_: unknown, i: number): FleetMember {
  return { name: `agent-${i}`, address: `192.0.2.${100 + i}`, length: 24 };
}

t.test(`${COUNT} agents join at the same moment`, {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const lab = await makeLab(t);
  const servers = await threeServers(lab);
  const place = await lab.addHost("fleet");
  const token = await makeToken(servers[0], COUNT, ["--role", "agent"]);
  // The lab ends whatever is in its namespaces, so this process is there no longer than it has to.
  const leave = enterNamed(place.namespace);
  try {
    await using fleet = new Fleet({ server: servers[0].address, token });
    const failures = await fleet.join(Array.from({ length: COUNT }, member));
    t.same(failures.map(String), [], "nobody fails");

    const leases = await leasesOf(servers[1]);
    t.equal(leases.length, COUNT + servers.length);
    const prefixes = leases.map(({ subnet }) => parsePrefix(subnet));
    const meet = prefixes.filter((a, i) => prefixes.slice(i + 1).some((b) => overlaps(a, b)));
    t.equal(meet.length, 0, "no two subnets overlap");

    for (const agent of fleet.agents) {
      const lines = wantedOf(leases, agent.address);
      t.equal(lines.length, COUNT + servers.length - 1);
      await eventually(`${agent.name} has every route`, async () => {
        return String(routesOf(agent)) === String(lines) ? true : undefined;
      });
      const [own] = leases.filter(({ publicIp }) => publicIp === agent.address);
      t.same(subnetsOf(agent), [own?.subnet]);
    }
    for (const server of servers) {
      const lines = wantedOf(leases, server.address).map((line) => `${line} dev eth0`);
      await eventually(`server ${server.name} has every route`, async () => {
        return String(await ownRoutes(server)) === String(lines) ? true : undefined;
      });
    }
    const digests = (await settledViews(servers)).map(({ digest }) => digest);
    t.same(digests, Array(servers.length).fill(digests[0]), "the servers have the same state");
    for (const { name, node } of fleet.agents) {
      await eventually(`${name} has a copy of it`, async () => {
        return node.control.digest === digests[0] ? true : undefined;
      });
    }
  } finally {
    leave();
  }
});
