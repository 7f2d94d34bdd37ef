/** A host dies, and the network config wants its containers to be unreachable then: real packets. */
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { ip } from "../../src/cli/lab/ip.ts";
import {
  cannotLab,
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  NETWORK,
  onNode,
  ownRoutes,
  restart,
  subnetOf,
  typed,
  unreached,
  untilReady,
  untilRouted,
} from "../support/lab.ts";
import { plug, unplug } from "../support/partition.ts";
import { inside } from "../support/two-hosts.ts";

const options = { skip: cannotLab, timeout: 600_000 };

const CONFIG = `{"Network":"${NETWORK}","SilentPeer":"unreachable"}`;
/** The kernel gives up looking for a neighbour after three seconds; at once is a good deal less. */
const AT_ONCE_MS = 1_000;
/** Ten seconds unheard, or half a minute of a new leader, and a machine that is busy. */
const SILENT_MS = 200_000;

/** What becomes of a connection, and when. */
const CONNECT = `
  const startMs = performance.now();
  const tell = (code) => {
    console.log(JSON.stringify({ code, tookMs: performance.now() - startMs }));
    process.exit();
  };
  require("node:net").connect(9, process.argv[1]).on("error", ({ code }) => tell(code))
    .on("connect", () => tell("connected"));
  setTimeout(tell, 10_000, "nothing");
`;

interface Outcome {
  readonly code: string;
  readonly tookMs: number;
}

/** A container of one host connects to one of another, where nobody listens. */
async function connect(from: Host, to: string): Promise<Outcome> {
  const words = [onNode[0]!, "--eval", CONNECT, to];
  return JSON.parse(await inside({ namespace: from.containerNamespace }, words)) as Outcome;
}

/** `unreachable` or not: the kernel's own list. */
async function isUnreachable(subnet: string, on: Host): Promise<boolean> {
  const lines = (await ip(`-n ${on.namespace} route show proto 68`)).split("\n");
  return lines.some((line) => line.startsWith(`unreachable ${subnet} `));
}

/** Without a word: the cable is gone before the process is. */
async function crash(hosts: readonly Host[]): Promise<void> {
  for (const host of hosts) await unplug(host);
  await Promise.all(hosts.map((host) => host.daemon!.stop("SIGKILL")));
}

async function comeBack(hosts: readonly Host[]): Promise<void> {
  for (const host of hosts) await plug(host);
  await Promise.all(hosts.map((host) => restart(host, onNode)));
  await untilReady(hosts);
}

t.test("connections to a host that is dead", options, async (t) => {
  const lab = await makeLab(t);
  const hosts: Host[] = [];
  for (const name of ["a", "b", "c", "d"]) hosts.push(await lab.addHost(name));
  const [a, b, c, d] = hosts as [Host, Host, Host, Host];
  await found(a, onNode, CONFIG);
  const token = await makeToken(a, 3, ["--role", "agent"]);
  for (const host of [b, c, d]) await joinBy(host, onNode, a, token);
  await untilRouted(hosts);
  for (const host of hosts) await host.startContainer();
  t.same(await unreached(hosts), []);
  const subnet = await subnetOf(b);
  const address = b.container!.address;

  await t.test("fail at once, and work again when it is back", async (t) => {
    t.equal((await connect(a, address)).code, "ECONNREFUSED", "it lives");
    await crash([b]);
    for (const host of [a, c, d]) {
      await eventually(
        `${host.name} knows it`,
        async () => await isUnreachable(subnet, host) || undefined,
        SILENT_MS,
      );
      const { code, tookMs } = await connect(host, address);
      t.equal(code, "EHOSTUNREACH", host.name);
      t.ok(tookMs < AT_ONCE_MS, `${host.name}: ${tookMs.toFixed(0)} ms`);
    }
    t.match((await typed(a, ["node", "list"])).out, /^b .* silent /m);
    await comeBack([b]);
    await untilRouted(hosts);
    t.same(await unreached(hosts), []);
  });

  await t.test("are left alone where most fall silent together, and an alarm says so", async (t) => {
    const before = await ownRoutes(a);
    await crash([b, c, d]);
    await eventually("the alarm", async () => {
      return /many nodes fell silent at once/.test((await typed(a, ["status"])).out) || undefined;
    }, SILENT_MS);
    t.same(await ownRoutes(a), before, "no route has changed");
    await comeBack([b, c, d]);
    t.same(await unreached(hosts), []);
  });
});
