/** All kinds of wanted things at once: two hosts with a tunnel between them, on real kernels. */
import process from "node:process";
import t, { type Test } from "tap";
import { BackendRegistry } from "../../../src/backend/registry.ts";
import { runProgram } from "../../../src/cli/lab/ip.ts";
import { LinuxKernel } from "../../../src/kernel/linux-kernel.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { cannotUnshare, enterNamed, ip } from "../../support/namespace.ts";
import { PlaneHost } from "../../support/plane-host.ts";
import { tunnel } from "../../support/tunnel-backend.ts";

const CONFIG = '{"Network":"10.5.0.0/16","Backend":{"Type":"test-tunnel"}}';
const OTHER_VNI = '{"Network":"10.5.0.0/16","Backend":{"Type":"test-tunnel","VNI":8}}';

/** Forty times what it takes on a quiet machine: a look is five programs that are started. */
const REPAIR_MS_MAX = 20_000;

/** Host 1 or 2: its data plane, and a container's address. */
class End extends PlaneHost<LinuxKernel> {
  readonly namespace: string;
  readonly number: 1 | 2;

  constructor(t: Test, namespace: string, number: 1 | 2, kernel: LinuxKernel) {
    super(temporaryFolder(t), kernel, CONFIG);
    this.namespace = namespace;
    this.number = number;
    this.join(2);
    if (this.standing.kind === "none") return;
    const holding = { ...this.standing.holding, subnets: [this.subnet] };
    this.standing = { ...this.standing, holding };
  }

  get id(): string {
    return `id${this.number}`;
  }

  get subnet(): string {
    return `10.5.${this.number + 1}.0/24`;
  }

  get container(): string {
    return `10.5.${this.number + 1}.1`;
  }

  /** Learns what the other one has published. */
  meet({ id, subnet, plane }: End): void {
    const attributes = plane.attributes();
    this.cluster.apply({ kind: "lease.renew", node: id, subnets: [subnet], attributes });
  }

  /** How often something was made or changed. */
  get repairs(): number {
    return this.log.lines.filter((line) => line.includes("Kernel changed")).length;
  }

  async type(command: string): Promise<string> {
    const words = ["netns", "exec", this.namespace, ...command.split(" ")];
    return (await runProgram("ip", words)).out;
  }

  async canReach(other: End): Promise<boolean> {
    const words = ["netns", "exec", this.namespace, "ping", "-c1", "-W1", "-I", this.container];
    const { status } = await runProgram("ip", [...words, other.container]);
    return status === 0;
  }

  /** Everything of the tunnel, as a person sees it. */
  async tunnel(): Promise<string> {
    const said = await Promise.all([
      "ip -d link show group 68",
      "ip -o address show dev denim.7 scope global",
      "ip neigh show dev denim.7 nud permanent",
      "bridge fdb show dev denim.7",
      "ip route show proto 68",
    ].map((command) => this.type(command)));
    return said.join("\n").split("\n").map((line) => line.replace(/^\d+: /, ""))
      .map((line) => line.replace(/\s+/g, " ").trim()).filter(Boolean).join("\n");
  }
}

const names = ["a", "b"].map((name) => `denim-t${process.pid}-${name}`);

async function twoEnds(t: Test): Promise<[End, End]> {
  for (const name of names) {
    ip(`netns add ${name}`);
    t.teardown(() => ip(`netns del ${name}`));
  }
  ip(`-n ${names[0]} link add eth0 type veth peer name eth0 netns ${names[1]}`);
  const ends: End[] = [];
  for (const number of [1, 2] as const) {
    const namespace = names[number - 1]!;
    const leave = enterNamed(namespace);
    ip("link set lo up");
    ip(`address add 192.168.0.${number}/24 dev eth0`);
    ip("link set eth0 up");
    ip(`address add 10.5.${number + 1}.1/32 dev lo`);
    const kernel = await LinuxKernel.open();
    leave();
    t.teardown(() => kernel[Symbol.asyncDispose]());
    const end = new End(t, namespace, number, kernel);
    await end.identity.write("secret", { seed: `0${number}`.repeat(32) });
    ends.push(end);
  }
  const [a, b] = ends as [End, End];
  const backends = new BackendRegistry([tunnel]);
  for (const end of ends) await end.start(t, { nodeId: end.id, backends });
  a.meet(b);
  b.meet(a);
  return [a, b];
}

async function soon(condition: () => boolean | Promise<boolean>): Promise<boolean> {
  const endMs = performance.now() + REPAIR_MS_MAX;
  while (!await condition()) {
    if (performance.now() > endMs) return false;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return true;
}

/** What a stranger types, and how. */
const HARM: readonly (readonly [string, string])[] = [
  ["the link is deleted", "ip link del denim.7"],
  ["the link is down", "ip link set denim.7 down"],
  ["the link has another MTU", "ip link set denim.7 mtu 1300"],
  ["the link has another MAC address", "ip link set denim.7 address 02:00:00:00:00:99"],
  ["the address is gone", "ip address flush dev denim.7"],
  ["all neighbours are gone", "ip neigh flush dev denim.7 nud permanent"],
  ["all routes are gone", "ip route flush dev denim.7"],
  ["there is an address more", "ip address add 10.99.0.1/32 dev denim.7"],
  ["there is a neighbour more", "ip neigh add 10.99.0.2 lladdr 02:00:00:00:00:98 dev denim.7"],
];

t.test("a tunnel carries packets, and whatever a stranger does to it is undone", {
  skip: cannotUnshare,
  timeout: 300_000,
}, async (t) => {
  const [a, b] = await twoEnds(t);
  t.ok(await soon(() => a.canReach(b)), "packets arrive");
  t.ok(await b.canReach(a), "and come back");
  const before = await a.tunnel();
  t.match(before, /alias denim:10\.5\.0\.0\/16/);
  t.match(before, /10\.5\.3\.0\/24 via 10\.5\.3\.0 dev denim\.7 onlink/);
  t.same(a.plane.routes().map(({ kind, state }) => `${kind} ${state}`), [
    "link ok",
    "address ok",
    "neighbour ok",
    "forwarding ok",
    "route ok",
    // The first host of this cluster has another backend.
    "route left-out",
  ]);

  const mac = /^(\S+) dst/m.exec(before)?.[1];
  const entries = [
    ["the forwarding entry is gone", `bridge fdb del ${mac} dev denim.7 self`],
    [
      "the forwarding entry leads elsewhere",
      `bridge fdb replace ${mac} dev denim.7 dst 192.168.0.77 self permanent`,
    ],
  ] as const;
  for (const [what, command] of [...HARM, ...entries]) {
    const repairs = a.repairs;
    await a.type(command);
    t.ok(await soon(async () => a.repairs > repairs && await a.tunnel() === before), what);
  }
  t.ok(await soon(() => a.canReach(b)), "packets arrive as they did");

  await t.test("what is no business of Denim's stays", async (t) => {
    await a.type("ip link add denim-mine type bridge");
    await a.type("ip neigh add 192.168.0.9 lladdr 02:00:00:00:00:97 dev eth0 nud permanent");
    await a.type("ip link del denim.7");
    t.ok(await soon(() => a.canReach(b)));
    t.match(await a.type("ip link show denim-mine"), /denim-mine/);
    t.match(await a.type("ip neigh show dev eth0 nud permanent"), /192\.168\.0\.9 lladdr/);
  });

  await t.test("another config is another tunnel, with all that was on it", async (t) => {
    const index = async () => /^(\d+): denim\.7/m.exec(await a.type("ip link show"))?.[1];
    const [first, lines] = [await index(), await a.tunnel()];
    for (const end of [a, b]) end.cluster.apply({ kind: "network.set", config: OTHER_VNI });
    t.ok(await soon(async () => /vxlan id 8 /.test(await a.tunnel())));
    t.ok(await soon(() => a.canReach(b)));
    t.not(await index(), first);
    const fresh = lines.replace("vxlan id 7 ", "vxlan id 8 ");
    t.ok(await soon(async () => await a.tunnel() === fresh));
  });

  await t.test("a link in its way that is somebody else's is reported, and not fought", async (t) => {
    await b.plane[Symbol.asyncDispose]();
    await b.type("ip link del denim.7");
    await b.type("ip link add denim.7 type bridge");
    await b.start(t, { nodeId: b.id, backends: new BackendRegistry([tunnel]) });
    const conflicts = () => b.plane.routes().filter(({ state }) => state === "conflict");
    t.ok(await soon(() => conflicts().some(({ about }) => about === "link denim.7")));
    t.match(conflicts()[0]?.error ?? "", /does not carry this network's mark/);
    t.match(await b.type("ip -d link show denim.7"), /bridge/);
    await b.type("ip link del denim.7");
    t.ok(await soon(() => b.canReach(a)), "it takes its place when it goes");
  });

  await t.test("who leaves takes all of it away, and nothing else", async (t) => {
    await a.plane.withdraw();
    t.notOk(/denim\.7/.test(await a.type("ip link show")));
    t.equal(await a.type("ip route show proto 68"), "");
    t.match(await a.type("ip link show denim-mine"), /denim-mine/);
  });
});
