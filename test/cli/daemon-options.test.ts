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
    listen: { host: "::", port: 7470 },
    advertise: undefined,
    apiPort: 7475,
    iface: undefined,
    publicIp: undefined,
    seeds: [],
    profile: "lan",
    acceptExpiredLease: false,
    disk: { lowBytes: 268_435_456, ballastBytes: 33_554_432 },
    version: "1.2.3",
  });
  t.equal(nameOf(flagsOf("")), hostname().split(".")[0]);
});

t.test("room on the disk is said in MiB", async (t) => {
  const { disk } = settings("--disk-low 0 --ballast 8");
  t.same(disk, { lowBytes: 0, ballastBytes: 8_388_608 });
  for (const text of ["-1", "1.5", "many", ""]) {
    t.throws(() => settingsOf({ ...flagsOf(""), ballast: text }, "1", []), { code: "USAGE" });
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
  t.throws(() => settings("--public-ip here"), { code: "CONFIG_INVALID" });
});

t.test("what is not there yet is refused, not ignored", async (t) => {
  t.throws(() => settings("--ip-masq"), { code: "USAGE", why: /FLANNEL_IPMASQ=false/ });
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
  const masq = withEnvironment(flagsOf(""), { DENIM_IP_MASQ: "false" });
  t.equal(settingsOf(masq, "1", []).version, "1");
  const on = withEnvironment(flagsOf(""), { DENIM_IP_MASQ: "true" });
  t.throws(() => settingsOf(on, "1", []), { code: "USAGE" });
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
