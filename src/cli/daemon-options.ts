import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { Command, Option } from "commander";
import { DEFAULT_SETTINGS, type Settings, ZONE } from "../agent/settings.ts";
import { DenimError } from "../base/errors.ts";
import { variableIn } from "../host/environment-file.ts";
import { type Address, type Family, tryParseAddress } from "../ip/address.ts";
import { formatEndpoint, parseEndpoint } from "../transport/address.ts";
import { ETCD_PREFIX, type EtcdFlags, etcdOf } from "./etcd-options.ts";

/** Flags that every command shares which runs the daemon, each with its variable. */
export interface DaemonFlags extends EtcdFlags {
  readonly stateDir: string;
  readonly socket: string;
  readonly readSocket?: string;
  readonly subnetFile: string;
  readonly backendsDir: string;
  readonly cniConflist?: string;
  readonly commandsAllow: string;
  readonly listen: string;
  readonly advertise?: string;
  readonly apiPort: string;
  readonly iface?: string;
  readonly ifaceRegex?: string;
  readonly ifaceCanReach?: string;
  readonly publicIp?: string;
  readonly publicIpv6?: string;
  readonly name?: string;
  readonly profile: "lan" | "wan";
  readonly zone?: string;
  readonly diskLow: string;
  readonly ballast: string;
  readonly allowOverlap?: boolean;
  readonly acceptExpiredLease?: boolean;
  readonly ipMasq?: boolean;
  readonly forwardRules?: boolean;
  readonly logLevel: "debug" | "info" | "warn" | "error";
  readonly logFormat: "text" | "json";
}

const MIB = 1024 * 1024;

export function addDaemonOptions(command: Command): Command {
  const { stateDir, socketPath, subnetFile, commandsAllow, listen, apiPort, disk } =
    DEFAULT_SETTINGS;
  const option = (flags: string, text: string, variable: string) =>
    new Option(flags, text).env(variable);
  return command
    .addOption(
      option("--state-dir <dir>", "identity and store", "DENIM_STATE_DIR").default(stateDir),
    )
    .addOption(option("--socket <path>", "socket of the API", "DENIM_SOCKET").default(socketPath))
    .addOption(option("--read-socket <path>", "read-only socket of the API", "DENIM_READ_SOCKET"))
    .addOption(
      option("--subnet-file <path>", "what container runtimes read", "DENIM_SUBNET_FILE")
        .default(subnetFile),
    )
    .addOption(backendsDirOption())
    .addOption(
      option(
        "--cni-conflist <path>",
        "write a network for CNI runtimes, too: /etc/cni/net.d/10-denim.conflist",
        "DENIM_CNI_CONFLIST",
      ),
    )
    .addOption(
      option(
        "--commands-allow <path>",
        "what this host runs when the network config wants it run",
        "DENIM_COMMANDS_ALLOW",
      ).default(commandsAllow),
    )
    .addOption(
      option("--listen <host:port>", "where other nodes connect to", "DENIM_LISTEN")
        .default(formatEndpoint(listen)),
    )
    .addOption(
      option(
        "--advertise <host:port>",
        "what other nodes are told to connect to",
        "DENIM_ADVERTISE",
      ),
    )
    .addOption(
      option("--api-port <port>", "read-only API on loopback; off for none", "DENIM_API_PORT")
        .default(String(apiPort)),
    )
    .addOption(
      option("--etcd-listen <host:port>", "flannel's keys, as etcd shows them", "DENIM_ETCD_LISTEN")
        .default("off"),
    )
    .addOption(
      option("--etcd-prefix <path>", "what those keys are below", "DENIM_ETCD_PREFIX")
        .default(ETCD_PREFIX),
    )
    .addOption(option("--iface <name>", "data interface: name or address", "DENIM_IFACE"))
    .addOption(
      option("--iface-regex <re>", "data interface: by address or name", "DENIM_IFACE_REGEX"),
    )
    .addOption(
      option("--iface-can-reach <ip>", "data interface: by a route", "DENIM_IFACE_CAN_REACH"),
    )
    .addOption(
      option("--public-ip <ip>", "what peers send containers' packets to", "DENIM_PUBLIC_IP"),
    )
    .addOption(option("--public-ipv6 <ip>", "the same for IPv6", "DENIM_PUBLIC_IPV6"))
    .addOption(option("--name <name>", "what this host is called", "DENIM_NAME"))
    .addOption(option("--zone <zone>", "what fails together: a rack, a room", "DENIM_ZONE"))
    .addOption(
      option("--profile <profile>", "how fast servers notice a loss", "DENIM_PROFILE")
        .choices(["lan", "wan"]).default("lan"),
    )
    .addOption(
      option("--disk-low <MiB>", "say so when less than this is free; 0: never", "DENIM_DISK_LOW")
        .default(String(disk.lowBytes / MIB)),
    )
    .addOption(
      option("--ballast <MiB>", "kept back for when the disk is full; 0: none", "DENIM_BALLAST")
        .default(String(disk.ballastBytes / MIB)),
    )
    .option(
      "--allow-overlap",
      "come in although the network meets routes of this host (env: DENIM_ALLOW_OVERLAP)",
    )
    .option(
      "--accept-expired-lease",
      "be ready on the disk's word alone, before the cluster confirms the lease " +
        "(env: DENIM_ACCEPT_EXPIRED_LEASE)",
    )
    .addOption(new Option("--ip-masq", "the default").hideHelp())
    .option(
      "--no-ip-masq",
      "do not masquerade containers outside of the network (env: DENIM_IP_MASQ=false)",
    )
    .addOption(new Option("--forward-rules", "the default").hideHelp())
    .option(
      "--no-forward-rules",
      "do not let their packets through a FORWARD chain that drops " +
        "(env: DENIM_FORWARD_RULES=false)",
    )
    .addOption(
      option("--log-level <level>", "how much to say", "DENIM_LOG_LEVEL")
        .choices(["debug", "info", "warn", "error"]).default("info"),
    )
    .addOption(
      option("--log-format <format>", "for people or for programs", "DENIM_LOG_FORMAT")
        .choices(["text", "json"]).default("text"),
    );
}

/** Where `denim backend` looks, too. */
export function backendsDirOption(): Option {
  return new Option("--backends-dir <dir>", "backends of your own, a folder for each")
    .env("DENIM_BACKENDS_DIR").default(DEFAULT_SETTINGS.backendsDir);
}

/**
 * Switches whose variables say yes or no: commander would take `false` for yes.
 *
 * @throws `USAGE`
 */
export function withEnvironment(
  flags: DaemonFlags,
  env: Readonly<Record<string, string | undefined>>,
): DaemonFlags {
  return {
    ...flags,
    allowOverlap: flags.allowOverlap ?? isOn("DENIM_ALLOW_OVERLAP", env),
    acceptExpiredLease: flags.acceptExpiredLease ?? isOn("DENIM_ACCEPT_EXPIRED_LEASE", env),
    ipMasq: flags.ipMasq ?? isOn("DENIM_IP_MASQ", env, true),
    forwardRules: flags.forwardRules ?? isOn("DENIM_FORWARD_RULES", env, true),
  };
}

/** Where a daemon is told the same without a command line: flags that were given, as variables. */
export function variablesOf(command: Command): Map<string, string> {
  const known = addDaemonOptions(new Command()).options;
  const given = known.filter((option) => {
    const source = command.getOptionValueSource(option.attributeName());
    return source === "cli" || source === "env";
  });
  return new Map(given.map((option) => {
    const value: unknown = command.getOptionValue(option.attributeName());
    const name = option.envVar ?? variableOf(option.attributeName());
    return [name, PATHS.has(name) ? resolve(String(value)) : String(value)];
  }));
}

/**
 * What is not given on a command line, as a file of variables has it: switches excepted.
 *
 * @throws `CONFIG_INVALID`
 */
export function withFile<Flags extends DaemonFlags>(
  command: Command,
  flags: Flags,
  text: string,
): Flags {
  const missing = addDaemonOptions(new Command()).options.filter((option) => {
    const source = command.getOptionValueSource(option.attributeName());
    return source !== "cli" && source !== "env";
  });
  const found = missing.flatMap((option) => {
    const value = option.envVar === undefined ? undefined : variableIn(text, option.envVar);
    if (value === undefined || value === "") return [];
    if (option.argChoices?.includes(value) === false) {
      throw new DenimError("CONFIG_INVALID", `${option.envVar}=${value} is none of its choices`, {
        fix: `one of ${option.argChoices.join(", ")}, in the service's file of variables`,
      });
    }
    return [[option.attributeName(), value]];
  });
  return { ...flags, ...Object.fromEntries(found) };
}

/** A service has another current directory. */
const PATHS = new Set(
  [
    ...["DENIM_STATE_DIR", "DENIM_SOCKET", "DENIM_READ_SOCKET", "DENIM_SUBNET_FILE"],
    ...["DENIM_CNI_CONFLIST", "DENIM_COMMANDS_ALLOW", "DENIM_BACKENDS_DIR"],
  ],
);

/** Switches that {@link withEnvironment} reads: `ipMasq` is `DENIM_IP_MASQ`. */
function variableOf(attribute: string): string {
  return `DENIM_${attribute.replace(/[A-Z]/g, "_$&").toUpperCase()}`;
}

function isOn(
  name: string,
  env: Readonly<Record<string, string | undefined>>,
  otherwise = false,
): boolean {
  const text = (env[name] ?? "").toLowerCase();
  if (text === "") return otherwise;
  if (["1", "true", "yes", "on"].includes(text)) return true;
  if (["0", "false", "no", "off"].includes(text)) return false;
  throw new DenimError("USAGE", `${name}=${text} is neither yes nor no`, { fix: `${name}=true` });
}

/** @throws `CONFIG_INVALID`, `USAGE` */
export function settingsOf(
  flags: DaemonFlags,
  version: string,
  seeds: readonly string[],
): Settings {
  const listen = parseEndpoint(flags.listen);
  return {
    stateDir: flags.stateDir,
    socketPath: flags.socket,
    readSocketPath: flags.readSocket,
    subnetFile: flags.subnetFile,
    backendsDir: resolve(flags.backendsDir),
    cniConflist: flags.cniConflist,
    commandsAllow: flags.commandsAllow,
    listen,
    advertise: flags.advertise === undefined
      ? undefined
      : formatEndpoint(parseEndpoint(flags.advertise)),
    apiPort: portOf(flags.apiPort),
    etcd: etcdOf(flags),
    iface: flags.iface,
    ifaceRegex: regexOf(flags.ifaceRegex),
    ifaceCanReach: addressOf("--iface-can-reach", flags.ifaceCanReach),
    publicIp: addressOf("--public-ip", flags.publicIp),
    publicIpv6: addressOf("--public-ipv6", flags.publicIpv6, 6),
    seeds: seeds.map((seed) => formatEndpoint(parseEndpoint(seed))),
    profile: flags.profile,
    zone: zoneOf(flags.zone),
    allowOverlap: flags.allowOverlap === true,
    acceptExpiredLease: flags.acceptExpiredLease === true,
    ipMasq: flags.ipMasq !== false,
    forwardRules: flags.forwardRules !== false,
    disk: {
      lowBytes: mebibytesOf("--disk-low", flags.diskLow),
      ballastBytes: mebibytesOf("--ballast", flags.ballast),
    },
    version,
  };
}

export function nameOf(flags: DaemonFlags): string {
  return flags.name ?? hostname().split(".")[0]!;
}

/** A CIDR block, flannel's JSON, or a file that holds it. @throws `CONFIG_INVALID` */
export function networkText(given: string): string {
  if (given.trimStart().startsWith("{")) return given;
  if (/^[0-9a-fA-F.:]+\/[0-9]+$/.test(given)) {
    return given.includes(":")
      ? JSON.stringify({ EnableIPv4: false, EnableIPv6: true, IPv6Network: given })
      : JSON.stringify({ Network: given });
  }
  try {
    return readFileSync(given, "utf8");
  } catch (cause) {
    throw new DenimError("CONFIG_INVALID", `Cannot read the network config "${given}"`, {
      why: (cause as Error).message,
      fix: "give a block (10.244.0.0/16), JSON, or the path of a JSON file",
      cause,
    });
  }
}

function regexOf(text: string | undefined): RegExp | undefined {
  if (text === undefined) return undefined;
  try {
    return new RegExp(text);
  } catch (cause) {
    const why = (cause as Error).message;
    const fix = "--iface-regex '^eth[0-9]$', or an address: '^10[.]0[.]'";
    throw new DenimError("USAGE", `"${text}" is no regular expression`, { why, fix, cause });
  }
}

function addressOf(
  flag: string,
  text: string | undefined,
  family?: Family,
): Address | undefined {
  if (text === undefined) return undefined;
  const address = tryParseAddress(text);
  if (address !== undefined && (family ?? address.family) === address.family) return address;
  throw new DenimError("USAGE", `"${text}" is no IP${family === 6 ? "v6" : ""} address`, {
    fix: `${flag} ${family === 6 ? "2001:db8::7" : "192.0.2.7"}`,
  });
}

function mebibytesOf(flag: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text) * MIB;
  throw new DenimError("USAGE", `"${text}" is no number of MiB`, { fix: `${flag} 256` });
}

function zoneOf(text: string | undefined): string | undefined {
  if (text === undefined || text === "") return undefined;
  if (ZONE.test(text)) return text;
  throw new DenimError("USAGE", `"${text}" is no zone`, { fix: "--zone rack7" });
}

function portOf(text: string): number | undefined {
  if (text === "off") return undefined;
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new DenimError("USAGE", `"${text}" is not a port`, { fix: "--api-port 7475, or off" });
}
