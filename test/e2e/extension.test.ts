/** Networks whose packets are carried by commands, with real daemons and real commands of `ip`. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { ip } from "../../src/cli/lab/ip.ts";
import { allowing, installScripts } from "../support/allowing.ts";
import {
  cannotLab,
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  offline,
  onDeno,
  onNode,
  restart,
  singleBinary,
  subnetOf,
  typed,
  unreached,
  untilReady,
  watchAll,
} from "../support/lab.ts";
import { refused } from "../support/refusal.ts";
import { root } from "../support/root.ts";
import { addFarHost, addRouter } from "../support/router.ts";

const TIMEOUT_MS = 600_000;

const ROUTES = {
  Type: "extension",
  SubnetAddCommand: ["ip", "route", "replace", "$SUBNET", "via", "$PUBLIC_IP"],
  SubnetRemoveCommand: ["ip", "route", "del", "$SUBNET", "via", "$PUBLIC_IP"],
};

const config = (backend: object) => JSON.stringify({ Network: "10.244.0.0/16", Backend: backend });

/** `10.244.2.0/24 via 192.0.2.2`: what is routed to other hosts' subnets. */
async function routesOf(host: Host): Promise<string[]> {
  return (await host.routes()).filter(({ dst, gateway }) => dst.startsWith("10.244.") && gateway)
    .map(({ dst, gateway }) => `${dst} via ${gateway}`).sort();
}

async function untilRoutes(host: Host, ...wanted: string[]): Promise<void> {
  await eventually(`${host.name} has ${wanted.join(", ") || "no routes"}`, async () => {
    return String(await routesOf(host)) === String(wanted) ? true : undefined;
  });
}

interface Line {
  readonly about: string;
  readonly state: string;
  readonly error?: string;
}

async function lines(host: Host): Promise<string[]> {
  const { items } = await host.get("/v1/nodes/self/routes") as { items: Line[] };
  return items.map(({ about, state, error }) => `${about} ${state}${error ? `: ${error}` : ""}`);
}

async function untilLine(host: Host, wanted: RegExp): Promise<string> {
  return await eventually(`${host.name} says ${wanted}`, async () => {
    return (await lines(host)).find((line) => wanted.test(line));
  });
}

t.test("commands route one flat link", { skip: cannotLab, timeout: TIMEOUT_MS }, async (t) => {
  const lab = await makeLab(t);
  const [a, b, c] = [await lab.addHost("a"), await lab.addHost("b"), await lab.addHost("c")];
  const hosts = [a, b, c];
  const add = join(a.folder, "..", "add");
  const trap = join(a.folder, "..", "trap");
  const binary = await singleBinary();
  const program = (host: Host, by = onNode) =>
    allowing(by, host.folder, ["ip route replace", "ip route del", add]);

  await t.test("a host that allows nothing does not come in, and says what is missing", async (t) => {
    const none = allowing(onNode, a.folder, []);
    const words = ["init", "--network", config(ROUTES), "--foreground"];
    const { code, err } = await refused(t, a, words, {}, none);
    t.equal(code, "PERMISSION_DENIED");
    t.match(err, /This host does not run "ip route replace"/);
    t.match(err, /mkdir -p .*; echo 'ip route replace' >> .*commands\.allow/);
  });

  await t.test("containers reach each other", async (t) => {
    await found(a, program(a, binary), config(ROUTES));
    // Agents: a host that is stopped later takes no voter away from the one that leaves.
    const token = await makeToken(a, 5, ["--role", "agent"]);
    await joinBy(b, program(b), a, token);
    await joinBy(c, program(c, onDeno), a, token);
    await untilRoutes(a, "10.244.2.0/24 via 192.0.2.2", "10.244.3.0/24 via 192.0.2.3");
    await untilRoutes(b, "10.244.1.0/24 via 192.0.2.1", "10.244.3.0/24 via 192.0.2.3");
    await untilRoutes(c, "10.244.1.0/24 via 192.0.2.1", "10.244.2.0/24 via 192.0.2.2");
    for (const host of hosts) await host.startContainer();
    t.same(await unreached(hosts), []);
    // The route is there a little before its command has ended.
    for (const n of [2, 3]) await untilLine(a, new RegExp(`^10\\.244\\.${n}\\.0/24 ok`));
    t.match((await typed(a, ["route"])).out, /10\.244\.2\.0\/24 +– +SubnetAddCommand +ok/);
    t.match((await typed(a, ["status"])).out, /backend +extension[^]*routes +2 ok/);
  });

  await t.test("an address that has changed is removed and added, here and nowhere else", async (t) => {
    const other = "192.0.2.102";
    await b.set("net/ipv4/conf/eth0/promote_secondaries", "1");
    await ip(`-n ${b.namespace} address add ${other}/24 dev eth0`);
    await ip(`-n ${b.namespace} address del 192.0.2.2/24 dev eth0`);
    await ip(`-n ${b.namespace} route replace default via 192.0.2.254 dev eth0`);
    await untilRoutes(a, `10.244.2.0/24 via ${other}`, "10.244.3.0/24 via 192.0.2.3");
    await untilRoutes(b, "10.244.1.0/24 via 192.0.2.1", "10.244.3.0/24 via 192.0.2.3");
    await eventually("containers reach each other", async () => {
      return (await unreached(hosts)).length === 0 ? true : undefined;
    });
    t.match(await untilLine(a, /^10\.244\.2\.0\/24 ok/), /ok$/);
  });

  await t.test("one command that hangs keeps no other waiting", async (t) => {
    writeFileSync(
      add,
      `#!/bin/sh\nif [ "$PUBLIC_IP" = 192.0.2.3 ] && [ -e ${trap} ]; then\n` +
        "  echo waiting for the moon >&2; sleep 1000\nfi\n" +
        'ip route replace "$SUBNET" via "$PUBLIC_IP" metric 7\n',
      { mode: 0o755 },
    );
    writeFileSync(trap, "");
    const text = config({ ...ROUTES, SubnetAddCommand: [add], CommandTimeout: 2 });
    t.equal((await typed(a, ["network", "set", text])).status, 0);
    t.equal(
      await untilLine(a, /^10\.244\.3\.0\/24 failed/),
      "10.244.3.0/24 failed: SubnetAddCommand did not end within 2 s: waiting for the moon",
    );
    await untilLine(a, /^10\.244\.2\.0\/24 ok/);
    t.same(await routesOf(a), ["10.244.2.0/24 via 192.0.2.102"]);
    t.match((await typed(a, ["status"])).out, /! commands: 10\.244\.3\.0\/24: .*the moon/);
    rmSync(trap);
    await untilLine(a, /^10\.244\.3\.0\/24 ok/);
    await eventually("containers reach each other", async () => {
      return (await unreached(hosts)).length === 0 ? true : undefined;
    });
  });

  await t.test("a stop removes nothing, and who goes meanwhile is removed at the start", async (t) => {
    const before = await routesOf(b);
    t.equal(await b.daemon!.stop(), 0);
    t.same(await routesOf(b), before);
    t.equal((await typed(c, ["leave", "--yes"])).status, 0);
    await c.daemon!.ended;
    t.same(await routesOf(c), [], "who leaves removes its peers");
    await untilRoutes(a, "10.244.2.0/24 via 192.0.2.102");
    await restart(b, program(b));
    await untilReady([b]);
    await untilRoutes(b, "10.244.1.0/24 via 192.0.2.1");
    t.notOk(existsSync(join(c.stateDir, "identity", "hooks.json")));
  });

  await t.test("a line that is taken out of the file is not run any more", async (t) => {
    allowing(onNode, a.folder, [add]);
    const d = await lab.addHost("d");
    await joinBy(d, program(d), a, await makeToken(a));
    await untilRoutes(a, "10.244.2.0/24 via 192.0.2.102", "10.244.4.0/24 via 192.0.2.4");
    t.equal((await typed(d, ["leave", "--yes"])).status, 0);
    t.match(
      await untilLine(a, /^10\.244\.4\.0\/24 failed/),
      /This host does not run "ip route del 10\.244\.4\.0\/24 via 192\.0\.2\.4"/,
    );
  });

  await t.test("a cleanup undoes what commands have added, where the host lets it", async (t) => {
    await b.daemon!.stop("SIGKILL");
    t.same(await routesOf(b), ["10.244.1.0/24 via 192.0.2.1"]);
    const words = ["cleanup", "--yes", "--subnet-file", b.subnetFile];
    const look = await offline(b, [...words, "--dry-run"]);
    t.match(look.out, /ip route del 10\.244\.1\.0\/24 via 192\.0\.2\.1/);
    const not = await offline(b, words, { DENIM_COMMANDS_ALLOW: "/nowhere" });
    t.equal(not.status, 1, not.err);
    t.match(not.err, /commands of the backend failed[^]*does not run[^]*COMMAND_FAILED/);
    const may = { DENIM_COMMANDS_ALLOW: join(b.folder, "commands.allow") };
    const done = await offline(b, words, may);
    t.equal(done.status, 0, done.err);
    t.same(await routesOf(b), []);
  });

  await t.test("who leaves does not stay for a removal that hangs, and says so", async (t) => {
    await restart(b, program(b));
    await untilReady([b]);
    await untilRoutes(b, "10.244.1.0/24 via 192.0.2.1");
    const stuck = join(a.folder, "..", "stuck");
    writeFileSync(stuck, "#!/bin/sh\necho waiting for the moon >&2; sleep 1000\n", { mode: 0o755 });
    const patient = {
      SubnetAddCommand: [...ROUTES.SubnetAddCommand, "metric", "9"],
      SubnetRemoveCommand: [stuck, "$SUBNET"],
      CommandTimeout: 600,
    };
    allowing(onNode, b.folder, ["ip route replace", "ip route del", stuck]);
    const text = config({ Type: "extension", ...patient });
    t.equal((await typed(a, ["network", "set", text])).status, 0);
    const record = join(b.stateDir, "identity", "hooks.json");
    await eventually("b has taken it", async () => {
      return readFileSync(record, "utf8").includes(stuck) ? true : undefined;
    });
    await untilLine(b, /^10\.244\.1\.0\/24 ok/);
    const { status, out } = await typed(b, ["leave", "--yes"]);
    t.equal(status, 0);
    t.match(out, /^This host has left; 10\.244\.2\.0\/24 is free again\.$/m);
    t.match(
      out,
      /^! stays here: 10\.244\.1\.0\/24: SubnetRemoveCommand did not end within 10 s: waiting for the moon$/m,
    );
    await b.daemon!.ended;
    t.notOk(existsSync(b.subnetFile));
  });
});

t.test("a tunnel by commands crosses a router", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const lab = await makeLab(t);
  await addRouter(lab);
  const [a, b, c] = [
    await lab.addHost("a"),
    await addFarHost(lab, "b", 2),
    await addFarHost(lab, "c", 3),
  ];
  const hosts = [a, b, c];
  const example = join(root, "examples/extension");
  const sbin = installScripts(example, join(a.folder, ".."));
  const network = readFileSync(join(example, "network.json"), "utf8")
    .replaceAll("/usr/local/sbin", sbin);
  const names = ["make", "up", "add", "remove", "down"];
  const program = (host: Host, by = onNode) =>
    allowing(by, host.folder, names.map((name) => join(sbin, `vxlan-${name}`)));
  const link = async (host: Host) => await ip(`-n ${host.namespace} -d link show`);

  await found(a, program(a), network);
  const token = await makeToken(a, 5, ["--role", "agent"]);
  await joinBy(b, program(b, onDeno), a, token);
  await joinBy(c, program(c, await singleBinary()), a, token);
  for (const host of hosts) {
    await untilLine(host, /^own ok|^10\.244\.\d\.0\/24 ok/);
    await host.startContainer();
  }

  await t.test("containers reach each other through it", async (t) => {
    await eventually("they do", async () => {
      return (await unreached(hosts)).length === 0 ? true : undefined;
    });
    t.match(await link(a), /vxlan id 42 /);
    t.match(readFileSync(a.subnetFile, "utf8"), /^FLANNEL_MTU=1450$/m);
    const dst = await ip(`-n ${a.namespace} -j route show ${await subnetOf(b)}`);
    t.match(dst, /"dev":"ext0"/);
  });

  await t.test("a restart of a daemon loses no packet", async (t) => {
    const end = await watchAll(hosts);
    const same = async () => await ip(`-n ${b.namespace} link show dev ext0`);
    const before = await same();
    t.equal(await b.daemon!.stop(), 0);
    await restart(b, program(b));
    await untilReady([b]);
    await untilLine(b, /^10\.244\.1\.0\/24 ok/);
    t.equal(await same(), before, "the link is the same one");
    t.same(await end(), []);
  });

  await t.test("who leaves takes its link along, and is gone from the others", async (t) => {
    const subnet = await subnetOf(c);
    t.equal((await typed(c, ["leave", "--yes"])).status, 0);
    t.notOk((await link(c)).includes("ext0"));
    await eventually("the others have forgotten it", async () => {
      const routes = await ip(`-n ${a.namespace} route show ${subnet}`);
      const entries = await ip(`-n ${a.namespace} neigh show dev ext0`);
      return routes === "" && !entries.includes(subnet.replace("/24", "")) ? true : undefined;
    });
    t.same(await unreached([a, b]), []);
  });
});
