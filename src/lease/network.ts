import { DenimError } from "../base/errors.ts";
import { parseDuration } from "../base/duration.ts";
import { type Family, formatAddress, tryParseAddress, widthOf } from "../ip/address.ts";
import {
  containsAddress,
  formatPrefix,
  lastValue,
  type Prefix,
  prefixOf,
  tryParsePrefix,
} from "../ip/prefix.ts";

/** Where the subnets of one address family come from. */
export interface Pool {
  readonly network: Prefix;
  readonly subnetLength: number;
  /** First and last subnet that may be leased; both have `subnetLength`. */
  readonly first: Prefix;
  readonly last: Prefix;
}

/** flannel's network config, read and checked. Its text is what is stored. */
export interface NetworkConfig {
  /** One per enabled family, IPv4 first. */
  readonly pools: readonly Pool[];
  readonly backendType: string;
  /** The `Backend` object as it was given, JSON text. */
  readonly backendOptions: string;
  readonly leaseTtlMs: number;
  /** What other hosts do about a node that nobody hears. */
  readonly silentPeer: "keep" | "unreachable";
  /** Overrides the MTU that the backend derives, bytes. */
  readonly mtu: number | undefined;
  /** Destinations that are never masqueraded. */
  readonly masqExempt: readonly Prefix[];
  /** Things that work but that the operator should know. */
  readonly warnings: readonly string[];
}

export interface ParseOptions {
  /** `refuse` for what a person types; `keep` (with a warning) for what another system wrote. */
  readonly unknownKeys: "refuse" | "keep";
}

const KEYS = [
  ...["Network", "IPv6Network", "EnableIPv4", "EnableIPv6", "EnableNFTables"],
  ...["SubnetLen", "SubnetMin", "SubnetMax", "IPv6SubnetLen", "IPv6SubnetMin", "IPv6SubnetMax"],
  ...["Backend", "LeaseTTL", "SilentPeer", "MTU", "MasqExempt"],
];

const LEASE_TTL_DEFAULT_MS = 24 * 3_600_000;
/** Below this a holder could not renew three times before its lease ends on a busy host. */
const LEASE_TTL_MIN_MS = 5_000;
const MTU_MIN = 576;

/**
 * Reads a network config with flannel's rules (`flannel/pkg/subnet/config.go`): keys in any case,
 * the last of two equal keys wins, and flannel's own sentences for what flannel refuses.
 *
 * @throws `CONFIG_INVALID`
 */
export function parseNetworkConfig(
  text: string,
  options: ParseOptions = { unknownKeys: "refuse" },
): NetworkConfig {
  const { values, warnings } = readKeys(text, options);
  const pools: Pool[] = [];
  if (boolean(values, "EnableIPv4", true)) pools.push(readPool(values, 4));
  if (boolean(values, "EnableIPv6", false)) pools.push(readPool(values, 6));
  if (pools.length === 0) {
    throw invalid("none defined stack", "EnableIPv4 and EnableIPv6 are both false");
  }
  return {
    pools,
    ...readBackend(values, warnings),
    leaseTtlMs: readLeaseTtl(values),
    silentPeer: readSilentPeer(values),
    mtu: readMtu(values),
    masqExempt: readMasqExempt(values),
    warnings,
  };
}

/**
 * The text with an explicit `Backend`: without one flannel means udp, which few want. The rest of
 * the text stays as it was typed.
 *
 * @throws `CONFIG_INVALID` when the text is not a JSON object
 */
export function withExplicitBackend(text: string, type = "host-gw"): string {
  const { values } = readKeys(text, { unknownKeys: "keep" });
  if (values.has("Backend")) return text;
  const end = text.lastIndexOf("}");
  const members = text.slice(0, end).trimEnd();
  const comma = members.endsWith("{") ? "" : ", ";
  const backend = `"Backend": ${JSON.stringify({ Type: type })}`;
  return `${members}${comma}${backend}${text.slice(members.length)}`;
}

type Values = ReadonlyMap<string, unknown>;

function readKeys(text: string, options: ParseOptions): { values: Values; warnings: string[] } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new DenimError("CONFIG_INVALID", "The network config is not JSON", {
      why: (cause as Error).message,
      cause,
    });
  }
  if (json === null || typeof json !== "object" || Array.isArray(json)) {
    throw invalid("The network config must be a JSON object", `it is ${describe(json)}`);
  }
  const values = new Map<string, unknown>();
  const warnings: string[] = [];
  for (const [given, value] of Object.entries(json)) {
    const key = KEYS.find((known) => known.toLowerCase() === given.toLowerCase());
    // Go leaves what it decodes into alone where it meets null.
    if (key !== undefined && value !== null) values.set(key, value);
    else if (key !== undefined) continue;
    else if (options.unknownKeys === "keep") {
      warnings.push(`unknown key "${given}" is kept, unused`);
    } else {
      const near = nearest(given);
      throw invalid(
        `Unknown key "${given}" in the network config`,
        near === undefined ? `the keys are ${KEYS.join(", ")}` : `did you mean "${near}"?`,
      );
    }
  }
  return { values, warnings };
}

function readPool(values: Values, family: Family): Pool {
  const prefixName = family === 4 ? "" : "IPv6";
  const name = `${prefixName}Network`;
  const text = values.get(name);
  const network = typeof text === "string" ? tryParsePrefix(text) : undefined;
  if (text === undefined || text === "") {
    throw invalid(`please define a correct ${name} parameter in the flannel config`);
  }
  if (network === undefined || network.family !== family) {
    throw invalid(
      `invalid CIDR address: ${describe(text)}`,
      `${name} must be an IPv${family} block`,
    );
  }
  const subnetLength = readSubnetLength(values, network, prefixName);
  const first = prefixOf({ family, value: network.base }, subnetLength);
  // flannel leaves the first subnet out: its base is also the network's.
  const step = 1n << BigInt(widthOf(family) - subnetLength);
  const min = readBound(values, `${prefixName}SubnetMin`, network, subnetLength) ??
    { ...first, base: first.base + step };
  const max = readBound(values, `${prefixName}SubnetMax`, network, subnetLength) ??
    { ...first, base: lastValue(network) + 1n - step };
  if (min.base > max.base) {
    throw invalid(
      `${prefixName}SubnetMin is above ${prefixName}SubnetMax`,
      `${formatPrefix(min)} comes after ${formatPrefix(max)}: no subnet would be left`,
    );
  }
  return { network, subnetLength, first: min, last: max };
}

function readSubnetLength(values: Values, network: Prefix, prefixName: string): number {
  const name = `${prefixName}SubnetLen`;
  const given = values.get(name) ?? 0;
  if (typeof given !== "number" || !Number.isInteger(given) || given < 0) {
    throw invalid(`${name} must be a whole number`, `it is ${describe(given)}`);
  }
  const four = network.family === 4;
  if (given > 0) {
    const max = four ? 30 : 126;
    if (given > max) throw invalid(`SubnetLen must be less than /${max + 1}`);
    if (given < network.length + 2) {
      throw invalid("network must be able to accommodate at least four subnets");
    }
    return given;
  }
  const longest = four ? 28 : 124;
  if (network.length > longest) {
    throw invalid(
      `${
        four ? "network" : "IPv6Network"
      } is too small. Minimum useful network prefix is /${longest}`,
    );
  }
  const usual = four ? 24 : 64;
  return network.length <= usual - 2 ? usual : network.length + 2;
}

function readBound(
  values: Values,
  name: string,
  network: Prefix,
  subnetLength: number,
): Prefix | undefined {
  const text = values.get(name);
  if (text === undefined || text === "") return undefined;
  const address = typeof text === "string" ? tryParseAddress(text) : undefined;
  if (address === undefined) {
    throw invalid("invalid IP address format", `${name} is ${describe(text)}`);
  }
  if (!containsAddress(network, address)) {
    throw invalid(
      `${name} is not in the range of the ${network.family === 4 ? "" : "IPv6"}Network`,
    );
  }
  const subnet = prefixOf(address, subnetLength);
  if (subnet.base !== address.value) {
    throw invalid(`${name} is not on a SubnetLen boundary: ${formatAddress(address)}`);
  }
  return subnet;
}

function readBackend(
  values: Values,
  warnings: string[],
): { backendType: string; backendOptions: string } {
  const given = values.get("Backend");
  if (given === undefined) {
    warnings.push('no Backend is named: flannel takes that for "udp"');
    return { backendType: "udp", backendOptions: "{}" };
  }
  if (given === null || typeof given !== "object" || Array.isArray(given)) {
    throw invalid(
      "error decoding Backend property of config",
      `it must be an object, it is ${describe(given)}`,
    );
  }
  const entry = Object.entries(given).findLast(([key]) => key.toLowerCase() === "type");
  const type = entry?.[1] ?? "";
  if (typeof type !== "string") {
    throw invalid("error decoding Backend property of config", `Type is ${describe(type)}`);
  }
  if (type === "") throw invalid("unknown backend type: ", "Backend has no Type");
  return { backendType: type.toLowerCase(), backendOptions: JSON.stringify(given) };
}

function readLeaseTtl(values: Values): number {
  const given = values.get("LeaseTTL");
  if (given === undefined) return LEASE_TTL_DEFAULT_MS;
  const ttlMs = typeof given === "string"
    ? parseDuration(given)
    : typeof given === "number"
    ? given * 1_000
    : undefined;
  if (ttlMs === undefined || !Number.isSafeInteger(ttlMs)) {
    throw invalid(
      `Cannot read LeaseTTL ${describe(given)}`,
      'it is a number of seconds, or a text such as "24h"',
    );
  }
  if (ttlMs < LEASE_TTL_MIN_MS || ttlMs > LEASE_TTL_DEFAULT_MS) {
    throw invalid(`LeaseTTL must be between 5s and 24h: it is ${describe(given)}`);
  }
  return ttlMs;
}

function readSilentPeer(values: Values): "keep" | "unreachable" {
  const given = values.get("SilentPeer") ?? "keep";
  if (given === "keep" || given === "unreachable") return given;
  throw invalid(`SilentPeer must be "keep" or "unreachable": it is ${describe(given)}`);
}

function readMtu(values: Values): number | undefined {
  const given = values.get("MTU");
  if (given === undefined || given === 0) return undefined;
  if (typeof given !== "number" || !Number.isInteger(given) || given < MTU_MIN || given > 65_535) {
    throw invalid(`MTU must be a whole number from ${MTU_MIN} to 65535: it is ${describe(given)}`);
  }
  return given;
}

function readMasqExempt(values: Values): Prefix[] {
  const given = values.get("MasqExempt") ?? [];
  if (!Array.isArray(given)) throw invalid(`MasqExempt must be a list: it is ${describe(given)}`);
  return given.map((text) => {
    const prefix = typeof text === "string" ? tryParsePrefix(text) : undefined;
    if (prefix === undefined) throw invalid(`invalid CIDR address: ${describe(text)}`);
    return prefix;
  });
}

function boolean(values: Values, name: string, otherwise: boolean): boolean {
  const given = values.get(name) ?? otherwise;
  if (typeof given === "boolean") return given;
  throw invalid(`${name} must be true or false: it is ${describe(given)}`);
}

/** The known key that is at most two typing mistakes away. */
function nearest(given: string): string | undefined {
  const scored = KEYS.map((key) => ({
    key,
    cost: distance(given.toLowerCase(), key.toLowerCase()),
  }));
  const best = scored.reduce((a, b) => (b.cost < a.cost ? b : a));
  return best.cost <= 2 ? best.key : undefined;
}

/** Levenshtein's edit distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

function invalid(message: string, why?: string): DenimError {
  return new DenimError("CONFIG_INVALID", message, why === undefined ? {} : { why });
}

function describe(value: unknown): string {
  return value === undefined ? "missing" : JSON.stringify(value);
}
