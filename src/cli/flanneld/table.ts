/** What becomes of one of flanneld's flags. */
export type Treatment =
  /** Denim's flag for it; `off` for a switch that says no. */
  | {
    readonly kind: "mapped";
    readonly to: string;
    readonly off?: string;
    readonly note?: string;
  }
  /** Taken, and said to have no effect. */
  | { readonly kind: "unneeded"; readonly why: string }
  /** Refused where it says something else than flannel's default. */
  | { readonly kind: "refused"; readonly why: string; readonly fix: string };

export interface FlanneldFlag {
  /** Without dashes. */
  readonly name: string;
  /** A `switch` needs no value, a `list` may be given several times. */
  readonly type: "text" | "switch" | "number" | "list";
  /** flannel's. */
  readonly fallback: string;
  /** Smallest and greatest number, both included. */
  readonly range?: readonly [number, number];
  readonly treatment: Treatment;
}

const NO_ETCD = "Denim keeps its own store, and asks no etcd";
const KUBE_ONLY = "it is about Kubernetes as flannel's store";
const LOG = "the log goes to stderr; `--log-level` and `--log-format` shape it";
const GONE = "flannel itself has it no more";

const mapped = (
  to: string,
  more: { readonly off?: string; readonly note?: string } = {},
): Treatment => ({ kind: "mapped", to, ...more });
const unneeded = (why: string): Treatment => ({ kind: "unneeded", why });
const refused = (why: string, fix: string): Treatment => ({ kind: "refused", why, fix });

const text = (name: string, treatment: Treatment, fallback = ""): FlanneldFlag => (
  { name, type: "text", fallback, treatment }
);
const toggle = (name: string, treatment: Treatment, fallback = "false"): FlanneldFlag => (
  { name, type: "switch", fallback, treatment }
);
const number = (
  name: string,
  treatment: Treatment,
  fallback: string,
  range: readonly [number, number] = [-(2 ** 31), 2 ** 31 - 1],
): FlanneldFlag => ({ name, type: "number", fallback, range, treatment });
const list = (name: string, treatment: Treatment): FlanneldFlag => (
  { name, type: "list", fallback: "", treatment }
);

/**
 * flanneld's flags, one row each (`flannel/main.go`, 0.28, and those that it once had). The table of
 * docs/reference/flanneld.md is this one.
 */
export const FLANNELD_FLAGS: readonly FlanneldFlag[] = [
  list("iface", mapped("--iface", { note: "one; of several: `-iface-regex`" })),
  list("iface-regex", mapped("--iface-regex", { note: "one: `'^(eth1|eth2)$'`" })),
  text("iface-can-reach", mapped("--iface-can-reach")),
  text("public-ip", mapped("--public-ip")),
  text("public-ipv6", mapped("--public-ipv6")),
  text("subnet-file", mapped("--subnet-file"), "/run/flannel/subnet.env"),
  toggle("ip-masq", mapped("--ip-masq", { off: "--no-ip-masq" })),
  toggle(
    "iptables-forward-rules",
    mapped("--forward-rules", { off: "--no-forward-rules" }),
    "true",
  ),
  text(
    "etcd-prefix",
    mapped("--etcd-prefix", { note: "where `etcdctl` finds it" }),
    "/coreos.com/network",
  ),
  text("etcd-endpoints", unneeded(NO_ETCD), "http://127.0.0.1:4001,http://127.0.0.1:2379"),
  text("etcd-keyfile", unneeded(NO_ETCD)),
  text("etcd-certfile", unneeded(NO_ETCD)),
  text("etcd-cafile", unneeded(NO_ETCD)),
  text("etcd-username", unneeded(NO_ETCD)),
  text("etcd-password", unneeded(NO_ETCD)),
  number(
    "subnet-lease-renew-margin",
    unneeded("a lease is renewed when a third of it has passed; `LeaseTTL` says how long it is"),
    "60",
    [1, 1439],
  ),
  number("iptables-resync", unneeded("rules are put back when the kernel says they went"), "5"),
  toggle(
    "ip-masq-fully-random-disable",
    refused(
      "source ports are always chosen at random, as hosts behind one address would meet",
      "leave it out",
    ),
  ),
  toggle(
    "ip-blackhole-route",
    refused(
      "Denim makes routes to peers only",
      "leave it out, and add it by hand: `ip route add blackhole SUBNET metric 4096`",
    ),
  ),
  text("healthz-ip", unneeded("health is at `127.0.0.1:7475`"), "0.0.0.0"),
  number(
    "healthz-port",
    refused(
      "health is at `/livez` and `/readyz` of `127.0.0.1:7475`, and says what is wrong",
      "ask there; `--api-port` chooses another port",
    ),
    "0",
  ),
  toggle(
    "kube-subnet-mgr",
    refused("Denim gives out the subnets itself", "leave it out: denim init, denim join"),
  ),
  text("kube-api-url", unneeded(KUBE_ONLY)),
  text("kubeconfig-file", unneeded(KUBE_ONLY)),
  text("kube-annotation-prefix", unneeded(KUBE_ONLY), "flannel.alpha.coreos.com"),
  text("net-config-path", unneeded(KUBE_ONLY), "/etc/kube-flannel/net-conf.json"),
  toggle("set-node-network-unavailable", unneeded(KUBE_ONLY), "true"),
  number("v", mapped("--log-level debug", { note: "above 0" }), "0"),
  text("vmodule", unneeded(LOG)),
  text("log_backtrace_at", unneeded(LOG), ":0"),
  toggle("logtostderr", unneeded(LOG)),
  toggle("alsologtostderr", unneeded(LOG)),
  toggle("version", mapped("--version")),
  toggle("help", mapped("--help")),
  text("listen", refused(GONE, "Denim's own API is always there: `denim status --json`")),
  text("remote", refused(GONE, "hosts find each other: denim join HOST")),
  text("remote-keyfile", refused(GONE, "leave it out: nodes have certificates of their own")),
  text("remote-certfile", refused(GONE, "leave it out: nodes have certificates of their own")),
  text("remote-cafile", refused(GONE, "leave it out: nodes have certificates of their own")),
  text("networks", refused(GONE, "one daemon, and one cluster, for each network")),
  toggle("watch-networks", refused(GONE, "one daemon, and one cluster, for each network")),
  text("subnet-dir", refused(GONE, "one daemon for each network: `-subnet-file`")),
];

/** One line of the docs: what Denim does about a flag. */
export function describe({ type, treatment }: FlanneldFlag): string {
  switch (treatment.kind) {
    case "mapped": {
      const { to, off, note } = treatment;
      const flags = type === "switch" && off !== undefined ? `\`${to}\`, \`${off}\`` : `\`${to}\``;
      return note === undefined ? flags : `${flags}; ${note}`;
    }
    case "unneeded":
      return `no effect: ${treatment.why}`;
    case "refused":
      return `refused: ${treatment.why}; ${treatment.fix}`;
    default:
      return treatment satisfies never;
  }
}
