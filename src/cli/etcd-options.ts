import type { EtcdSettings } from "../agent/settings.ts";
import { DenimError } from "../base/errors.ts";
import { readPrefix } from "../etcd/projection.ts";
import { tryParseAddress } from "../ip/address.ts";
import { containsAddress, parsePrefix } from "../ip/prefix.ts";
import { tryParseEndpoint } from "../transport/address.ts";

export interface EtcdFlags {
  readonly etcdListen: string;
  readonly etcdPrefix: string;
  /** A port that is in use is only said. */
  readonly etcdMayBeAway?: boolean;
}

/** flannel's own, `-etcd-prefix`. */
export const ETCD_PREFIX = "/coreos.com/network";
/** Where etcd, and so `etcdctl`, has it. */
export const ETCD_ADDRESS = "127.0.0.1:2379";

const LOOPBACK = ["127.0.0.0/8", "::1/128"].map(parsePrefix);

/** @throws `USAGE` */
export function etcdOf(flags: EtcdFlags): EtcdSettings | undefined {
  const prefix = readPrefix(flags.etcdPrefix);
  if (prefix === undefined) {
    throw new DenimError("USAGE", `"${flags.etcdPrefix}" is no path of keys`, {
      fix: `--etcd-prefix ${ETCD_PREFIX}`,
    });
  }
  if (flags.etcdListen === "off") return undefined;
  const endpoint = /:\d+$/.test(flags.etcdListen) ? tryParseEndpoint(flags.etcdListen) : undefined;
  if (endpoint === undefined) {
    throw new DenimError("USAGE", `"${flags.etcdListen}" is no address with a port`, {
      fix: `--etcd-listen ${ETCD_ADDRESS}, or off`,
    });
  }
  const address = tryParseAddress(endpoint.host);
  const isLoopback = endpoint.host === "localhost" ||
    (address !== undefined && LOOPBACK.some((block) => containsAddress(block, address)));
  if (!isLoopback) {
    throw new DenimError("USAGE", `Cannot show etcd's keys at ${flags.etcdListen}`, {
      why: "nothing there would ask who is calling: it is for this host alone",
      fix: `--etcd-listen ${ETCD_ADDRESS}, on each host where you want to look`,
    });
  }
  return { ...endpoint, prefix, isRequired: flags.etcdMayBeAway !== true };
}
