import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import t from "tap";
import {
  dockerKey,
  MARK,
  renderDocker,
  renderFlanneld,
  renderPaths,
  renderService,
} from "../../src/host/systemd-units.ts";
import { temporaryFolder } from "../support/folders.ts";

const cannotAnalyze = existsSync("/usr/bin/systemd-analyze") ? false : "needs Debian's systemd";

/** What runs Denim has to exist for systemd to find no fault. */
const TRUE = "/bin/true";

/** The figure that `systemd-analyze security` gives, times ten: 100 is a root shell. */
const EXPOSURE_MAX = 36;

const DEBIAN = `[Service]
EnvironmentFile=-/etc/default/docker
ExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS
`;
const CENTOS = `[Service]
ExecStart=/usr/bin/dockerd-current \\
          --exec-opt native.cgroupdriver=systemd \\
          $OPTIONS \\
          $DOCKER_NETWORK_OPTIONS \\
          $REGISTRIES
`;
const DOCKER_CE = `[Service]
ExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock
`;

t.test("systemd finds no fault with the unit, nor with what goes with it", {
  skip: cannotAnalyze,
}, async (t) => {
  const folder = temporaryFolder(t);
  const write = (path: string, text: string) => {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  write("denim.service", renderService([TRUE]));
  write("denim.service.d/paths.conf", renderPaths(["/srv/denim state", "/data"]));
  write("denim.service.d/flanneld.conf", renderFlanneld([TRUE]));
  write("docker.service", DEBIAN.replace("/usr/sbin/dockerd", TRUE));
  const key = { variable: "DOCKER_OPTS" };
  const subnetFile = "/run/flannel/subnet.env";
  write("docker.service.d/denim.conf", renderDocker({ program: [TRUE], subnetFile, key }));
  for (const unit of ["denim.service", "docker.service"]) {
    const { status, stderr } = spawnSync("systemd-analyze", ["verify", join(folder, unit)], {
      encoding: "utf8",
      env: { ...process.env, SYSTEMD_UNIT_PATH: `${folder}:` },
    });
    const said = stderr.split("\n").filter((line) => line.includes(unit));
    t.same([status, said], [0, []], unit);
  }
  const security = execFileSync("systemd-analyze", [
    ...["security", "--offline=true", "--no-pager", `--threshold=${EXPOSURE_MAX}`],
    join(folder, "denim.service"),
  ], { encoding: "utf8" });
  t.match(security, /Overall exposure level for denim.service: \d/);
});

t.test("a fault would be found", { skip: cannotAnalyze }, async (t) => {
  const path = join(temporaryFolder(t), "denim.service");
  writeFileSync(path, renderService([TRUE]).replace("Type=notify", "Type=notfy"));
  const { stderr } = spawnSync("systemd-analyze", ["verify", path], { encoding: "utf8" });
  t.match(stderr, /notfy/);
});

t.test("words with blanks, dollars and percents stay one word each", async (t) => {
  const unit = renderService(["/opt/a b/denim", "100%", 'say "$HOME"']);
  t.match(unit, /^ExecStart="\/opt\/a b\/denim" 100%% "say \\"\$\$HOME\\"" run$/m);
});

t.test("a program that a service would not see is refused", async (t) => {
  const hidden = ["/root/denim", "/home/a/denim", "/tmp/denim", "/var/tmp/x/denim"];
  for (const path of hidden) t.throws(() => renderService([path]), { code: "USAGE" }, path);
  t.throws(() => renderService(["/usr/bin/node", "/root/denim/src/main.ts"]), { code: "USAGE" });
  for (const path of ["/usr/bin/denim", "/opt/tmp/denim", "/rooted/denim"]) {
    t.match(renderService([path]), new RegExp(`^ExecStart=${path} run$`, "m"));
  }
});

t.test("a folder that a service would not see is refused", async (t) => {
  for (const path of ["/root", "/root/x", "/home/a", "/tmp/x", "/run/user/0"]) {
    t.throws(() => renderPaths(["/srv/a", path]), { code: "USAGE" }, path);
  }
  t.match(renderPaths(["/srv/root", "/rooted"]), /^ReadWritePaths=-\/rooted$/m);
});

t.test("dockerd wants Denim, and never needs it", async (t) => {
  const text = renderDocker({
    program: ["/usr/bin/denim"],
    subnetFile: "/run/flannel/subnet.env",
    key: { variable: "DOCKER_OPTS" },
  });
  t.equal(text.split("\n")[0], MARK);
  t.match(text, /^Wants=denim\.service$/m);
  t.match(text, /^After=denim\.service$/m);
  t.notOk(/^(Requires|BindsTo|PartOf|Requisite)=/m.test(text), "these would end it with Denim");
  const steps = text.split("\n").filter((line) => line.startsWith("Exec"));
  t.same(steps, [
    "ExecStartPre=/bin/rm -f /run/denim/docker",
    "ExecStartPre=/usr/bin/denim wait --subnet-file /run/flannel/subnet.env",
    "ExecStartPre=/usr/bin/denim mk-docker-opts -c -f /run/flannel/subnet.env " +
    "-k DOCKER_OPTS -d /run/denim/docker",
  ]);
});

t.test("dockerd's options go where its unit takes them", async (t) => {
  t.same(dockerKey(DEBIAN), { variable: "DOCKER_OPTS" });
  t.same(dockerKey(CENTOS), { variable: "DOCKER_NETWORK_OPTIONS" });
  t.same(dockerKey(DEBIAN.replace("$DOCKER_OPTS", "${DOCKER_OPTS}")), { variable: "DOCKER_OPTS" });
  t.equal(dockerKey("[Service]\nType=notify\n"), undefined);
  const key = dockerKey(DOCKER_CE)!;
  const text = renderDocker({ program: ["/usr/bin/denim"], subnetFile: "/run/s.env", key });
  t.ok(
    text.endsWith(
      "ExecStart=\nExecStart=/usr/bin/dockerd -H fd:// " +
        "--containerd=/run/containerd/containerd.sock $DENIM_DOCKER_OPTS\n",
    ),
    "a unit without a variable gets one",
  );
});
