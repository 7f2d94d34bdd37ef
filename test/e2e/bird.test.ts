/** The example that announces subnets by BGP, with Debian's bird and real daemons. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { ip } from "../../src/cli/lab/ip.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import { allowing, installScripts } from "../support/allowing.ts";
import {
  cannotLab,
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  onDeno,
  onNode,
  restart,
  singleBinary,
  typed,
  unreached,
  untilReady,
} from "../support/lab.ts";
import { root } from "../support/root.ts";
import { addFarHost, addRouter } from "../support/router.ts";

const TIMEOUT_MS = 600_000;
const example = join(root, "examples/bird");

const cannotRoute = cannotLab ||
  (!existsSync("/usr/sbin/bird") && "needs Debian's bird2 for a routing daemon");

const PEERED = /^#( protocol bgp uplink \{\n(?:# .*\n)*?# \}\n)/m;

/** A process that sees another /run than the machine's: every host has one. */
function at(host: Host, program: Program): Program {
  return ["sh", "-c", 'mount --bind "$0" /run && exec "$@"', runOf(host), ...program];
}

function runOf(host: Host): string {
  return join(host.folder, "run");
}

/** A routing daemon on a host. The result ends it. */
function startBird(t: Test, host: Host, text: string): () => Promise<void> {
  mkdirSync(join(runOf(host), "bird"), { recursive: true });
  const path = join(host.folder, "bird.conf");
  writeFileSync(path, text);
  const [command, ...words] = at(host, ["bird", "-f", "-c", path]);
  const child = spawn("ip", ["netns", "exec", host.namespace, command!, ...words], {
    stdio: "ignore",
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  t.teardown(stop);
  return stop;
}

/** `10.244.2.0/24 via 192.0.2.2`: what bird has programmed. */
async function learned(host: Host): Promise<string> {
  const routes = JSON.parse(await ip(`-n ${host.namespace} -j route show proto 12`)) as {
    dst: string;
    gateway: string;
  }[];
  return routes.map(({ dst, gateway }) => `${dst} via ${gateway}`).sort().join(", ");
}

async function untilLearned(host: Host, wanted: string): Promise<void> {
  await eventually(`${host.name} has learned ${wanted || "nothing"}`, async () => {
    return await learned(host) === wanted ? true : undefined;
  });
}

/** The scripts of the example, and a network that has them run. */
function install(folder: string, file: string) {
  const sbin = installScripts(example, folder);
  const network = readFileSync(join(example, file), "utf8").replaceAll("/usr/local/sbin", sbin);
  const lines = ["own", "peer", "forget", "down"].map((name) => join(sbin, `denim-bird-${name}`));
  const program = (host: Host, by = onNode) => at(host, allowing(by, host.folder, lines));
  return { network, program };
}

t.test("hosts on one link tell each other their subnets by BGP", {
  skip: cannotRoute,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const lab = await makeLab(t);
  const hosts = [await lab.addHost("a"), await lab.addHost("b"), await lab.addHost("c")];
  const [a, b, c] = hosts as [Host, Host, Host];
  const { network, program } = install(join(a.folder, ".."), "network.json");
  const text = readFileSync(join(example, "bird.conf"), "utf8");

  mkdirSync(runOf(a));
  await a.startDaemon(program(a), ["init", "--network", network, "--foreground"]);
  const said = await eventually("a says that there is no bird yet", async () => {
    const { out } = await typed(a, ["route"]);
    return /failed/.test(out) ? out : undefined;
  });
  t.match(said, /10\.244\.1\.0\/24 .* failed +PostStartupCommand ended with 1: Unable to connect/);
  t.equal(await a.subnetEnv(), undefined, "so containers are not started");
  const start = (host: Host) => startBird(t, host, text);
  const birds = hosts.map(start);
  await untilReady([a]);
  const token = await makeToken(a);
  await joinBy(b, program(b, onDeno), a, token);
  await joinBy(c, program(c, await singleBinary()), a, token);

  await t.test("containers reach each other", async (t) => {
    await untilLearned(a, "10.244.2.0/24 via 192.0.2.2, 10.244.3.0/24 via 192.0.2.3");
    await untilLearned(b, "10.244.1.0/24 via 192.0.2.1, 10.244.3.0/24 via 192.0.2.3");
    await untilLearned(c, "10.244.1.0/24 via 192.0.2.1, 10.244.2.0/24 via 192.0.2.2");
    for (const host of hosts) await host.startContainer();
    t.same(await unreached(hosts), []);
    const said = await eventually("its commands have ended", async () => {
      const { out } = await typed(a, ["status"]);
      return /routes +3 ok/.test(out) ? out : undefined;
    });
    t.match(said, /backend +extension/);
  });

  await t.test("both daemons of a host may restart, one after the other", async (t) => {
    await b.daemon!.stop();
    t.same(await unreached(hosts), [], "without Denim");
    await restart(b, program(b));
    await untilReady([b]);
    await birds[1]!();
    t.same(await unreached([a, b]), [], "without bird");
    start(b);
    await untilLearned(b, "10.244.1.0/24 via 192.0.2.1, 10.244.3.0/24 via 192.0.2.3");
    await untilLearned(a, "10.244.2.0/24 via 192.0.2.2, 10.244.3.0/24 via 192.0.2.3");
    t.same(await unreached(hosts), []);
  });

  await t.test("who leaves is forgotten", async (t) => {
    t.equal((await typed(c, ["leave", "--yes"])).status, 0);
    await untilLearned(a, "10.244.2.0/24 via 192.0.2.2");
    await untilLearned(b, "10.244.1.0/24 via 192.0.2.1");
    t.notOk(existsSync(join(runOf(c), "denim-bird.own.conf")));
    t.same(await unreached([a, b]), []);
  });
});

t.test("a router sends on what the hosts on its links tell it", {
  skip: cannotRoute,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const lab = await makeLab(t);
  const router = await addRouter(lab);
  const hosts = [await lab.addHost("a"), await lab.addHost("b"), await addFarHost(lab, "c", 3)];
  const [a, b, c] = hosts as [Host, Host, Host];
  const { network, program } = install(join(a.folder, ".."), "network-with-routers.json");
  const text = readFileSync(join(example, "bird.conf"), "utf8");
  const peered = text.replace(PEERED, (_, part: string) => part.replaceAll(/^#? ?/gm, ""));
  for (const host of hosts) {
    const gateway = host === c ? "198.51.100.254" : "192.0.2.254";
    startBird(t, host, peered.replace("192.0.2.254", gateway));
  }
  startBird(t, router, routersPart(text));
  await found(a, program(a), network);
  const token = await makeToken(a);
  // What is heard of the others is no other network's.
  const knowing = (host: Host, by: Program): Program => [
    ...["env", "DENIM_ALLOW_OVERLAP=true", ...program(host, by)],
  ];
  await joinBy(b, knowing(b, onDeno), a, token);
  await joinBy(c, knowing(c, await singleBinary()), a, token);
  await untilLearned(
    router,
    "10.244.1.0/24 via 192.0.2.2, 10.244.2.0/24 via 192.0.2.3, 10.244.3.0/24 via 198.51.100.3",
  );
  await untilLearned(c, "10.244.1.0/24 via 198.51.100.254, 10.244.2.0/24 via 198.51.100.254");
  await untilLearned(a, "10.244.2.0/24 via 192.0.2.254, 10.244.3.0/24 via 192.0.2.254");
  for (const host of hosts) await host.startContainer();
  t.same(await unreached(hosts), []);
});

/** What the example's page says that a router has, for both of its links. */
function routersPart(bird: string): string {
  const page = readFileSync(join(example, "README.md"), "utf8");
  const part = /```text\n([^]*?)```/.exec(page)![1]!;
  const far = part.replace("bgp hosts", "bgp far").replace("192.0.2.0/24", "198.51.100.0/24");
  return bird.replace(/^include.*$/m, `router id 192.0.2.254;\n${part}${far}`);
}
