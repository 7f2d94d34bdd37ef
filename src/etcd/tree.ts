/** A key with a value, as etcd's v2 store has it. */
export interface EtcdFile {
  readonly kind: "file";
  /** The whole path: `/coreos.com/network/config`. */
  readonly key: string;
  readonly value: string;
  /** Of the change that made it, and of the last one. */
  readonly createdIndex: number;
  readonly modifiedIndex: number;
  /** Until it goes by itself, if it does and this is known. */
  readonly leftMs: number | undefined;
}

export interface EtcdDirectory {
  readonly kind: "directory";
  /** `/` for the root. */
  readonly key: string;
  readonly createdIndex: number;
  readonly modifiedIndex: number;
  readonly nodes: readonly EtcdNode[];
}

export type EtcdNode = EtcdFile | EtcdDirectory;

export type Found =
  | { readonly kind: "found"; readonly node: EtcdNode }
  /** `at`: the first part of the way that is not there, or that is no directory. */
  | { readonly kind: "missing" | "not-a-directory"; readonly at: string };

/** Walks down a path: `/` is the root. */
export function findNode(root: EtcdDirectory, path: string): Found {
  let node: EtcdNode = root;
  for (const name of path.split("/").filter((part) => part !== "")) {
    if (node.kind === "file") return { kind: "not-a-directory", at: node.key };
    const key = childKey(node.key, name);
    const child: EtcdNode | undefined = node.nodes.find((one) => one.key === key);
    if (child === undefined) return { kind: "missing", at: key };
    node = child;
  }
  return { kind: "found", node };
}

export function childKey(directory: string, name: string): string {
  return directory === "/" ? `/${name}` : `${directory}/${name}`;
}
