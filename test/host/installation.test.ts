import {
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import t, { type Test } from "tap";
import { renderConflist } from "../../src/host/cni/conflist.ts";
import { Installation, type Wishes } from "../../src/host/installation.ts";
import { MARK } from "../../src/host/systemd-units.ts";
import { temporaryFolder } from "../support/folders.ts";

/** A folder that stands for `/`. */
class Root {
  readonly folder: string;
  readonly installation: Installation;

  constructor(t: Test) {
    this.folder = temporaryFolder(t);
    this.installation = new Installation(this.folder);
    this.put("/etc/iproute2/rt_protos", "");
  }

  put(path: string, text: string, mode = 0o644): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true });
    writeFileSync(join(this.folder, path), text, { mode });
  }

  read(path: string): string {
    return readFileSync(join(this.folder, path), "utf8");
  }

  /** Every file and its text, folders left out. */
  all(): Record<string, string> {
    const paths = globSync("**/*", { cwd: this.folder }).sort()
      .filter((path) => statSync(join(this.folder, path), { throwIfNoEntry: false })?.isFile());
    return Object.fromEntries(paths.map((path) => [`/${path}`, this.read(path)]));
  }
}

function wishes(more: Partial<Wishes> = {}): Wishes {
  return { program: ["/usr/bin/denim"], variables: new Map(), folders: [], ...more };
}

const UNIT = "/etc/systemd/system/denim.service";
const ENV = "/etc/denim/denim.env";
const DOCKER_UNIT = "/lib/systemd/system/docker.service";
const DOCKER = "[Service]\nExecStart=/usr/sbin/dockerd $DOCKER_OPTS\n";

t.test("what is installed carries a mark, and uninstalling leaves nothing of it", async (t) => {
  const root = new Root(t);
  root.put(DOCKER_UNIT, DOCKER);
  root.put("/etc/systemd/system/docker.service.d/proxy.conf", "[Service]\n");
  const before = root.all();
  const all = wishes({
    variables: new Map([["DENIM_IFACE", "eth1"]]),
    folders: [{ path: "/srv/denim", mode: 0o700 }],
    docker: { subnetFile: "/run/flannel/subnet.env" },
    flanneld: true,
  });
  const changed = await root.installation.install(all);
  t.same(changed, [
    UNIT,
    `${UNIT}.d/paths.conf`,
    "/etc/iproute2/rt_protos.d/denim.conf",
    `${UNIT}.d/flanneld.conf`,
    "/etc/systemd/system/flanneld.service",
    "/etc/systemd/system/docker.service.d/denim.conf",
    ENV,
  ]);
  for (const path of changed.filter((path) => !path.endsWith("flanneld.service"))) {
    t.equal(root.read(path).split("\n")[0], MARK, path);
  }
  t.match(root.read(ENV), /^DENIM_IFACE=eth1$/m);
  t.equal(statSync(join(root.folder, "/srv/denim")).mode & 0o777, 0o700);
  t.same(await root.installation.install(all), [], "a second time changes nothing");
  t.equal(root.installation.uninstall().length, changed.length);
  t.same(root.all(), before);
  t.notOk(existsSync(join(root.folder, "/etc/denim")));
  t.notOk(existsSync(join(root.folder, `${UNIT}.d`)));
  t.same(root.installation.uninstall(), []);
});

t.test("a list for CNI goes with it, also from where the variables have put it", async (t) => {
  const root = new Root(t);
  const paths = ["/etc/cni/net.d/10-denim.conflist", "/opt/cni/config/x.conflist"];
  for (const path of paths) root.put(path, renderConflist("FLANNEL_SUBNET=10.244.3.1/24\n"));
  root.put("/opt/cni/config/y.conflist", "{}\n");
  root.put(ENV, `DENIM_CNI_CONFLIST=${paths[1]}\n`);
  t.same(root.installation.uninstall(), paths);
  t.ok(existsSync(join(root.folder, "/opt/cni/config/y.conflist")));
});

t.test("somebody else's file is refused before anything is written, and stays", async (t) => {
  const foreign: [string, Partial<Wishes>][] = [
    [UNIT, {}],
    ["/etc/iproute2/rt_protos.d/denim.conf", {}],
    ["/etc/systemd/system/flanneld.service", { flanneld: true }],
    ["/lib/systemd/system/flanneld.service", { flanneld: true }],
    ["/etc/systemd/system/docker.service.d/denim.conf", { docker: { subnetFile: "/run/s.env" } }],
  ];
  for (const [path, wish] of foreign) {
    const root = new Root(t);
    root.put(DOCKER_UNIT, DOCKER);
    root.put(path, "theirs\n");
    const before = root.all();
    t.throws(() => root.installation.check(wishes(wish)), { code: "FILE_NOT_OURS" }, path);
    await t.rejects(root.installation.install(wishes(wish)), { code: "FILE_NOT_OURS" });
    t.same(root.all(), before, path);
    root.installation.uninstall();
    t.same(root.all(), before, path);
  }
});

t.test("people's own variables stay, with the rights that they gave the file", async (t) => {
  const root = new Root(t);
  root.put(ENV, "# mine\nDENIM_ZONE=rack7\n", 0o600);
  await root.installation.install(wishes({ variables: new Map([["DENIM_IFACE", "eth1"]]) }));
  t.equal(root.read(ENV), "# mine\nDENIM_ZONE=rack7\nDENIM_IFACE=eth1\n");
  t.equal(statSync(join(root.folder, ENV)).mode & 0o777, 0o600);
  root.installation.uninstall();
  t.ok(existsSync(join(root.folder, ENV)), "nobody marked it: it is not Denim's to remove");
});

t.test("a package's unit is the package's", async (t) => {
  const root = new Root(t);
  root.put("/lib/systemd/system/denim.service", "[Service]\n");
  t.equal(root.installation.isPackaged, true);
  const changed = await root.installation.install(
    wishes({ folders: [{ path: "/srv/denim", mode: 0o700 }] }),
  );
  t.same(changed, [`${UNIT}.d/paths.conf`], "only what the package cannot know");
  root.installation.uninstall();
  t.ok(existsSync(join(root.folder, "/lib/systemd/system/denim.service")));
});

t.test("without Docker there is nothing to put behind Denim", async (t) => {
  const root = new Root(t);
  const before = root.all();
  const wish = wishes({ docker: { subnetFile: "/run/s.env" } });
  await t.rejects(root.installation.install(wish), { code: "NOT_FOUND" });
  root.put(DOCKER_UNIT, "[Service]\nType=notify\n");
  await t.rejects(root.installation.install(wish), { code: "NOT_FOUND" });
  t.same(Object.keys(root.all()), [...Object.keys(before), DOCKER_UNIT]);
});

t.test("dockerd is started as its unit and what is beside it say", async (t) => {
  const root = new Root(t);
  const beside = "/etc/systemd/system/docker.service.d";
  const wish = wishes({ docker: { subnetFile: "/run/s.env" } });
  root.put(DOCKER_UNIT, "[Service]\nExecStart=/usr/bin/dockerd -H fd://\n");
  root.put(`${beside}/10-mine.conf`, "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --mine\n");
  for (let i = 0; i < 2; i++) {
    await root.installation.install(wish);
    t.match(root.read(`${beside}/denim.conf`), /^ExecStart=\/usr\/bin\/dockerd --mine \$DENIM_/m);
  }
  root.put(`${beside}/override.conf`, "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --late\n");
  t.throws(() => root.installation.check(wish), { code: "FILE_NOT_OURS" }, "it would win");
  root.put(`${beside}/override.conf`, "[Service]\nExecStart=/usr/bin/dockerd $DOCKER_OPTS\n");
  await root.installation.install(wish);
  t.match(root.read(`${beside}/denim.conf`), /-k DOCKER_OPTS /, "it takes options");
  root.put(`${beside}/override.conf`, "[Service]\nExecStart=/usr/bin/dockerd $DENIM_DOCKER_OPTS\n");
  await root.installation.install(wish);
  t.match(root.read(`${beside}/denim.conf`), /-k DENIM_DOCKER_OPTS /, "what the refusal asked for");
  t.notOk(/^ExecStart=/m.test(root.read(`${beside}/denim.conf`)));
});

t.test("what dockerd would be told twice is refused: it would not start again", async (t) => {
  const root = new Root(t);
  root.put(DOCKER_UNIT, DOCKER);
  const wish = wishes({ docker: { subnetFile: "/run/s.env" } });
  root.put("/etc/docker/daemon.json", '{"mtu": 1400}');
  const before = root.all();
  await t.rejects(root.installation.install(wish), { code: "FILE_NOT_OURS" });
  t.same(root.all(), before);
  for (const text of ['{"debug": true}', "no JSON", ""]) {
    root.put("/etc/docker/daemon.json", text);
    root.installation.check(wish);
  }
});

t.test("Denim gets no name that dockerd needs: a restart would take it along", async (t) => {
  const link = new Root(t);
  mkdirSync(join(link.folder, "etc/systemd/system/docker.service.requires"), { recursive: true });
  symlinkSync(
    "/usr/lib/systemd/system/flanneld.service",
    join(link.folder, "etc/systemd/system/docker.service.requires/flanneld.service"),
  );
  const text = new Root(t);
  text.put(DOCKER_UNIT, "[Unit]\nRequires=a.service flanneld.service\n");
  const dropIn = new Root(t);
  dropIn.put("/usr/lib/systemd/system/docker.service.d/flannel.conf", "BindsTo=flanneld.service\n");
  const wish = wishes({ flanneld: true });
  for (const root of [link, text, dropIn]) {
    const before = root.all();
    await t.rejects(root.installation.install(wish), { code: "FILE_NOT_OURS" });
    t.same(root.all(), before);
  }
  text.put(DOCKER_UNIT, "[Unit]\nAfter=flanneld.service\nWants=flanneld.service\n");
  text.installation.check(wish);
});
