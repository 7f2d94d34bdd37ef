import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { type Command, Option } from "commander";
import { DEFAULT_SETTINGS, type Settings } from "../agent/settings.ts";
import { DenimError } from "../base/errors.ts";
import { parseAddress } from "../ip/address.ts";
import { formatEndpoint, parseEndpoint } from "../transport/address.ts";

/** Flags that every command shares which runs the daemon, each with its variable. */
export interface DaemonFlags {
  readonly stateDir: string;
  readonly socket: string;
  readonly readSocket?: string;
  readonly subnetFile: string;
  readonly listen: string;
  readonly advertise?: string;
  readonly apiPort: string;
  readonly iface?: string;
  readonly publicIp?: string;
  readonly name?: string;
  readonly profile: "lan" | "wan";
  readonly diskLow: string;
  readonly ballast: string;
  readonly acceptExpiredLease?: boolean;
  readonly ipMasq?: boolean;
  readonly logLevel: "debug" | "info" | "warn" | "error";
  readonly logFormat: "text" | "json";
}

const MIB = 1024 * 1024;

export function addDaemonOptions(command: Command): Command {
  const { stateDir, socketPath, subnetFile, listen, apiPort, disk } = DEFAULT_SETTINGS;
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
    .addOption(option("--iface <name>", "data interface: name or address", "DENIM_IFACE"))
    .addOption(
      option("--public-ip <ip>", "what peers send containers' packets to", "DENIM_PUBLIC_IP"),
    )
    .addOption(option("--name <name>", "what this host is called", "DENIM_NAME"))
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
      "--accept-expired-lease",
      "be ready on the disk's word alone, before the cluster confirms the lease " +
        "(env: DENIM_ACCEPT_EXPIRED_LEASE)",
    )
    .addOption(new Option("--ip-masq", "not available yet").hideHelp())
    .addOption(
      option("--log-level <level>", "how much to say", "DENIM_LOG_LEVEL")
        .choices(["debug", "info", "warn", "error"]).default("info"),
    )
    .addOption(
      option("--log-format <format>", "for people or for programs", "DENIM_LOG_FORMAT")
        .choices(["text", "json"]).default("text"),
    );
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
    acceptExpiredLease: flags.acceptExpiredLease ?? isOn("DENIM_ACCEPT_EXPIRED_LEASE", env),
    ipMasq: flags.ipMasq ?? isOn("DENIM_IP_MASQ", env),
  };
}

function isOn(name: string, env: Readonly<Record<string, string | undefined>>): boolean {
  const text = (env[name] ?? "").toLowerCase();
  if (["1", "true", "yes", "on"].includes(text)) return true;
  if (["", "0", "false", "no", "off"].includes(text)) return false;
  throw new DenimError("USAGE", `${name}=${text} is neither yes nor no`, { fix: `${name}=true` });
}

/** @throws `CONFIG_INVALID`, `USAGE` */
export function settingsOf(
  flags: DaemonFlags,
  version: string,
  seeds: readonly string[],
): Settings {
  if (flags.ipMasq) {
    throw new DenimError("USAGE", "--ip-masq is not available yet", {
      why: "this version programs routes only; subnet.env says FLANNEL_IPMASQ=false",
      fix: "let the container runtime masquerade (Docker does by default)",
    });
  }
  const listen = parseEndpoint(flags.listen);
  return {
    stateDir: flags.stateDir,
    socketPath: flags.socket,
    readSocketPath: flags.readSocket,
    subnetFile: flags.subnetFile,
    listen,
    advertise: flags.advertise === undefined
      ? undefined
      : formatEndpoint(parseEndpoint(flags.advertise)),
    apiPort: portOf(flags.apiPort),
    iface: flags.iface,
    publicIp: flags.publicIp === undefined ? undefined : parseAddress(flags.publicIp),
    seeds: seeds.map((seed) => formatEndpoint(parseEndpoint(seed))),
    profile: flags.profile,
    acceptExpiredLease: flags.acceptExpiredLease === true,
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

function mebibytesOf(flag: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text) * MIB;
  throw new DenimError("USAGE", `"${text}" is no number of MiB`, { fix: `${flag} 256` });
}

function portOf(text: string): number | undefined {
  if (text === "off") return undefined;
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new DenimError("USAGE", `"${text}" is not a port`, { fix: "--api-port 7475, or off" });
}
