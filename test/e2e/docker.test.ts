/** Real dockerd in leased subnets: containers of two hosts, with nothing between but routes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { runProgram } from "../../src/cli/lab/ip.ts";
import { cannotDocker, Dockerd, IMAGE } from "../support/dockerd.ts";
import {
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  onNode,
  restart,
  untilReady,
  untilRouted,
} from "../support/lab.ts";
import { inside } from "../support/two-hosts.ts";

/** What dockerd is told, as the drop-in of `denim install --docker` gets it. */
async function dockerOptions(host: Host): Promise<string[]> {
  const path = join(host.folder, "docker.env");
  const [runtime, ...words] = onNode as [string, ...string[]];
  const more = ["mk-docker-opts", "-c", "-f", host.subnetFile, "-d", path];
  const { status, err } = await runProgram(runtime, [...words, ...more]);
  if (status !== 0) throw new Error(err);
  return /^DOCKER_OPTS="(.*)"$/m.exec(readFileSync(path, "utf8"))![1]!.trim().split(" ");
}

/** Starts a container and returns its address. */
async function idle(dockerd: Dockerd): Promise<string> {
  await dockerd.importBusybox();
  await dockerd.runIdle("idle");
  return await dockerd.docker("inspect --format {{.NetworkSettings.IPAddress}} idle");
}

async function inContainer(dockerd: Dockerd, command: string): Promise<string> {
  return await dockerd.docker(`exec idle /bin/busybox ${command}`);
}

t.test("containers of two hosts see each other as they are", {
  skip: cannotDocker,
  timeout: 600_000,
}, async (t) => {
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a"), await lab.addHost("b")];
  await found(a, onNode);
  await joinBy(b, onNode, a, await makeToken(a));
  await untilRouted([a, b]);
  const options = await dockerOptions(a);
  t.same(options, ["--bip=10.244.1.1/24", "--ip-masq=false", "--mtu=1500"]);
  await using stack = new AsyncDisposableStack();
  const [atA, atB] = [
    stack.adopt(await Dockerd.start(a, options), (dockerd) => dockerd.stop()),
    stack.adopt(await Dockerd.start(b, await dockerOptions(b)), (dockerd) => dockerd.stop()),
  ];
  const config = await atB.docker("network inspect bridge");
  t.same(JSON.parse(config)[0].IPAM.Config, [{ Subnet: "10.244.2.0/24", Gateway: "10.244.2.1" }]);
  const [one, two] = [await idle(atA), await idle(atB)];
  t.same([one, two], ["10.244.1.2", "10.244.2.2"]);

  // As dockerd itself does where nobody had turned on forwarding before it.
  for (const host of [a, b]) await inside(host, ["iptables", "-P", "FORWARD", "DROP"]);
  const pings = async () => await inContainer(atA, `ping -c 1 -w 10 ${two}`);
  await eventually(
    "Denim's rules are in Docker's chain",
    async () =>
      /-j DENIM-FWD/.test(await inside(a, ["iptables", "-S", "DOCKER-USER"])) || undefined,
  );
  t.match(await pings(), /1 packets received/);
  const hops = await inContainer(atA, `traceroute -n -w 2 -q 1 -m 5 ${two}`);
  const seen = [...hops.matchAll(/^ *\d+ +(\S+)/gm)].map((match) => match[1]);
  t.same(seen, ["10.244.1.1", b.address, two], "bridge, host, container");
  t.match(await inContainer(atB, `ping -c 1 -w 10 ${one}`), /1 packets received/);

  for (const host of [a, b]) await host.daemon!.stop("SIGKILL");
  t.match(await pings(), /1 packets received/, "with no Denim at all");
  for (const host of [a, b]) await restart(host, onNode);
  await untilReady([a, b]);
  t.match(await pings(), /1 packets received/);
  for (const dockerd of [atA, atB]) t.match(await dockerd.docker("ps"), new RegExp(IMAGE));
});
