/**
 * The walk of the Kubernetes handbook's page on flannel, heading by heading, with Denim in
 * flannel's place and without etcd: three hosts with three interfaces each, Debian's dockerd,
 * etcdctl and traceroute. Each heading prints what the page has and what was seen here.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { NodeView } from "../../src/api/service.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import { cannotDocker, Dockerd } from "../support/dockerd.ts";
import { addHandbookHosts, type HandbookHost } from "../support/handbook-hosts.ts";
import {
  CONFIG,
  DOCKER_OPTIONS,
  PODS,
  PREFIX,
  ROUTES,
  show,
  SUBNET_ENV,
  sysconfig,
  TRACE,
} from "../support/handbook-page.ts";
import { handbookRules, withoutDenim } from "../support/handbook-rules.ts";
import {
  eventually,
  makeLab,
  makeToken,
  onNode,
  singleBinary,
  untilReady,
} from "../support/lab.ts";
import { root } from "../support/root.ts";
import { inside } from "../support/two-hosts.ts";

const TOOLS = ["/usr/bin/etcdctl", "/usr/sbin/traceroute"];
const skip = cannotDocker ||
  (TOOLS.every((path) => existsSync(path)) ? false : "needs Debian's etcd-client and traceroute");

/** What the page's nodes have in iptables before Docker comes. */
const KUBE_RULES = handbookRules({ to: "172.33.96.3", port: 53 }).split("\n")
  .filter((line) => !/docker/i.test(line)).join("\n");

/** The Denim after this one. */
const [runtime, main] = onNode as [string, string];
const onNext: Program = [runtime, "--import", join(root, "test/support/next-denim.ts"), main];

/** The unit's `ExecStart`, with its environment file read as systemd reads it. */
const EXEC_START = 'set -a; . "$0"; set +a; exec "$@" $FLANNEL_OPTIONS';

/** The kernel's answer to an echo request of Debian's busybox, by which containers are tried. */
async function pings(from: Dockerd, container: string, to: string): Promise<boolean> {
  const words = `exec ${container} /bin/busybox ping -c 1 -W 5 ${to}`;
  return (await from.docker(words)).includes("1 packets received");
}

/** What flanneld.service does on a host. */
async function startUnit({ host, control }: HandbookHost, denim: Program): Promise<void> {
  const file = join(host.folder, "sysconfig");
  writeFileSync(file, sysconfig(control));
  await host.startDaemon(["sh", "-ec", EXEC_START, file, ...denim], ["flanneld"]);
  await untilReady([host]);
  const words = ["mk-docker-opts", "-k", "DOCKER_NETWORK_OPTIONS"];
  const files = ["-f", host.subnetFile, "-d", join(host.folder, "docker.env")];
  await inside(host, [...denim, ...words, ...files]);
}

/** What docker.service does after it. */
async function startDocker(host: Host): Promise<Dockerd> {
  const text = readFileSync(join(host.folder, "docker.env"), "utf8");
  const options = /^DOCKER_NETWORK_OPTIONS="(.*)"$/m.exec(text)![1]!;
  return await Dockerd.start(host, options.trim().split(" "));
}

/** The page's deployment, as it stands when the walk begins. */
interface Deployment {
  readonly hosts: readonly [HandbookHost, HandbookHost, HandbookHost];
  readonly denim: Program;
  readonly dockers: readonly Dockerd[];
}

t.test("the handbook's page, heading by heading", { skip, timeout: 600_000 }, async (t) => {
  const lab = await makeLab(t);
  const denim = await singleBinary();
  const hosts = await addHandbookHosts(lab) as unknown as Deployment["hosts"];
  for (const { host } of hosts) await inside(host, ["iptables-restore"], KUBE_RULES);
  await makeCluster(hosts, denim);
  const dockers: Dockerd[] = [];
  // Not left to the lab: it would end the daemons of Docker, and leave their containers.
  try {
    for (const [i, { host }] of hosts.entries()) {
      const docker = await startDocker(host);
      dockers.push(docker);
      await docker.importBusybox();
      await docker.runIdle("first");
      if (i > 0) await docker.runIdle("second");
    }
    await walk(t, { hosts, denim, dockers });
  } finally {
    await Promise.all(dockers.map((docker) => docker.stop()));
  }
});

/** Instead of an etcd, and of writing the config into it; each host then runs its unit. */
async function makeCluster(hosts: Deployment["hosts"], denim: Program): Promise<void> {
  const [first, ...others] = hosts;
  const node1 = first.host;
  const common = ["--foreground", "--iface=eth2", "--no-ip-masq"];
  const init = ["init", "--network", CONFIG, ...common, `--advertise=${first.control}:7470`];
  await node1.startDaemon(denim, init);
  await untilReady([node1]);
  await node1.ask(denim, ["lease", "move", "node1", first.subnet, "--yes"]);
  await eventually("the page's subnet", async () => {
    return (await node1.subnetEnv())?.subnets[0] === "172.33.68.1/24" ? true : undefined;
  });
  await node1.daemon!.stop();
  await startUnit(first, denim);
  for (const other of others) {
    const token = await makeToken(node1, 1, ["--subnet", other.subnet]);
    const join = ["join", first.control, ...common, `--advertise=${other.control}:7470`];
    await other.host.startDaemon(denim, join, { DENIM_TOKEN: token });
    await untilReady([other.host]);
    await other.host.daemon!.stop();
    await startUnit(other, denim);
  }
}

async function walk(t: Test, { hosts, denim, dockers }: Deployment): Promise<void> {
  const node1 = hosts[0].host;
  const [docker1, docker2, docker3] = dockers as [Dockerd, Dockerd, Dockerd];
  const at = async (words: string) => (await inside(node1, words.split(" "))).trimEnd();

  await t.test("nodes and pods", async (t) => {
    // Who was away for long while it was set up is silent a little longer.
    const nodes = await eventually("everybody is heard", async () => {
      const { items } = await node1.ask(denim, ["node", "list"]) as { items: NodeView[] };
      return items.some(({ silent }) => silent)
        ? undefined
        : items.map(({ name }) => `${name} Ready`);
    });
    const names = ["node1", "node2", "node3"];
    show("kubectl get nodes", names.map((name) => `${name} Ready`), nodes);
    t.same(nodes, names.map((name) => `${name} Ready`));
    const pods: string[] = [];
    for (const docker of dockers) {
      for (const name of (await docker.docker("ps --format {{.Names}}")).split("\n").sort()) {
        const format = "{{.NetworkSettings.IPAddress}}";
        pods.push(await docker.docker(`inspect --format ${format} ${name}`));
      }
    }
    show("kubectl get pods", PODS, pods);
    t.same(pods, PODS);
  });

  await t.test("etcdctl ls, etcdctl get", async (t) => {
    const keys = hosts.map(({ subnet }) => `${PREFIX}/subnets/${subnet.replace("/", "-")}`);
    const listed = (await at(`env ETCDCTL_API=2 etcdctl ls ${PREFIX}/subnets`)).split("\n");
    show("etcdctl ls /kube-centos/network/subnets", keys, listed);
    t.same(listed.sort(), keys.sort());
    const config = await at(`env ETCDCTL_API=2 etcdctl get ${PREFIX}/config`);
    show("etcdctl get /kube-centos/network/config", [CONFIG], [config]);
    t.equal(config, CONFIG);
  });

  await t.test("Flannel: what the unit has made", async (t) => {
    const options = readFileSync(join(node1.folder, "docker.env"), "utf8");
    const page = DOCKER_OPTIONS.replace('" --', '"--').trim().split("\n");
    show("/run/flannel/docker", page, options.trim().split("\n"));
    t.equal(options, DOCKER_OPTIONS);
    const env = readFileSync(node1.subnetFile, "utf8");
    show("/run/flannel/subnet.env", SUBNET_ENV.trim().split("\n"), env.trim().split("\n"));
    t.equal(env, SUBNET_ENV);
  });

  await t.test("Docker: its options, interfaces, networks and containers", async (t) => {
    const words = readFileSync(`/proc/${docker1.pid}/cmdline`, "utf8").split("\0");
    const wanted = ["--bip=172.33.68.1/24", "--ip-masq=true", "--mtu=1500"];
    const told = words.filter((word) => /^--(bip|ip-masq|mtu)=/.test(word));
    show("systemctl status -l docker", wanted, told);
    t.same(told, wanted);

    const addresses = (await at("ip -4 -o addr")).split("\n")
      .map((line) => line.split(/\s+/)).map(([, device, , address]) => `${device} ${address}`);
    const page = ["lo 127.0.0.1/8", "eth0 10.0.2.15/24", "eth1 172.17.8.101/24"]
      .concat(["eth2 172.30.113.231/21", "docker0 172.33.68.1/24"]);
    show("ip addr", page, addresses);
    t.same(addresses.sort(), page.sort());

    const networks = (await docker1.docker("network ls --format {{.Name}}")).split("\n");
    show("docker network ls", ["bridge", "host", "none"], networks);
    t.same(networks.sort(), ["bridge", "host", "none"]);

    const [bridge] = JSON.parse(await docker1.docker("network inspect bridge"));
    const { Subnet, Gateway } = bridge.IPAM.Config[0];
    const held = Object.values(bridge.Containers as { IPv4Address: string }[]);
    const seen = [`${Gateway} in ${Subnet}`, ...held.map(({ IPv4Address }) => IPv4Address)];
    show("docker network inspect", ["172.33.68.1 in 172.33.68.1/24", "172.33.68.2/24"], seen);
    t.same(seen, ["172.33.68.1 in 172.33.68.0/24", "172.33.68.2/24"]);
    t.equal(bridge.Options["com.docker.network.driver.mtu"], "1500");

    const running = (await docker1.docker("ps --format {{.Names}}")).split("\n");
    show("docker ps", ["coredns-5984fb8cbb-sjqv9"], running);
    t.same(running, ["first"]);
  });

  await t.test("routes and the way to a container", async (t) => {
    const routes = (await at("ip -4 route show table main")).split("\n")
      .map((line) => line.replace(/ proto.*?(?= metric|$)/, "").trim());
    show("route -n", ROUTES, routes);
    t.same(routes.sort(), [...ROUTES].sort());
    const hops = (await at("traceroute -n 172.33.96.3")).split("\n").slice(1)
      .map((line) => line.trim().split(/\s+/)[1]!);
    show("traceroute 172.33.96.3", TRACE, hops);
    t.same(hops, TRACE);
    for (
      const [docker, name, to] of [
        [docker1, "first", PODS[4]!],
        [docker2, "second", PODS[0]!],
        [docker3, "first", PODS[2]!],
      ] as const
    ) t.ok(await pings(docker, name, to), `a container reaches ${to}`);
  });

  await t.test("iptables: everybody's rules are as they were", async (t) => {
    const saved = withoutDenim(await at("iptables-save"));
    const kept = KUBE_RULES.split("\n").filter((line) => line.startsWith("-A"));
    const here = kept.filter((line) => saved.includes(line));
    const count = [`${kept.length} rules of kube-proxy`];
    show("iptables -L", count, [`${here.length} rules of kube-proxy, and Docker's own`]);
    t.same(here, kept);
    t.ok(saved.includes("-A POSTROUTING -s 172.33.68.0/24 ! -o docker0 -j MASQUERADE"));
  });

  await t.test("Denim is stopped, started, upgraded: Docker and containers go on", async (t) => {
    const started = readFileSync(`/proc/${docker1.pid}/stat`, "utf8").split(" ")[21];
    for (const [program, what] of [[denim, "a restart"], [onNext, "an upgrade"]] as const) {
      await node1.daemon!.stop();
      t.ok(await pings(docker1, "first", PODS[4]!), `${what}: while it is down`);
      await startUnit(hosts[0], program);
      t.ok(await pings(docker3, "second", PODS[0]!), `${what}: and after`);
    }
    t.equal(readFileSync(`/proc/${docker1.pid}/stat`, "utf8").split(" ")[21], started);
    t.equal(readFileSync(node1.subnetFile, "utf8"), SUBNET_ENV);
  });
}
