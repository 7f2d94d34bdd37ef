/**
 * What the CNI plugin of type `flannel` makes of its configuration and of subnet.env: the
 * configuration of the plugin that does the work (https://github.com/flannel-io/cni-plugin).
 */
import { DenimError } from "../../base/errors.ts";
import type { SubnetEnvRead } from "../../lease/subnet-env.ts";
import { rangesOf } from "./conflist.ts";

/** The plugin's own configuration, as a runtime gives it on standard input. */
export interface PluginConfig {
  readonly cniVersion: string;
  readonly name: string;
  readonly subnetFile: string;
  /** Where the delegate's configuration is kept until the container goes. */
  readonly dataDir: string;
  readonly delegate: Json;
  readonly ipam: Json;
  readonly runtimeConfig: unknown;
  readonly prevResult: Json | undefined;
}

export type Json = Readonly<Record<string, unknown>>;

export const SUBNET_FILE = "/run/flannel/subnet.env";
export const DATA_DIR = "/var/lib/cni/flannel";

/** @throws `CONFIG_INVALID` */
export function parsePlugin(text: string): PluginConfig {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalid("The configuration is no JSON", (cause as Error).message, cause);
  }
  const config = objectOf(json, "The configuration");
  const delegate = objectOf(config["delegate"] ?? {}, "delegate");
  for (const key of ["name", "ipam"]) {
    if (delegate[key] !== undefined) {
      throw invalid(`delegate must have no ${key}`, "it is given by this plugin");
    }
  }
  const name = stringOf(config, "name", "");
  if (name === "") throw invalid("The configuration has no name", "the network has to have one");
  return {
    cniVersion: stringOf(config, "cniVersion", ""),
    name,
    subnetFile: stringOf(config, "subnetFile", SUBNET_FILE),
    dataDir: stringOf(config, "dataDir", DATA_DIR),
    delegate,
    ipam: objectOf(config["ipam"] ?? {}, "ipam"),
    runtimeConfig: config["runtimeConfig"],
    prevResult: config["prevResult"] === undefined
      ? undefined
      : objectOf(config["prevResult"], "prevResult"),
  };
}

/**
 * What the delegate is told. What the user says of it stays; else it is a bridge that is the
 * containers' gateway, with the MTU of subnet.env, and masquerades where nobody else does.
 *
 * @throws `CONFIG_INVALID`
 */
export function delegateOf(config: PluginConfig, env: SubnetEnvRead): Json {
  const { cniVersion, name, delegate, ipam, runtimeConfig } = config;
  const type = delegate["type"] ?? "bridge";
  return {
    ...(env.mtu === undefined ? {} : { mtu: env.mtu }),
    ...(env.ipMasq === undefined ? {} : { ipMasq: !env.ipMasq }),
    ...(type === "bridge" ? { isGateway: true } : {}),
    ...delegate,
    ...(cniVersion === "" ? {} : { cniVersion }),
    ...(runtimeConfig === undefined ? {} : { runtimeConfig }),
    type,
    name,
    ipam: {
      type: "host-local",
      ...ipam,
      ranges: [...listOf(ipam, "ranges"), ...rangesOf(env)],
      routes: [...listOf(ipam, "routes"), ...routesOf(env)],
    },
  };
}

function routesOf({ network, networkV6 }: SubnetEnvRead): { dst: string }[] {
  return [network, networkV6].filter((dst) => dst !== undefined).map((dst) => ({ dst }));
}

/** The name of a plugin becomes a path: it must not lead anywhere else. @throws `CONFIG_INVALID` */
export function typeOf(delegate: Json): string {
  const { type } = delegate;
  if (typeof type === "string" && /^[\w.-]+$/.test(type) && !/^\.+$/.test(type)) return type;
  throw invalid("delegate.type is no name of a plugin", JSON.stringify(type));
}

function listOf(json: Json, key: string): unknown[] {
  const value = json[key] ?? [];
  if (Array.isArray(value)) return value;
  throw invalid(`ipam.${key} is no list`, JSON.stringify(value));
}

function objectOf(value: unknown, what: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw invalid(`${what} is no JSON object`, JSON.stringify(value) ?? "there is nothing");
}

function stringOf(json: Json, key: string, otherwise: string): string {
  const value = json[key] ?? otherwise;
  if (typeof value === "string") return value === "" ? otherwise : value;
  throw invalid(`${key} is no text`, JSON.stringify(value));
}

function invalid(message: string, why: string, cause?: unknown): DenimError {
  return new DenimError("CONFIG_INVALID", message, { why, cause });
}
