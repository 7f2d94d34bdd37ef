import { DenimError } from "../../base/errors.ts";
import { formatPrefix } from "../../ip/prefix.ts";
import type { SubnetEnvRead } from "../../lease/subnet-env.ts";
import { blocksOf } from "./recipe.ts";

export interface Merged {
  readonly text: string;
  /** Keys that were not there, or said something else: `bip`. */
  readonly changed: readonly string[];
  /** Keys that stay as they are. */
  readonly kept: readonly string[];
}

/** Docker's own bridge, by the keys of `daemon.json`. */
export function dockerKeys(env: SubnetEnvRead): Readonly<Record<string, unknown>> {
  const v6 = blocksOf(env).find(({ family }) => family === 6);
  return {
    ...(env.gateway === undefined ? {} : { bip: env.gateway }),
    ...(env.mtu === undefined ? {} : { mtu: env.mtu }),
    ...(env.ipMasq === undefined ? {} : { "ip-masq": !env.ipMasq }),
    ...(v6 === undefined ? {} : { ipv6: true, "fixed-cidr-v6": formatPrefix(v6.subnet) }),
  };
}

/**
 * The file with other values for our keys; everything else stays, in its order and with its indent.
 *
 * @param text what is there, `undefined` when there is no file
 * @throws `CONFIG_INVALID` when it cannot be read, or says that Docker has another bridge
 */
export function mergeDaemonJson(text: string | undefined, env: SubnetEnvRead): Merged {
  const before = readObject(text ?? "");
  if (before["bridge"] !== undefined) {
    throw new DenimError("CONFIG_INVALID", "Docker is told to have another bridge", {
      why: `the key "bridge" is ${
        JSON.stringify(before["bridge"])
      }, and "bip" cannot stand beside it`,
      fix: "take it out, or use a network of its own: denim env docker --form network",
    });
  }
  const keys = dockerKeys(env);
  const changed = Object.keys(keys).filter((key) =>
    JSON.stringify(before[key]) !== JSON.stringify(keys[key])
  );
  const kept = Object.keys(before).filter((key) => !changed.includes(key));
  if (changed.length === 0 && text !== undefined) return { text, changed, kept };
  const indent = /^\{\s*\n([ \t]+)/.exec(text?.trimStart() ?? "")?.[1] ?? "  ";
  return { text: `${JSON.stringify({ ...before, ...keys }, null, indent)}\n`, changed, kept };
}

/** dockerd takes an empty file for one without keys. */
function readObject(text: string): Record<string, unknown> {
  if (text.trim() === "") return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const why = (cause as Error).message;
    throw new DenimError("CONFIG_INVALID", "Docker's daemon.json is not JSON", { why, cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new DenimError("CONFIG_INVALID", "Docker's daemon.json must be a JSON object", {
    why: `it is ${JSON.stringify(value)}`,
  });
}
