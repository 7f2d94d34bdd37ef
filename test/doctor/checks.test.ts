import t from "tap";
import type { NodeView, StatusView } from "../../src/api/service.ts";
import { examine, summary } from "../../src/doctor/checks.ts";
import type { DaemonFact, Facts } from "../../src/doctor/facts.ts";
import type { Finding } from "../../src/doctor/finding.ts";
import { parseAddress } from "../../src/ip/address.ts";
import { EMPTY_KERNEL } from "../../src/plan/kernel.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { kernelLink, vxlan } from "../support/links.ts";

const SETTINGS: Readonly<Record<string, string>> = {
  "net/ipv4/ip_forward": "1",
  "net/ipv6/conf/all/forwarding": "1",
  "net/ipv4/conf/all/rp_filter": "0",
  "net/ipv4/conf/eth0/rp_filter": "0",
  "net/ipv4/neigh/default/gc_thresh3": "1024",
  "net/ipv6/neigh/default/gc_thresh3": "1024",
  "net/ipv6/route/max_size": "4096",
  "net/bridge/bridge-nf-call-iptables": "1",
};

function addressed(publicIp: string) {
  return {
    family: 4 as const,
    address: parseAddress("192.0.2.1"),
    publicIp: parseAddress(publicIp),
  };
}

const CHOSEN = {
  ...{ found: true as const, link: "eth0", mtu: 1500, why: "the default route is there" },
  addresses: [addressed("192.0.2.1")],
};

function settings(more: Readonly<Record<string, string | undefined>> = {}) {
  return (path: string) => ({ ...SETTINGS, ...more })[path];
}

const TUNNELLED = { ...EMPTY_KERNEL, links: [kernelLink(vxlan())] };

/** A host on which nothing is wrong, but for what is said. */
function facts(more: Partial<Facts> = {}): Facts {
  return {
    mayProgram: true,
    kernel: EMPTY_KERNEL,
    setting: settings(),
    interface: CHOSEN,
    networks: [parsePrefix("10.244.0.0/16")],
    forwardPolicy: { 4: "ACCEPT" },
    shielded: [parsePrefix("172.17.0.2/32")],
    spoiledDatagrams: 0,
    ports: [{ what: "other nodes connect to it", port: 7470 }],
    clock: { wallMs: Date.UTC(2026, 10, 26), synchronized: true },
    disk: { folder: "/var/lib", freeBytes: 2 ** 33, lowBytes: 2 ** 28, syncMs: 1, isMemory: false },
    rivals: [],
    subnetEnv: "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1500\n",
    ...more,
  };
}

function daemon(more: { nodes?: number; leases?: DaemonFact["leases"] } = {}): DaemonFact {
  const status = {
    node: { id: "n-1", name: "a", version: "0" },
    ready: true,
    checks: [],
    lease: { state: "held", subnets: ["10.244.1.0/24"], trustedForMs: 1, why: null },
    dataPlane: { subnetFile: "/run/flannel/subnet.env", mtu: 1500, routes: { ok: 2 }, tunnel: {} },
  } as unknown as StatusView;
  const nodes = Array.from({ length: more.nodes ?? 3 }, () => ({}) as NodeView);
  return { status, nodes, leases: more.leases ?? [], unreachable: [], reachable: 2 };
}

const of = (findings: readonly Finding[], check: string) =>
  findings.find((finding) => finding.check === check);

t.test("a host on which nothing is wrong", async (t) => {
  const findings = examine(facts({ daemon: daemon() }));
  t.same(findings.filter(({ result }) => result !== "ok"), []);
  t.equal(summary(findings), `${findings.length} checks passed`);
});

t.test("checksums of datagrams are of interest where there is a tunnel", async (t) => {
  t.equal(of(examine(facts({ spoiledDatagrams: 7 })), "tunnel-checksums"), undefined);
  const { result } = of(examine(facts({ kernel: TUNNELLED })), "tunnel-checksums")!;
  t.equal(result, "ok");
});

/** What is wrong, the check that has to say so, and how bad it is. */
const FAULTS: readonly [string, Partial<Facts>, string, Finding["result"]][] = [
  ["no rights", { mayProgram: false }, "rights", "failed"],
  [
    "a port that somebody has",
    { ports: [{ what: "x", port: 7470, error: "EADDRINUSE" }] },
    ...["port-7470", "failed"] as const,
  ],
  ["a clock of another century", { clock: { wallMs: 0 } }, "clock", "failed"],
  [
    "a clock that nobody keeps",
    { clock: { wallMs: Date.UTC(2026, 10, 26), synchronized: false } },
    ...["clock", "note"] as const,
  ],
  ["a full disk", { disk: { ...facts().disk, freeBytes: 1 } }, "disk", "warning"],
  ["a slow disk", { disk: { ...facts().disk, syncMs: 80 } }, "disk", "warning"],
  ["a disk in memory", { disk: { ...facts().disk, isMemory: true } }, "disk", "warning"],
  ["a daemon that hangs", { hungDaemon: "nothing for 3000 ms" }, "daemon", "failed"],
  ["a rival", { rivals: ["flanneld (process 7)"] }, "rivals", "warning"],
  [
    "no interface",
    { interface: { found: false, message: "none", why: "no default route", fix: "--iface" } },
    "interface",
    "failed",
  ],
  [
    "VirtualBox's address",
    { interface: { ...CHOSEN, addresses: [addressed("10.0.2.15")] } },
    ...["public-ip", "failed"] as const,
  ],
  [
    "an address that a peer has",
    {
      daemon: daemon({
        leases: [{ node: "n-2", nodeName: "b", publicIp: "192.0.2.1" } as DaemonFact["leases"][0]],
      }),
    },
    ...["public-ip", "failed"] as const,
  ],
  ["a public range", { networks: [parsePrefix("8.0.0.0/8")] }, "range", "warning"],
  [
    "forwarding off under a daemon",
    { daemon: daemon(), setting: settings({ "net/ipv4/ip_forward": "0" }) },
    ...["ip-forward", "failed"] as const,
  ],
  [
    "no IPv6 in this kernel",
    {
      networks: [parsePrefix("fd00::/48")],
      setting: settings({ "net/ipv6/conf/all/forwarding": undefined }),
    },
    ...["ip-forward-6", "failed"] as const,
  ],
  [
    "a strict way back",
    { setting: settings({ "net/ipv4/conf/all/rp_filter": "1" }) },
    ...["rp-filter", "note"] as const,
  ],
  [
    "no bridge filter",
    { setting: settings({ "net/bridge/bridge-nf-call-iptables": undefined }) },
    ...["br-netfilter", "note"] as const,
  ],
  ["Docker 28", { shielded: [parsePrefix("10.244.1.2/32")] }, "docker-raw", "failed"],
  ["spoiled checksums", { kernel: TUNNELLED, spoiledDatagrams: 7 }, "tunnel-checksums", "note"],
  ["Docker's policy", { forwardPolicy: { 4: "DROP" } }, "forward-policy", "note"],
  ["600 neighbours", { daemon: daemon({ nodes: 600 }) }, "neighbours", "warning"],
  ["2000 neighbours", { daemon: daemon({ nodes: 2_000 }) }, "neighbours", "failed"],
  [
    "3000 routes of IPv6",
    { networks: [parsePrefix("fd00::/48")], daemon: daemon({ nodes: 3_000 }) },
    ...["routes-6", "warning"] as const,
  ],
  ["no subnet file", { daemon: daemon(), subnetEnv: undefined }, "subnet-file", "failed"],
  [
    "a subnet file of somebody else",
    { daemon: daemon(), subnetEnv: "FLANNEL_SUBNET=10.244.2.1/24\nFLANNEL_MTU=1500\n" },
    ...["subnet-file", "failed"] as const,
  ],
  [
    "a server behind a firewall",
    { daemon: { ...daemon(), unreachable: [{ name: "b", why: "no answer" }] } },
    ...["servers", "warning"] as const,
  ],
];

for (const [fault, more, check, result] of FAULTS) {
  t.test(`${fault}: ${result}, with its reason and a way out`, async (t) => {
    const findings = examine(facts(more));
    const finding = of(findings, check)!;
    t.equal(finding.result, result);
    t.ok(finding.why, "why it is wrong");
    t.ok(finding.fix, "and what to do");
  });
}

t.test("what --fix would set is enough for the check that asks for it", async (t) => {
  const broken = facts({
    daemon: daemon({ nodes: 5_000 }),
    networks: [parsePrefix("10.244.0.0/16"), parsePrefix("fd00::/48")],
    setting: settings({
      ...{ "net/ipv4/ip_forward": "0", "net/ipv6/conf/all/forwarding": "0" },
      "net/ipv4/conf/all/rp_filter": "1",
    }),
  });
  const wanted = examine(broken).flatMap(({ settings = [] }) => settings);
  t.ok(wanted.length >= 9);
  const mended = Object.fromEntries(wanted.map(({ path, value }) => [path, value]));
  const after = examine({ ...broken, setting: settings(mended) });
  const asked = ["ip-forward", "ip-forward-6", "neighbours", "neighbours-6", "routes-6"];
  t.same(asked.map((check) => of(after, check)?.result), asked.map(() => "ok"));
});
