/**
 * What systemd is given to run Denim, as text. `systemd.exec(5)` and `systemd.service(5)` explain
 * every setting; here is why each has its value.
 */
import { DenimError } from "../base/errors.ts";

/** First line of every file that `denim install` writes: only such files are changed or removed. */
export const MARK = "# Written by Denim; denim uninstall removes it.";

/** Where the unit reads `DENIM_*` variables: one per flag. */
export const ENVIRONMENT_FILE = "/etc/denim/denim.env";

/** What a service runs: a program by its whole path, and its parameters. */
export type ServiceCommand = readonly [string, ...string[]];

/**
 * `denim.service`. `program` is how Denim itself is started; the unit adds `run`. `heading` is a
 * comment that says whose file it is.
 *
 * - `After=` a network, but nothing of Denim waits for one: an interface that comes late is found.
 * - Type=notify: the start is over when containers can be started here, so what is ordered after
 *   it waits for a lease. That may take for ever on a host that is in no cluster yet.
 * - A stop leaves routes and subnet.env, so the runtime directories stay, too.
 * - A stop before it is in a cluster is no failure, although the daemon says 130: interrupted. Who
 *   says so and was not stopped is started again.
 * - An exit status of 2 is wrong usage: another try would end the same way.
 * - V8 makes code while it runs: MemoryDenyWriteExecute must be off. Forwarding is a kernel
 *   tunable, and a module may have to be loaded for the packet filter.
 *
 * @throws `USAGE` for a program that a service cannot run
 */
export function renderService(program: ServiceCommand, heading = MARK): string {
  return `${heading}
[Unit]
Description=Denim, a flat container network
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
EnvironmentFile=-${ENVIRONMENT_FILE}
ExecStart=${commandLine([...checkProgram(program), "run"])}
Restart=on-failure
RestartSec=2
SuccessExitStatus=130
RestartForceExitStatus=130
RestartPreventExitStatus=2
TimeoutStartSec=infinity
TimeoutStopSec=20
WatchdogSec=30
LimitNOFILE=65536

StateDirectory=denim
StateDirectoryMode=0700
RuntimeDirectory=denim flannel
RuntimeDirectoryPreserve=yes

CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_CHOWN CAP_SYS_MODULE
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/run -/etc/cni/net.d
ProtectHome=yes
PrivateTmp=yes
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelTunables=no
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=no
RemoveIPC=yes
UMask=0022
SystemCallArchitectures=native
SystemCallFilter=@system-service @module
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`;
}

/**
 * What lies outside of the unit's own directories, and has to be written to.
 *
 * @throws `USAGE` for a folder that a service does not see
 */
export function renderPaths(folders: readonly string[]): string {
  const hidden = folders.find((folder) => HIDDEN.test(`${folder}/`));
  if (hidden !== undefined) {
    throw new DenimError("USAGE", `A service cannot use ${hidden}`, {
      why: "systemd hides homes and /tmp from it: what is kept there it would not find",
      fix: "name a folder elsewhere, below /srv say; or add --foreground",
    });
  }
  const lines = folders.map((folder) => `ReadWritePaths=${quote(`-${folder}`)}`);
  return `${MARK}\n[Service]\n${lines.join("\n")}\n`;
}

/**
 * Where the service is to be flannel's: another command in its place, with the variables that
 * flannel's packages give it (`/etc/sysconfig/flanneld`, `/etc/default/flanneld`).
 */
export function renderFlanneld(program: ServiceCommand): string {
  return `${MARK}
[Service]
EnvironmentFile=-/etc/sysconfig/flanneld
EnvironmentFile=-/etc/default/flanneld
ExecStart=
ExecStart=${commandLine([...checkProgram(program), "flanneld"])} $FLANNEL_OPTIONS
`;
}

export interface DockerDropIn {
  readonly program: ServiceCommand;
  readonly subnetFile: string;
  /** The one that dockerd's unit puts behind the program; see {@link dockerKey}. */
  readonly key: DockerKey;
}

/** The variable that carries dockerd's options, and the command line where no variable does. */
export type DockerKey =
  | { readonly variable: string }
  | { readonly variable: string; readonly execStart: string };

/** Where the options are kept between Denim's answer and dockerd. */
export const DOCKER_OPTIONS_FILE = "/run/denim/docker";

/**
 * Puts dockerd behind Denim. It *wants* Denim: with `Requires=` a restart of Denim would restart
 * every container. Ordering alone does not do: a start of Denim that fails, to be tried again,
 * would let dockerd go on, with a bridge of its own; so it waits for the subnet itself. What is in
 * the variable already stays in front; so the file of the last start has to go first.
 */
export function renderDocker({ program, subnetFile, key }: DockerDropIn): string {
  const denim = (...words: string[]) => commandLine([...checkProgram(program), ...words]);
  const exec = "execStart" in key
    ? `ExecStart=\nExecStart=${key.execStart} $${key.variable}\n`
    : "";
  return `${MARK}
[Unit]
Wants=denim.service
After=denim.service

[Service]
TimeoutStartSec=infinity
EnvironmentFile=-${DOCKER_OPTIONS_FILE}
ExecStartPre=/bin/rm -f ${DOCKER_OPTIONS_FILE}
ExecStartPre=${denim("wait", "--subnet-file", subnetFile)}
ExecStartPre=${
    denim("mk-docker-opts", "-c", "-f", subnetFile, "-k", key.variable, "-d", DOCKER_OPTIONS_FILE)
  }
${exec}`;
}

const OWN_VARIABLE = "DENIM_DOCKER_OPTS";

/**
 * Which variable of dockerd's unit takes options, by its last `ExecStart=`: `DOCKER_NETWORK_OPTIONS`
 * on CentOS, `DOCKER_OPTS` on Debian, none in Docker's own packages, whose line gets one.
 */
export function dockerKey(unit: string): DockerKey | undefined {
  const lines = unit.replace(/\\\n\s*/g, "").split("\n");
  const execStart = lines.findLast((line) => /^ExecStart=./.test(line))?.slice("ExecStart=".length);
  if (execStart === undefined) return undefined;
  const known = ["DOCKER_NETWORK_OPTIONS", "DOCKER_OPTS", OWN_VARIABLE];
  const variable = known.find((name) =>
    new RegExp(`\\$(${name}|\\{${name}\\})(\\s|$)`).test(execStart)
  );
  return variable === undefined ? { variable: OWN_VARIABLE, execStart } : { variable };
}

/** Words as systemd takes them apart: quoted where needed, without variables and specifiers. */
function commandLine(words: readonly string[]): string {
  return words.map(quote).join(" ");
}

function quote(word: string): string {
  const plain = word.replaceAll("%", "%%");
  if (/^[\w@%+=:,./-]+$/.test(plain)) return plain;
  return `"${plain.replace(/["\\]/g, "\\$&").replaceAll("$", "$$$$")}"`;
}

/** A service sees no home and has a `/tmp` of its own. */
const HIDDEN = /^\/(home|root|run\/user|tmp|var\/tmp)\//;

function checkProgram(program: ServiceCommand): ServiceCommand {
  const hidden = program.find((word) => HIDDEN.test(word));
  if (hidden === undefined) return program;
  throw new DenimError("USAGE", `A service cannot run ${hidden}`, {
    why: "systemd hides homes and /tmp from it, and whoever owns that file could change it",
    fix: "install -m 755 denim /usr/local/bin/denim, and use that one; or add --foreground",
  });
}
