import type { LeaseBody, StateRecord } from "../lease/records.ts";
import { SINGLE } from "../lease/records.ts";
import type { StateReader } from "../lease/state.ts";
import { childKey, type EtcdDirectory, type EtcdFile, type EtcdNode } from "./tree.ts";

/**
 * The state as the tree that flannel keeps in etcd: `PREFIX/config`, and `PREFIX/subnets/` with one
 * key for each lease (`flannel/pkg/subnet/etcd/registry.go`). A view, not a store: an index is the
 * revision of a record, a directory has that of the network. Before there is a network there is
 * only the root.
 *
 * @param prefix as {@link readPrefix} gives it
 */
export function project(state: StateReader, prefix: string): EtcdDirectory {
  const root = { kind: "directory", key: "/", createdIndex: 0, modifiedIndex: 0 } as const;
  const network = state.get("network", SINGLE);
  if (network === undefined) return { ...root, nodes: [] };
  const { createRevision } = network;
  const directory = (key: string, nodes: readonly EtcdNode[]): EtcdDirectory => (
    { kind: "directory", key, createdIndex: createRevision, modifiedIndex: createRevision, nodes }
  );
  const leases = [...state.all("lease")].map((lease) =>
    leaseFile(lease, childKey(prefix, "subnets"), leftMs(state, lease.key))
  );
  let node = directory(prefix, [
    {
      ...{ kind: "file", key: childKey(prefix, "config"), value: network.body.config },
      ...{ createdIndex: createRevision, modifiedIndex: network.modRevision, leftMs: undefined },
    },
    directory(childKey(prefix, "subnets"), leases),
  ]);
  while (node.key.lastIndexOf("/") > 0) {
    node = directory(node.key.slice(0, node.key.lastIndexOf("/")), [node]);
  }
  return { ...root, nodes: [node] };
}

function leaseFile(
  { body, createRevision, modRevision }: StateRecord<"lease">,
  folder: string,
  left: number | undefined,
): EtcdFile {
  return {
    kind: "file",
    key: childKey(folder, subnetName(body.subnets)),
    value: leaseValue(body),
    createdIndex: createRevision,
    modifiedIndex: modRevision,
    leftMs: left,
  };
}

/** `10.5.34.0-24`, and in a network of both families `10.12.13.0-24&fd00:12:13::-56`. */
export function subnetName(subnets: readonly string[]): string {
  return subnets.map((subnet) => subnet.replace("/", "-")).join("&");
}

/**
 * flannel's lease attributes, in its order of keys; what its backends do not need is left out. It
 * has what a backend publishes once per family.
 */
export function leaseValue({ publicIp, publicIpv6, backendType, backendData }: LeaseBody): string {
  const v4 = publicIp.includes(":") ? undefined : publicIp;
  const v6 = publicIpv6 ?? (v4 === undefined ? publicIp : undefined);
  // It is JSON text already, kept as the backend has published it.
  const data = (name: string, address: string | undefined) =>
    backendData === "null" || address === undefined ? [] : [member(name, backendData)];
  const members = [
    ...(v4 === undefined ? [] : [member("PublicIP", JSON.stringify(v4))]),
    ...(v6 === undefined ? [] : [member("PublicIPv6", JSON.stringify(v6))]),
    member("BackendType", JSON.stringify(backendType)),
    ...data("BackendData", v4),
    ...data("BackendV6Data", v6),
  ];
  return `{${members.join(",")}}`;
}

function member(name: string, json: string): string {
  return `"${name}":${json}`;
}

/** Deadlines are known to servers only. */
function leftMs(state: StateReader, lease: string): number | undefined {
  const deadline = state.get("deadline", lease);
  return deadline === undefined ? undefined : deadline.body.deadlineMs - state.clockMs;
}

/** `/a/b`, whatever slashes it was given with; `undefined` when it is no path below the root. */
export function readPrefix(text: string): string | undefined {
  const parts = text.split("/").filter((part) => part !== "");
  const isPath = text.startsWith("/") && parts.length > 0 &&
    parts.every((part) => part !== "." && part !== ".." && !/\p{Control}/u.test(part));
  return isPath ? `/${parts.join("/")}` : undefined;
}
