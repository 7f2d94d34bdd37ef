/** What `denim env` says to set, set: Debian's Docker, Podman, LXC and CNI plugins take it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { type Finished, runProgram } from "../../src/cli/lab/ip.ts";
import { temporaryFolder } from "../support/folders.ts";
import { onNode } from "../support/lab.ts";
import { cannotSandbox, inSandbox } from "../support/sandbox.ts";

const SUBNET_ENV = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\n" +
  "FLANNEL_IPV6_NETWORK=fd00:5::/48\nFLANNEL_IPV6_SUBNET=fd00:5:0:3::1/64\n" +
  "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";

interface Step {
  readonly run: string;
  readonly file: string;
  readonly text: string;
}

function folderOf(t: Test): string {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, "subnet.env"), SUBNET_ENV);
  return folder;
}

async function denim(folder: string, line: string): Promise<string> {
  const [runtime, ...rest] = onNode as [string, ...string[]];
  const words = [...rest, ...line.replaceAll("FOLDER", folder).split(" ")];
  const { status, out, err } = await runProgram(runtime, words);
  if (status !== 0) throw new Error(`denim ${line}: ${err}`);
  return out;
}

async function stepsOf(folder: string, runtime: string, form: string): Promise<readonly Step[]> {
  const line = `env ${runtime} --form ${form} --subnet-file FOLDER/subnet.env --json`;
  return JSON.parse(await denim(folder, line)).forms[0].steps;
}

function outOf({ status, out, err }: Finished): string {
  if (status === 0) return out;
  throw new Error(`The script ended with ${status}:\n${out}\n${err}`);
}

/** dockerd with places of its own, and Docker's client that asks it. */
const DOCKER = {
  start: (folder: string, options: string) =>
    `mkdir -p /run/docker-test
export DOCKER_HOST=unix:///run/docker-test/sock
dockerd --data-root ${folder}/data --exec-root /run/docker-test/exec --pidfile /run/docker-test/pid \
  -H $DOCKER_HOST ${options} >${folder}/log 2>&1 &
dockerd=$!
until docker version >/dev/null 2>&1; do kill -0 $dockerd || { tail ${folder}/log; exit 1; }; sleep 0.1; done
`,
  stop: "kill $dockerd; wait $dockerd\n",
  skip: cannotSandbox("/usr/sbin/dockerd", "docker.io"),
};

interface DockerNetwork {
  readonly EnableIPv6: boolean;
  readonly IPAM: { readonly Config: readonly { Subnet: string; Gateway?: string }[] };
  readonly Options: Readonly<Record<string, string>>;
}

/** What Docker says of a network, on the script's last line. */
function inspected(finished: Finished): DockerNetwork {
  return JSON.parse(outOf(finished).trimEnd().split("\n").at(-1)!);
}

t.test("Docker makes a network of its own", {
  skip: DOCKER.skip,
  timeout: 600_000,
}, async (t) => {
  const folder = folderOf(t);
  const [create] = await stepsOf(folder, "docker", "network");
  const script = `${DOCKER.start(folder, "")}${create!.run}
ip -br addr show type bridge
docker network inspect -f '{{json .}}' denim
${DOCKER.stop}`;
  const finished = await inSandbox(script);
  const { EnableIPv6, IPAM, Options } = inspected(finished);
  t.same(IPAM.Config, [
    { Subnet: "10.244.3.0/24", Gateway: "10.244.3.1" },
    { Subnet: "fd00:5:0:3::/64", Gateway: "fd00:5:0:3::1" },
  ]);
  t.same([EnableIPv6, Options], [true, {
    "com.docker.network.bridge.enable_ip_masquerade": "false",
    "com.docker.network.driver.mtu": "1450",
  }]);
  t.match(finished.out, /^docker0 +DOWN +172\.17\.0\.1\/16 *$/m, "as it was");
  t.match(finished.out, /^br-[0-9a-f]+ +DOWN +10\.244\.3\.1\/24 fd00:5:0:3::1\/64/m);
});

const OWN_BRIDGE = [["10.244.3.0/24", "10.244.3.1"], ["fd00:5:0:3::/64", undefined]];

for (const form of ["options", "daemon.json"]) {
  t.test(`docker0 is in the subnet, by ${form}`, {
    skip: DOCKER.skip,
    timeout: 600_000,
  }, async (t) => {
    const folder = folderOf(t);
    let start: string;
    if (form === "options") {
      await denim(folder, "mk-docker-opts -f FOLDER/subnet.env -d FOLDER/docker");
      start = `. ${folder}/docker\n${DOCKER.start(folder, "$DOCKER_OPTS")}`;
    } else {
      const file = join(folder, "daemon.json");
      writeFileSync(file, '{"log-level": "warn"}');
      await denim(
        folder,
        "env docker --form daemon.json --write --subnet-file FOLDER/subnet.env " +
          `--daemon-json ${file}`,
      );
      start = DOCKER.start(folder, `--config-file ${file}`);
    }
    const finished = await inSandbox(
      `${start}ip -br addr show docker0
docker network inspect -f '{{json .}}' bridge
${DOCKER.stop}`,
    );
    const { IPAM, Options } = inspected(finished);
    t.same(IPAM.Config.map(({ Subnet, Gateway }) => [Subnet, Gateway]), OWN_BRIDGE);
    t.equal(Options["com.docker.network.driver.mtu"], "1450");
    t.equal(Options["com.docker.network.bridge.enable_ip_masquerade"], "false");
    t.match(finished.out, /^docker0 +DOWN +10\.244\.3\.1\/24 fd00:5:0:3::1\/64/m);
  });
}

t.test("Podman makes a network of its own", {
  skip: cannotSandbox("/usr/bin/podman", "podman"),
  timeout: 600_000,
}, async (t) => {
  const folder = folderOf(t);
  const [create] = await stepsOf(folder, "podman", "network");
  const places = `--root ${folder}/root --runroot /run/podman --network-config-dir ${folder}/nets`;
  const script = `podman() {
  command podman ${places} --storage-driver vfs --cgroup-manager cgroupfs "$@"
}
${create!.run}
podman network inspect denim`;
  const out = outOf(await inSandbox(script));
  const [network] = JSON.parse(out.slice(out.indexOf("[")));
  t.same(network.subnets, [
    { subnet: "10.244.3.0/24", gateway: "10.244.3.1" },
    { subnet: "fd00:5:0:3::/64", gateway: "fd00:5:0:3::1" },
  ]);
  t.same([network.ipv6_enabled, network.options], [true, { mtu: "1450" }]);
});

t.test("lxc-net has its bridge in the subnet", {
  skip: cannotSandbox("/usr/libexec/lxc/lxc-net", "lxc") ||
    cannotSandbox("/usr/sbin/dnsmasq", "dnsmasq-base"),
  timeout: 600_000,
}, async (t) => {
  const folder = folderOf(t);
  const [file] = await stepsOf(folder, "lxc", "lxc-net");
  writeFileSync(join(folder, "lxc-net"), file!.text);
  const out = outOf(
    await inSandbox(`cp ${folder}/lxc-net ${file!.file}
/usr/libexec/lxc/lxc-net start
ip -br addr show lxcbr0
nft list ruleset
ps ax | grep -o 'dhcp-range [^ ]*'
/usr/libexec/lxc/lxc-net stop`),
  );
  t.match(out, /^lxcbr0 +\w+ +10\.244\.3\.1\/24 fd00:5:0:3::1\/64/m);
  t.match(out, /^dhcp-range 10\.244\.3\.2,10\.244\.3\.254$/m);
  t.match(out, /10\.244\.0\.0\/16 .*10\.244\.0\.0\/16 .*masquerade/);
});

t.test("the plugins that Nomad runs give out addresses of the subnet", {
  skip: cannotSandbox("/usr/lib/cni/bridge", "containernetworking-plugins"),
  timeout: 600_000,
}, async (t) => {
  const folder = folderOf(t);
  const [file] = await stepsOf(folder, "nomad", "cni");
  const { name, cniVersion, plugins } = JSON.parse(file!.text);
  t.same(plugins.map(({ type }: { type: string }) => type), ["loopback", "bridge", "portmap"]);
  const bridge = { ...plugins[1], name, cniVersion };
  bridge.ipam.dataDir = join(folder, "leases");
  writeFileSync(join(folder, "bridge.json"), JSON.stringify(bridge));
  const out = outOf(
    await inSandbox(`ip netns add task
export CNI_COMMAND=ADD CNI_CONTAINERID=task CNI_NETNS=/run/netns/task CNI_IFNAME=eth0
export CNI_PATH=/usr/lib/cni
/usr/lib/cni/bridge <${folder}/bridge.json >&2
ip -br addr show nomad-denim
ip -n task addr show eth0
ip -n task route
iptables -t nat -S`),
  );
  t.match(out, /^nomad-denim +UP +10\.244\.3\.1\/24 fd00:5:0:3::1\/64/m);
  t.match(out, /mtu 1450 [^]*inet 10\.244\.3\.2\/24 [^]*inet6 fd00:5:0:3::2\/64/);
  t.match(out, /^default via 10\.244\.3\.1 dev eth0/m);
  t.notOk(out.includes("MASQUERADE"), out);
});
