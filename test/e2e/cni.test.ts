/** Containers that CNI runtimes start: by the list that Denim writes, and by flannel's. */
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import t, { type Test } from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { runProgram } from "../../src/cli/lab/ip.ts";
import { cannotCni, PLUGINS, reaches, Runtime } from "../support/cni.ts";
import {
  eventually,
  joinBy,
  makeLab,
  makeToken,
  onDeno,
  onNode,
  runInside,
  singleBinary,
  untilReady,
  untilRouted,
} from "../support/lab.ts";

const options = { skip: cannotCni, timeout: 600_000 };
const BOTH = '{"Network": "10.244.0.0/16", "EnableIPv6": true, "IPv6Network": "fd42::/48"}';

const conflistOf = (host: Host) => join(host.folder, "net.d/10-denim.conflist");

async function twoHosts(t: Test): Promise<[Host, Host]> {
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a", [4, 6]), await lab.addHost("b", [4, 6])];
  const program = process.versions["deno"] === undefined ? onNode : onDeno;
  const env = { DENIM_CNI_CONFLIST: conflistOf(a) };
  await a.startDaemon(program, ["init", "--network", BOTH, "--foreground"], env);
  await untilReady([a]);
  await joinBy(b, onNode, a, await makeToken(a));
  await untilRouted([a, b]);
  return [a, b];
}

const FLANNEL_LIST = (host: Host) =>
  JSON.stringify({
    name: "cbr0",
    cniVersion: "0.3.1",
    plugins: [
      {
        type: "flannel",
        subnetFile: host.subnetFile,
        delegate: { hairpinMode: true, isDefaultGateway: true },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  });

/** What `/opt/cni/bin` is on a host: a plugin of the name that flannel's has. */
function pluginFolder(host: Host): string {
  const folder = join(host.folder, "bin");
  mkdirSync(folder);
  const program = process.versions["deno"] === undefined ? onNode : onDeno;
  const words = program.map((word) => `'${word}'`).join(" ");
  writeFileSync(join(folder, "flannel"), `#!/bin/sh\nexec ${words} cni\n`, { mode: 0o755 });
  return folder;
}

t.test("a container by Denim's list and one by flannel's reach each other", options, async (t) => {
  const [a, b] = await twoHosts(t);
  const [first, second] = [new Runtime(a), new Runtime(b, `${pluginFolder(b)}:${PLUGINS}`)];
  const [inA, inB] = [await first.makeContainer("one"), await second.makeContainer("two")];
  const list = readFileSync(conflistOf(a), "utf8");
  const atA = await first.list("ADD", list, inA);
  const atB = await second.list("ADD", FLANNEL_LIST(b), inB);
  t.same(atA.ips.map(({ address, gateway }) => [address, gateway]), [
    ["10.244.1.2/24", "10.244.1.1"],
    ["fd42:0:0:1::2/64", "fd42:0:0:1::1"],
  ]);
  t.same(atB.ips.map(({ address }) => address), ["10.244.2.2/24", "fd42:0:0:2::2/64"]);
  for (const { address } of atB.ips) t.ok(await reaches(inA, address), `to ${address}`);
  for (const { address } of atA.ips) t.ok(await reaches(inB, address), `to ${address}`);

  await first.list("CHECK", list, inA, atA);
  await second.list("DEL", FLANNEL_LIST(b), inB);
  await second.list("DEL", FLANNEL_LIST(b), inB);
  t.notOk(await reaches(inA, atB.ips[0]!.address), "it is gone, and twice is no error");
  const later = FLANNEL_LIST(b).replace("0.3.1", "0.4.0");
  const again = await second.list("ADD", later, inB);
  t.ok(await reaches(inA, again.ips[0]!.address));
  await second.list("CHECK", later, inB, again);
  await runProgram("ip", ["-n", inB, "addr", "flush", "dev", "eth0"]);
  await t.rejects(second.list("CHECK", later, inB, again), { message: /flannel CHECK/ });
  const kept = join(b.folder, "cni/own/cni/flannel", inB);
  t.match(readFileSync(kept, "utf8"), /"bridge"/);
  writeFileSync(kept, "");
  await second.list("DEL", later, inB);
  t.notOk(existsSync(kept), "what a crash has cut off does not keep a container for ever");
  t.not((await runProgram("ip", ["-n", inB, "link", "show", "eth0"])).status, 0);
  await first.list("DEL", list, inA);
});

t.test("the list follows the lease and the MTU, and is nobody else's", options, async (t) => {
  const [a, b] = await twoHosts(t);
  const bridge = () => JSON.parse(readFileSync(conflistOf(a), "utf8")).plugins[0];
  t.equal(bridge().mtu, 1500);
  await runProgram("ip", ["-n", a.namespace, "link", "set", "eth0", "mtu", "1400"]);
  await eventually("another MTU", async () => bridge().mtu === 1400 || undefined);
  const moved = await a.ask(onNode, ["lease", "move", "a", "10.244.77.0/24", "--yes"]);
  t.ok(moved);
  await eventually(
    "another subnet",
    async () => bridge().ipam.ranges[0][0].subnet === "10.244.77.0/24" || undefined,
  );
  rmSync(conflistOf(a));
  await a.daemon!.stop();
  await a.startDaemon(onNode, ["run", "--cni-conflist", conflistOf(a)]);
  await untilReady([a]);
  t.equal(bridge().mtu, 1400, "a start writes what is missing");
  await a.daemon!.stop();

  writeFileSync(conflistOf(a), "{}\n");
  const refused = await runInside(a, ["run", "--cni-conflist", conflistOf(a)]);
  t.equal(refused.status, 7, refused.err);
  t.match(refused.err, /10-denim\.conflist was not written by Denim/);
  t.equal(readFileSync(conflistOf(a), "utf8"), "{}\n");
  await a.startDaemon(onNode, ["run"]);
  await untilReady([a, b]);
  await a.daemon!.stop();

  rmSync(conflistOf(a));
  await a.startDaemon(onNode, ["run", "--cni-conflist", conflistOf(a)]);
  await untilReady([a]);
  t.ok(existsSync(conflistOf(a)));
  await b.ask(onNode, ["leave", "--yes"]);
  await a.ask(onNode, ["leave", "--yes"]);
  await a.daemon!.ended;
  t.notOk(existsSync(conflistOf(a)), "who leaves takes it along");
});

t.test("what a plugin cannot do it says as the specification has it", options, async (t) => {
  const lab = await makeLab(t);
  const host = await lab.addHost("a");
  const runtime = new Runtime(host, `${pluginFolder(host)}:${PLUGINS}`);
  const inside = await runtime.makeContainer("one");
  const config = { type: "flannel", name: "cbr0", cniVersion: "0.3.1" };
  const code = async (command: string, more: object, env = {}) => {
    const said = await runtime.plugin(command, { ...config, ...more }, inside, env);
    t.equal(said.status, 1);
    t.equal(typeof said.answer!["msg"], "string");
    return said.answer!["code"];
  };
  t.equal(await code("ADD", { subnetFile: host.subnetFile }), 11, "try again later");
  writeFileSync(host.subnetFile, "FLANNEL_SUBNET=10.244.1.1/24\n");
  const { subnetFile } = host;
  t.equal(await code("ADD", { subnetFile, delegate: { ipam: {} } }), 7);
  t.equal(await code("ADD", { subnetFile, delegate: { type: "../bridge" } }), 7);
  t.equal(await code("ADD", { subnetFile, delegate: { type: "no-such-plugin" } }), 4);
  t.equal(await code("ADD", { subnetFile }, { CNI_CONTAINERID: "../../x" }), 4);
  t.equal(await code("ADD", { subnetFile }, { CNI_PATH: "" }), 4);
  t.equal(await code("CHECK", { subnetFile }), 11);
  t.equal(await code("MOVE", { subnetFile }), 4);
  const gone = await runtime.plugin("DEL", { ...config, subnetFile }, "never-seen");
  t.same(gone, { status: 0, answer: undefined });
});

t.test("the single binary is the plugin by a link of that name", options, async (t) => {
  const lab = await makeLab(t);
  const folder = join(lab.hosts[0]?.folder ?? (await lab.addHost("a")).folder);
  const [binary] = await singleBinary();
  symlinkSync(binary!, join(folder, "flannel"));
  const env = { CNI_COMMAND: "VERSION" };
  const { status, out } = await runProgram(join(folder, "flannel"), [], { env });
  t.equal(status, 0);
  t.ok(JSON.parse(out).supportedVersions.includes("1.0.0"));
});
