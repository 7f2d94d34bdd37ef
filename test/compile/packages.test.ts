/** What people install: what is in it, where it refuses, and that it goes as it came. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import t, { type Test } from "tap";
import { buildPackages, type Packages } from "../../compile/packages.ts";
import { findTarget, HOST_TARGET } from "../../compile/targets.ts";
import manifest from "../../package.json" with { type: "json" };
import { Booted, cannotBoot } from "../support/booted.ts";
import { temporaryFolder } from "../support/folders.ts";
import { eventually, makeLab } from "../support/lab.ts";

const cannotPackage: string | false = existsSync("/usr/bin/dpkg-deb") ? false : "needs dpkg-deb";
const options = { skip: cannotPackage, timeout: 600_000 };
const isRoot = process.getuid?.() === 0;

let built: Promise<Packages> | undefined;

function packages(): Promise<Packages> {
  return built ??= buildPackages(findTarget(HOST_TARGET)!, () => {});
}

function says(command: string, ...words: readonly string[]): string {
  return execFileSync(command, words, { encoding: "utf8", maxBuffer: 1 << 26 });
}

t.test("the package has the binary, the unit, the name of the routes, docs and completion", {
  ...options,
}, async (t) => {
  const { deb } = await packages();
  const lines = says("dpkg-deb", "--contents", deb).trim().split("\n");
  const files = new Map(lines.map((line) => {
    const [mode, owner, , , , path] = line.split(/\s+/);
    return [path!, `${mode} ${owner}`];
  }));
  const wanted = {
    "./usr/bin/denim": "-rwxr-xr-x root/root",
    "./usr/lib/systemd/system/denim.service": "-rw-r--r-- root/root",
    "./etc/iproute2/rt_protos.d/denim.conf": "-rw-r--r-- root/root",
    "./usr/share/bash-completion/completions/denim": "-rw-r--r-- root/root",
    "./usr/share/doc/denim/copyright": "-rw-r--r-- root/root",
    "./usr/share/doc/denim/docs/reference/systemd.md": "-rw-r--r-- root/root",
  };
  for (const [path, mode] of Object.entries(wanted)) t.equal(files.get(path), mode, path);
  const folder = temporaryFolder(t);
  says("dpkg-deb", "--extract", deb, folder);
  const unit = readFileSync(join(folder, "usr/lib/systemd/system/denim.service"), "utf8");
  t.match(unit, /^ExecStart=\/usr\/bin\/denim run$/m);
  t.equal(says("dpkg-deb", "--field", deb, "Version").trim(), manifest.version);
});

t.test("every library that the binary loads is a dependency", options, async (t) => {
  const { deb } = await packages();
  const folder = temporaryFolder(t);
  says("dpkg-deb", "--extract", deb, folder);
  const depends = says("dpkg-deb", "--field", deb, "Depends");
  const paths = [...says("ldd", join(folder, "usr/bin/denim")).matchAll(/=> (\/\S+)/g)]
    .map((match) => match[1]!);
  t.ok(paths.length > 3);
  for (const path of paths) {
    const owner = spawnSync("dpkg", ["-S", `*/${basename(path)}`], { encoding: "utf8" }).stdout
      .split("\n").map((line) => line.split(":")[0]!).filter((name) => /^lib/.test(name));
    t.ok(owner.some((name) => depends.includes(name)), `${basename(path)}: ${owner.join()}`);
  }
});

t.test("the checksums are those of the files", options, async (t) => {
  const { deb, archive, sums } = await packages();
  const { status, stdout } = spawnSync("sha256sum", ["--check", "SHA256SUMS"], {
    cwd: join(sums, ".."),
    encoding: "utf8",
  });
  t.equal(status, 0);
  t.same(stdout.trim().split("\n"), [`${basename(deb)}: OK`, `${basename(archive)}: OK`]);
});

/** The archive, unpacked, and an empty place to install to. */
async function unpacked(t: Test): Promise<{ folder: string; prefix: string }> {
  const { archive } = await packages();
  const root = temporaryFolder(t);
  says("tar", "--extract", `--file=${archive}`, `--directory=${root}`);
  return { folder: join(root, readdirSync(root)[0]!), prefix: join(root, "prefix") };
}

function install({ folder, prefix }: { folder: string; prefix: string }, path: string) {
  const words = [join(folder, "install.sh"), "--prefix", prefix];
  return spawnSync("sh", words, { encoding: "utf8", env: { PATH: path } });
}

t.test("the archive installs, again and again, and is gone without a trace", {
  ...options,
  skip: cannotPackage || cannotBoot(),
}, async (t) => {
  const { archive } = await packages();
  const host = await (await makeLab(t)).addHost("a");
  const machine = await Booted.boot(t, host, { files: { "/opt/denim.tar.gz": archive } });
  await machine.does("tar", "--extract", "--file=/opt/denim.tar.gz", "--directory=/opt");
  const folder = readdirSync(join(machine.root, "opt")).find((name) => !name.endsWith(".gz"))!;
  const script = `/opt/${folder}/install.sh`;
  const place = ["--prefix", "/srv/denim"];
  for (let i = 0; i < 2; i++) {
    const said = await machine.does("sh", "-c", `umask 077; sh ${script} ${place.join(" ")}`);
    t.ok(said.startsWith(`Denim ${manifest.version} is in /srv/denim/bin/denim.`), said);
  }
  t.same(readdirSync(join(machine.root, "srv/denim/bin")), ["denim"], "nothing half done is left");
  for (const folder of ["srv/denim/bin", "srv/denim/share"]) {
    t.equal(statSync(join(machine.root, folder)).mode & 0o777, 0o755, "for everybody");
  }
  const made = await machine.type("/srv/denim/bin/denim", "init");
  t.equal(made.status, 0, made.err);
  t.match(await machine.does("sh", script, ...place), /goes on with the old one until/);
  const early = await machine.type("sh", script, "--uninstall", ...place);
  t.equal(early.status, 7, early.err);
  t.match(early.err, /This host is in a cluster/);
  await machine.does("/srv/denim/bin/denim", "leave", "--yes");
  await machine.does("sh", script, "--uninstall", ...place);
  t.equal(await machine.does("find", "/srv/denim", "/etc/denim", "-type", "f").catch(() => ""), "");
  t.equal(await machine.show("denim", "LoadState"), "not-found");
  t.equal((await machine.type("sh", script, "--uninstall", ...place)).status, 1, "once is enough");
  t.equal((await machine.type("sh", script, "--remove")).status, 2);
});

t.test("the installer refuses a machine on which Denim would not run", {
  ...options,
  skip: cannotPackage || (isRoot ? false as const : "needs root"),
}, async (t) => {
  const place = await unpacked(t);
  const tools = join(place.folder, "..", "tools");
  mkdirSync(tools);
  const refused = (name: string, script: string, words: RegExp) => {
    writeFileSync(join(tools, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const { status, stderr } = install(place, `${tools}:${process.env["PATH"]}`);
    says("rm", join(tools, name));
    t.equal(status, 1, name);
    t.match(stderr, words);
    t.notOk(existsSync(place.prefix), "nothing was written");
  };
  const uname = (flag: string, answer: string) =>
    `if [ "$1" = ${flag} ]; then echo ${answer}; else exec /usr/bin/uname "$@"; fi`;
  refused("id", "echo 1000", /needs root/);
  refused("uname", uname("-s", "FreeBSD"), /this is FreeBSD/);
  refused("uname", uname("-m", "riscv64"), /this machine is riscv64/);
  refused("uname", uname("-r", "4.9.0-19-amd64"), /the kernel is 4\.9\.0/);
  refused("getconf", "echo glibc 2.27", /glibc is 2\.27/);
  refused("getconf", "exit 1", /no glibc/);
  // As where a library is missing that it is linked with.
  writeFileSync(join(place.folder, "denim"), "#!/bin/sh\nexit 127\n", { mode: 0o755 });
  const sums = "sha256sum $(sed 's/^[^ ]* *//' SHA256SUMS) > new && mv new SHA256SUMS";
  execFileSync("sh", ["-c", sums], { cwd: place.folder });
  refused("true", "exit 0", /the binary does not run here[^]*libstdc\+\+6/);
  writeFileSync(join(place.folder, "README.md"), "something else\n");
  refused("true", "exit 0", /a checksum differs/);
});

t.test("the package is installed, used, upgraded, removed and purged", {
  ...options,
  skip: cannotPackage || cannotBoot("/usr/bin/dpkg"),
}, async (t) => {
  const { deb } = await packages();
  const lab = await makeLab(t);
  const host = await lab.addHost("a");
  const machine = await Booted.boot(t, host, { installs: true, files: { "/opt/denim.deb": deb } });
  await machine.does("dpkg", "--install", "/opt/denim.deb");
  t.equal(await machine.show("denim", "ActiveState"), "inactive", "nobody asked for a start");
  t.match(await machine.does("getent", "group", "denim"), /^denim:/);
  t.match(await machine.does("denim", "self-test"), /node/);

  const made = await machine.type("denim", "init", "--zone", "x");
  t.equal(made.status, 0, made.err);
  t.notOk(existsSync(join(machine.root, "etc/systemd/system/denim.service")), "it has one");
  t.equal(await machine.show("denim", "FragmentPath"), "/lib/systemd/system/denim.service");
  t.match(await machine.does("stat", "--format=%a %G", "/run/denim/denim.sock"), /^660 denim$/);
  const pid = await machine.show("denim", "MainPID");

  await machine.does("dpkg", "--install", "/opt/denim.deb");
  await eventually(
    "an upgrade starts the new one",
    async () =>
      await machine.show("denim", "MainPID") !== pid &&
        await machine.show("denim", "ActiveState") === "active" || undefined,
  );
  t.match(await machine.does("denim", "status"), /10\.244\.1\.0\/24 +held/);

  const removed = await machine.does("sh", "-c", "dpkg --remove denim 2>&1");
  t.match(removed, /still in its cluster/);
  t.equal(await machine.show("denim", "LoadState"), "not-found");
  t.match(await machine.does("cat", "/etc/denim/denim.env"), /^DENIM_ZONE=x$/m);
  t.ok(existsSync(join(machine.root, "var/lib/denim/identity/node.json")));

  await machine.does("dpkg", "--install", "/opt/denim.deb");
  await machine.does("systemctl", "start", "denim");
  t.match(await machine.does("denim", "status"), /10\.244\.1\.0\/24 +held/, "as it was");
  await machine.does("denim", "leave", "--yes");
  await machine.does("dpkg", "--purge", "denim");
  for (const path of ["var/lib/denim", "etc/denim", "run/denim", "etc/iproute2/rt_protos.d"]) {
    t.notOk(existsSync(join(machine.root, path)), path);
  }
  t.equal((await machine.type("sh", "-c", "command -v denim")).status, 127);
});

t.test("the package takes over from the archive", {
  ...options,
  skip: cannotPackage || cannotBoot("/usr/bin/dpkg"),
}, async (t) => {
  const { deb, archive } = await packages();
  const host = await (await makeLab(t)).addHost("a");
  const files = { "/opt/denim.deb": deb, "/opt/denim.tar.gz": archive };
  const machine = await Booted.boot(t, host, { installs: true, files });
  await machine.does("tar", "--extract", "--file=/opt/denim.tar.gz", "--directory=/opt");
  const folder = readdirSync(join(machine.root, "opt")).find((name) => !/\.(gz|deb)$/.test(name))!;
  await machine.does("sh", `/opt/${folder}/install.sh`, "--prefix", "/srv/denim");
  const made = await machine.type("/srv/denim/bin/denim", "init");
  t.equal(made.status, 0, made.err);

  await machine.does("sh", "-c", "dpkg --install /opt/denim.deb < /dev/null");
  t.equal(await machine.show("denim", "FragmentPath"), "/lib/systemd/system/denim.service");
  t.equal(await machine.show("denim", "UnitFileState"), "enabled");
  t.equal(await machine.show("denim", "ActiveState"), "active", "what runs goes on");
  await machine.does("systemctl", "restart", "denim");
  const pid = await machine.show("denim", "MainPID");
  t.equal(await machine.does("readlink", `/proc/${pid}/exe`), "/usr/bin/denim");
  t.match(await machine.does("/usr/bin/denim", "status"), /10\.244\.1\.0\/24 +held/);
});
