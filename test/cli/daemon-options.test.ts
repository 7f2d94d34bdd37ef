/** What the daemon is told on its command line and in its environment. */
import { writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import t from "tap";
import type { Settings } from "../../src/agent/settings.ts";
import {
  addDaemonOptions,
  type DaemonFlags,
  nameOf,
  networkText,
  settingsOf,
  withEnvironment,
  withFile,
} from "../../src/cli/daemon-options.ts";
import { formatAddress } from "../../src/ip/address.ts";
import { temporaryFolder } from "../support/folders.ts";

function flagsOf(line: string): DaemonFlags {
  const command = addDaemonOptions(new Command()).exitOverride()
    .configureOutput({ writeErr: () => {}, outputError: () => {} });
  return command.parse(line.split(" ").filter(Boolean), { from: "user" }).opts<DaemonFlags>();
}

const settings = (line: string, seeds: readonly string[] = []): Settings =>
  settingsOf(flagsOf(line), "1.2.3", seeds);

t.test("everything has a default", async (t) => {
  t.same(settings(""), {
    stateDir: "/var/lib/denim",
    socketPath: "/run/denim/denim.sock",
    readSocketPath: undefined,
    subnetFile: "/run/flannel/subnet.env",
    backendsDir: "/etc/denim/backends",
    commandsAllow: "/etc/denim/commands.allow",
    cniConflist: undefined,
    listen: { host: "::", port: 7470 },
    advertise: undefined,
    apiPort: 7475,
    etcd: undefined,
    iface: undefined,
    ifaceRegex: undefined,
    ifaceCanReach: undefined,
    publicIp: undefined,
    publicIpv6: undefined,
    seeds: [],
    profile: "lan",
    zone: undefined,
    allowOverlap: false,
    acceptExpiredLease: false,
    ipMasq: true,
    forwardRules: true,
    disk: { lowBytes: 268_435_456, ballastBytes: 33_554_432 },
    version: "1.2.3",
  });
  t.equal(nameOf(flagsOf("")), hostname().split(".")[0]);
});

t.test("what is not given may stand in the service's file of variables", async (t) => {
  const text = "DENIM_STATE_DIR='/srv/denim'\nDENIM_ZONE=rack7\nDENIM_NAME=\nDENIM_PROFILE=wan\n";
  const flags = (line: string, text: string) => {
    const command = addDaemonOptions(new Command());
    command.parse(line.split(" ").filter(Boolean), { from: "user" });
    return withFile(command, command.opts<DaemonFlags>(), text);
  };
  const { stateDir, zone, name, profile, subnetFile } = flags("--zone rack8", text);
  t.same([stateDir, zone, name, profile], ["/srv/denim", "rack8", undefined, "wan"]);
  t.equal(subnetFile, "/run/flannel/subnet.env");
  t.throws(() => flags("", "DENIM_PROFILE=moon\n"), { code: "CONFIG_INVALID" });
});

t.test("room on the disk is said in MiB", async (t) => {
  const { disk } = settings("--disk-low 0 --ballast 8");
  t.same(disk, { lowBytes: 0, ballastBytes: 8_388_608 });
  for (const text of ["-1", "1.5", "many", ""]) {
    t.throws(() => settingsOf({ ...flagsOf(""), ballast: text }, "1", []), { code: "USAGE" });
  }
});

t.test("a zone is a word", async (t) => {
  t.equal(settings("--zone eu-west/rack.7").zone, "eu-west/rack.7");
  for (const zone of ["two words", "-x", "ä", "x".repeat(64)]) {
    t.throws(() => settingsOf({ ...flagsOf(""), zone }, "1", []), { code: "USAGE" }, zone);
  }
  t.equal(settingsOf({ ...flagsOf(""), zone: "" }, "1", []).zone, undefined);
});

t.test("the data interface can be chosen by a pattern, or by what it reaches", async (t) => {
  const found = settings(
    "--iface-regex ^eth[0-9]$ --iface-can-reach 10.0.0.9 --public-ipv6 fd00::7",
  );
  t.ok(found.ifaceRegex!.test("eth7"));
  t.equal(formatAddress(found.ifaceCanReach!), "10.0.0.9");
  t.equal(formatAddress(found.publicIpv6!), "fd00::7");
  for (
    const line of [
      "--iface-regex (",
      "--iface-can-reach web1",
      "--public-ip 10.0.0",
      "--public-ipv6 192.0.2.7",
    ]
  ) {
    t.throws(() => settings(line), { code: "USAGE", fix: new RegExp(line.split(" ")[0]!) }, line);
  }
});

t.test("addresses are read and completed", async (t) => {
  const found = settings("--listen 10.0.0.1 --advertise web1 --public-ip 192.0.2.7 --name web1", [
    "10.0.0.2",
    "fd00::1",
  ]);
  t.same(found.listen, { host: "10.0.0.1", port: 7470 });
  t.equal(found.advertise, "web1:7470");
  t.equal(formatAddress(found.publicIp!), "192.0.2.7");
  t.same(found.seeds, ["10.0.0.2:7470", "[fd00::1]:7470"]);
});

t.test("a port is a number, or off", async (t) => {
  t.equal(settings("--api-port off").apiPort, undefined);
  t.equal(settings("--api-port 80").apiPort, 80);
  for (const wrong of ["0", "65536", "x", "80.5", "-1"]) {
    t.throws(() => settings(`--api-port=${wrong}`), { code: "USAGE", fix: /7475/ }, wrong);
  }
  for (const wrong of [":7470", "10.0.0.1:0", "a b".replace(" ", "/"), "10.0.0.1:99999"]) {
    t.throws(() => settings(`--listen ${wrong}`), { code: "CONFIG_INVALID" }, wrong);
  }
  t.throws(() => settings("--public-ip here"), { code: "USAGE" });
});

t.test("etcd's face has an address of this host alone, and a path", async (t) => {
  t.same(settings("--etcd-listen 127.0.0.1:2379 --etcd-prefix /kube-centos//network/").etcd, {
    host: "127.0.0.1",
    port: 2379,
    prefix: "/kube-centos/network",
    isRequired: true,
  });
  t.equal(settings("--etcd-listen [::1]:2379").etcd!.prefix, "/coreos.com/network");
  t.equal(settings("--etcd-listen localhost:4001").etcd!.port, 4001);
  t.equal(settings("--etcd-listen off").etcd, undefined);
  for (const wrong of ["127.0.0.1", "0.0.0.0:2379", "192.0.2.1:2379", "web1:2379", ":2379", "x"]) {
    t.throws(() => settings(`--etcd-listen ${wrong}`), { code: "USAGE" }, wrong);
  }
  for (const wrong of ["/", "network", "/a/../b", "/a/./b"]) {
    t.throws(() => settings(`--etcd-prefix ${wrong}`), { code: "USAGE" }, wrong);
  }
});

t.test("containers are masqueraded and let through unless one says no", async (t) => {
  const of = (line: string, env = {}) => {
    const { ipMasq, forwardRules } = settingsOf(withEnvironment(flagsOf(line), env), "1", []);
    return [ipMasq, forwardRules];
  };
  t.same(of(""), [true, true]);
  t.same(of("--ip-masq --forward-rules"), [true, true]);
  t.same(of("--no-ip-masq"), [false, true]);
  t.same(of("--no-forward-rules"), [true, false]);
  const no = { DENIM_IP_MASQ: "false", DENIM_FORWARD_RULES: "no" };
  t.same(of("", no), [false, false]);
  t.same(of("--ip-masq", no), [true, false], "what is typed counts");
  t.throws(() => of("", { DENIM_IP_MASQ: "maybe" }), { code: "USAGE" });
});

t.test("a profile that nobody knows is refused", async (t) => {
  t.throws(() => flagsOf("--profile moon"));
});

t.test("a switch's variable says yes or no", async (t) => {
  const isOn = (text: string | undefined, line = "") => {
    const env = text === undefined ? {} : { DENIM_ACCEPT_EXPIRED_LEASE: text };
    return settingsOf(withEnvironment(flagsOf(line), env), "1", []).acceptExpiredLease;
  };
  for (const yes of ["1", "true", "YES", "on"]) t.equal(isOn(yes), true, yes);
  for (const no of [undefined, "", "0", "false", "no", "off"]) t.equal(isOn(no), false, String(no));
  t.equal(isOn("false", "--accept-expired-lease"), true, "what is typed counts");
  t.throws(() => isOn("maybe"), { code: "USAGE" });
});

t.test("a network is a block of either family, JSON, or a file", async (t) => {
  t.equal(networkText("10.6.0.0/16"), '{"Network":"10.6.0.0/16"}');
  t.same(JSON.parse(networkText("fd00:6::/48")), {
    EnableIPv4: false,
    EnableIPv6: true,
    IPv6Network: "fd00:6::/48",
  });
  t.equal(networkText(' {"Network":"10.6.0.0/16"}'), ' {"Network":"10.6.0.0/16"}');
  const file = join(temporaryFolder(t), "network.json");
  writeFileSync(file, '{"Network":"10.7.0.0/16"}\n');
  t.equal(networkText(file), '{"Network":"10.7.0.0/16"}\n');
  for (const wrong of ["10.6.0.0", "/nowhere/network.json"]) {
    t.throws(() => networkText(wrong), { code: "CONFIG_INVALID", fix: /10\.244\.0\.0\/16/ }, wrong);
  }
});
