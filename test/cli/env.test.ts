/** What `denim env` says to set, and what it writes when it is told to. */
import { readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { run } from "../../src/cli/program.ts";
import { temporaryFolder } from "../support/folders.ts";

const V4 = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\n";
const V6 = "FLANNEL_IPV6_NETWORK=fd00:5::/48\nFLANNEL_IPV6_SUBNET=fd00:5:0:3::1/64\n";
const REST = "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";

interface Step {
  readonly run?: string;
  readonly file?: string;
  readonly text?: string;
}

class Machine {
  readonly folder: string;

  constructor(t: Test, subnetEnv: string | undefined = V4 + REST) {
    this.folder = temporaryFolder(t);
    if (subnetEnv !== "") writeFileSync(this.subnetFile, subnetEnv);
  }

  get subnetFile(): string {
    return join(this.folder, "subnet.env");
  }

  get daemonJson(): string {
    return join(this.folder, "daemon.json");
  }

  async env(line: string) {
    let [out, err] = ["", ""];
    const io = {
      out: (text: string) => void (out += text),
      err: (text: string) => void (err += text),
      ...{ widthMax: undefined, env: {} },
    };
    const docker = line.startsWith("docker") ? ["--daemon-json", this.daemonJson] : [];
    const words = ["env", ...line.split(" "), "--subnet-file", this.subnetFile, ...docker];
    const status = await run(words, { io, version: "0", backends: [] });
    return { status, out, err };
  }

  /** The steps of each form. */
  async forms(line: string): Promise<Record<string, readonly Step[]>> {
    const { out, err } = await this.env(`${line} --json`);
    if (out === "") throw new Error(err);
    const { forms } = JSON.parse(out) as { forms: readonly { name: string; steps: Step[] }[] };
    return Object.fromEntries(forms.map(({ name, steps }) => [name, steps]));
  }
}

/** A command on one line. */
function flat({ run }: Step): string {
  return run!.replace(/ \\\n */g, " ");
}

t.test("Docker's own network comes first, and leaves docker0 alone", async (t) => {
  const machine = new Machine(t);
  const forms = await machine.forms("docker");
  t.same(Object.keys(forms), ["network", "options", "daemon.json"]);
  t.equal(
    flat(forms["network"]![0]!),
    "docker network create --subnet 10.244.3.0/24 --gateway 10.244.3.1 " +
      "--opt com.docker.network.driver.mtu=1450 " +
      "--opt com.docker.network.bridge.enable_ip_masquerade=false denim",
  );
  const { out } = await machine.env("docker");
  t.match(out, /^network: .*recommended[^]*nothing restarts; docker0[^]*\noptions: [^]*restarted/);
});

t.test("both families go along, or IPv6 alone", async (t) => {
  const both = await new Machine(t, V4 + V6 + REST).forms("docker --form network");
  t.match(
    flat(both["network"]![0]!),
    /--ipv6 --subnet 10\.244\.3\.0\/24 .* --subnet fd00:5:0:3::\/64 --gateway fd00:5:0:3::1 /,
  );
  const alone = new Machine(t, V6 + REST);
  t.match(flat((await alone.forms("podman"))["network"]![0]!), /create --ipv6 --subnet fd00/);
  t.match((await alone.env("docker --form network")).out, /adds an IPv4 subnet/);
  const lxc = (await alone.forms("lxc --form lxc-net"))["lxc-net"]![0]!.text!;
  t.notOk(lxc.includes("LXC_ADDR"), lxc);
  t.match(flat((await alone.forms("lxc"))["incus"]![0]!), /ipv4\.address=none/);
});

t.test("who masquerades is the other one", async (t) => {
  const off = new Machine(t, V4 + V6 + REST.replace("true", "false"));
  t.match(flat((await off.forms("docker"))["network"]![0]!), /enable_ip_masquerade=true/);
  t.match((await off.forms("docker"))["daemon.json"]![0]!.text!, /"ip-masq": true/);
  t.match((await off.forms("nomad"))["cni"]![0]!.text!, /"ipMasq": true/);
  t.match((await off.forms("lxc"))["lxc-net"]![0]!.text!, /LXC_IPV6_NAT="true"/);
  t.match(flat((await off.forms("lxc"))["incus"]![0]!), /ipv4\.nat=true .*ipv6\.nat=true/);
});

t.test("LXC's bridge masquerades only what leaves the flat network", async (t) => {
  const small = V4.replace("3.1/24", "3.17/28") + REST;
  const [file] = (await new Machine(t, small).forms("lxc"))["lxc-net"]!;
  t.equal(
    file!.text,
    `USE_LXC_BRIDGE="true"
LXC_ADDR="10.244.3.17"
LXC_NETMASK="255.255.255.240"
LXC_NETWORK="10.244.0.0/16"
LXC_DHCP_RANGE="10.244.3.18,10.244.3.30"
LXC_DHCP_MAX="13"
`,
  );
});

t.test("the merged daemon.json is shown, and written only when that is said", async (t) => {
  const machine = new Machine(t);
  writeFileSync(machine.daemonJson, '{\n  "debug": true\n}\n', { mode: 0o600 });
  const before = readdirSync(machine.folder);
  const merged = '{\n  "debug": true,\n  "bip": "10.244.3.1/24",\n  "mtu": 1450,\n' +
    '  "ip-masq": false\n}\n';
  const forms = await machine.forms("docker --form daemon.json");
  t.equal(forms["daemon.json"]![0]!.text, merged);
  t.equal(readFileSync(machine.daemonJson, "utf8"), '{\n  "debug": true\n}\n');

  const written = await machine.env("docker --form daemon.json --write");
  t.same([written.status, written.err], [0, ""]);
  t.match(written.out, /has bip, mtu, ip-masq; .*systemctl restart docker\n$/);
  t.equal(readFileSync(machine.daemonJson, "utf8"), merged);
  t.equal(statSync(machine.daemonJson).mode & 0o777, 0o600);
  t.same(readdirSync(machine.folder), before);
  t.match((await machine.env("docker --form daemon.json --write")).out, /says all of it already/);
  t.same((await machine.forms("docker"))["daemon.json"], []);
});

t.test("a link to daemon.json stays one", async (t) => {
  const machine = new Machine(t);
  writeFileSync(join(machine.folder, "real"), "{}");
  symlinkSync("real", machine.daemonJson);
  t.equal((await machine.env("docker --form daemon.json --write")).status, 0);
  t.ok(lstatSync(machine.daemonJson).isSymbolicLink());
  t.match(readFileSync(join(machine.folder, "real"), "utf8"), /bip/);
});

t.test("a daemon.json that cannot be merged is no obstacle to the other forms", async (t) => {
  const machine = new Machine(t);
  writeFileSync(machine.daemonJson, '{"bridge": "br0"}');
  const all = await machine.env("docker");
  t.equal(all.status, 0);
  t.match(all.out, /network: [^]*daemon\.json: [^]*not with .*as it is\n.*another bridge/);
  for (const line of ["docker --form daemon.json", "docker --form daemon.json --write"]) {
    const { status, out, err } = await machine.env(line);
    t.same([status, out], [2, ""], line);
    t.match(err, /CONFIG_INVALID/);
  }
  t.equal(readFileSync(machine.daemonJson, "utf8"), '{"bridge": "br0"}');
});

t.test("without a subnet nothing is said, and what is mistyped is refused", async (t) => {
  const none = await new Machine(t, "").env("podman");
  t.same([none.status, none.out], [3, ""]);
  const machine = new Machine(t);
  for (const line of ["docker --write", "docker --form network --write", "docker --form nope"]) {
    t.equal((await machine.env(line)).status, 2, line);
  }
  t.equal((await machine.env("rkt")).status, 2);
});
