/** What flannel's flags and variables mean to Denim. */
import t from "tap";
import { isDenimError } from "../../../src/base/errors.ts";
import { FLANNELD_FLAGS } from "../../../src/cli/flanneld/table.ts";
import { translate } from "../../../src/cli/flanneld/translate.ts";

const words = (line: string, env: Record<string, string> = {}) =>
  translate(line.split(" ").filter(Boolean), env).words;

function refusalOf(line: string, env: Record<string, string> = {}): string {
  try {
    return `taken: ${words(line, env).join(" ")}`;
  } catch (error) {
    if (!isDenimError(error, "USAGE")) throw error;
    return [error.message, error.why, error.fix].join("; ");
  }
}

t.test("the handbook's environment file is understood as it is", async (t) => {
  const { words, notes } = translate([], {
    FLANNEL_ETCD_ENDPOINTS: "http://172.17.8.101:2379",
    FLANNEL_ETCD_PREFIX: "/kube-centos/network",
    FLANNEL_OPTIONS: "-iface=eth2",
  });
  t.same(words, ["--iface=eth2", "--etcd-prefix=/kube-centos/network"]);
  t.same(notes, [
    "FLANNEL_ETCD_ENDPOINTS has no effect: Denim keeps its own store, and asks no etcd",
  ]);
});

t.test("its unit gives the options twice, and once is meant", async (t) => {
  t.same(words("-iface=eth2", { FLANNEL_OPTIONS: "-iface=eth2" }), ["--iface=eth2"]);
  t.same(words("-iface=eth2 -iface=eth2"), ["--iface=eth2"]);
});

t.test("every flag that has a meaning gets one of Denim's", async (t) => {
  const meanings: Record<string, readonly string[]> = {
    "-iface-regex=^e": ["--iface-regex=^e"],
    "-iface-can-reach=10.0.0.1": ["--iface-can-reach=10.0.0.1"],
    "-public-ip 192.0.2.1 -public-ipv6 fd00::1": [
      ...["--public-ip=192.0.2.1", "--public-ipv6=fd00::1"],
    ],
    "--subnet-file /run/x": ["--subnet-file=/run/x"],
    "-ip-masq": ["--ip-masq"],
    "-ip-masq=F": ["--no-ip-masq"],
    "-iptables-forward-rules": ["--forward-rules"],
    "-iptables-forward-rules=0": ["--no-forward-rules"],
    "-v=0": [],
    "-v=10": ["--log-level", "debug"],
    "-version": ["--version"],
    "-help": ["--help"],
    "-public-ip=": [],
  };
  for (const [line, wanted] of Object.entries(meanings)) t.same(words(line), wanted, line);
});

t.test("what is typed counts before the options, the package's names, flannel's names", async (t) => {
  const env = {
    FLANNELD_ETCD_PREFIX: "/d",
    FLANNEL_ETCD_PREFIX: "/c",
    FLANNEL_OPTIONS: "-etcd-prefix=/b",
  };
  t.same(words("-etcd-prefix=/a", env), ["--etcd-prefix=/a"]);
  t.same(words("", env), ["--etcd-prefix=/b"]);
  t.same(words("", { ...env, FLANNEL_OPTIONS: "" }), ["--etcd-prefix=/c"]);
  t.same(words("", { ...env, FLANNEL_OPTIONS: "", FLANNEL_ETCD_PREFIX: "" }), ["--etcd-prefix=/d"]);
  t.same(words("--name b", { FLANNEL_OPTIONS: "--name a" }), ["--name", "a", "--name", "b"]);
});

t.test("each flag has a variable, FLANNELD_ and its name", async (t) => {
  const env = { FLANNELD_IFACE: "eth2", FLANNELD_IP_MASQ: "true", FLANNELD_V: "2" };
  t.same(words("", env), ["--iface=eth2", "--ip-masq", "--log-level", "debug"]);
  t.match(refusalOf("", { FLANNELD_KUBE_SUBNET_MGR: "true" }), /FLANNELD_KUBE_SUBNET_MGR;/);
  t.match(refusalOf("", { FLANNEL_OPTIONS: "-kube-subnet-mgr" }), /FLANNEL_OPTIONS: -kube-sub/);
});

t.test("flannel's own default is never refused, and says nothing", async (t) => {
  for (const { name, type, fallback, treatment } of FLANNELD_FLAGS) {
    if (treatment.kind === "mapped" || (fallback === "" && type !== "switch")) continue;
    const { words, notes } = translate([`-${name}=${fallback}`], {});
    t.same([words, notes], [[], []], name);
  }
});

t.test("what Denim does not do is refused, with the way to do it", async (t) => {
  for (const { name, type, treatment } of FLANNELD_FLAGS) {
    if (treatment.kind !== "refused") continue;
    const value = { switch: "true", number: "1", text: "x", list: "x" }[type];
    const said = refusalOf(`-${name}=${value}`);
    const [why, fix] = [treatment.why, treatment.fix].map((text) => text.replaceAll("`", ""));
    t.equal(said, `Denim does not take -${name}; ${why}; ${fix}`);
  }
});

t.test("what has no effect is said, once, and never its value", async (t) => {
  const { words, notes } = translate(["-etcd-password=secret", "-etcd-cafile", "/x"], {});
  t.same([words, notes.length], [[], 2]);
  t.notOk(notes.join().includes("secret"));
});

t.test("values are checked as flannel does", async (t) => {
  for (const line of ["-ip-masq=maybe", "-v=x", "-iptables-resync=1.5", "-healthz-port=http"]) {
    t.match(refusalOf(line), /^Invalid (boolean )?value/, line);
  }
  for (const margin of ["0", "1440", "x"]) {
    t.match(refusalOf(`-subnet-lease-renew-margin=${margin}`), /out of acceptable range/, margin);
  }
  t.equal(refusalOf("-subnet-lease-renew-margin=1439"), "taken: ");
});

t.test("of several interfaces one pattern is made", async (t) => {
  t.match(refusalOf("-iface=eth1 -iface=eth2"), /-iface-regex '\^\(eth1\|eth2\)\$'$/);
  t.match(refusalOf("-iface-regex=a.* -iface-regex=b"), /-iface-regex '\(a\.\*\)\|\(b\)'$/);
});
