import type { EtcdNode } from "./tree.ts";

/**
 * The failures of etcd's v2 API that this one has, with their HTTP status
 * (etcd 3.4, `etcdserver/api/v2error/error.go`).
 */
export const ETCD_ERRORS = {
  100: { message: "Key not found", status: 404 },
  104: { message: "Not a directory", status: 400 },
  107: { message: "Root is read only", status: 400 },
  203: { message: "The given index in POST form is not a number", status: 400 },
  209: { message: "Invalid field", status: 400 },
  300: { message: "Raft Internal Error", status: 500 },
} as const;

export type EtcdErrorCode = keyof typeof ETCD_ERRORS;

/** Thrown where a request ends, as its answer. */
export class EtcdError extends Error {
  readonly code: EtcdErrorCode;
  /** A path, or what is wrong. */
  readonly reason: string;

  constructor(code: EtcdErrorCode, reason: string) {
    super(`${code}: ${ETCD_ERRORS[code].message} (${reason})`);
    this.code = code;
    this.reason = reason;
  }
}

export interface Listing {
  readonly recursive: boolean;
  readonly sorted: boolean;
  /** Expirations are told by the wall clock. */
  readonly wallMs: number;
}

/** A key as `GET` answers it. The children of a directory are shown, theirs only if asked for. */
export function nodeJson(node: EtcdNode, listing: Listing): object {
  return oneNode(node, listing, true);
}

function oneNode(node: EtcdNode, listing: Listing, isOpen: boolean): object {
  const { key, createdIndex, modifiedIndex } = node;
  // etcd leaves out what is zero or empty, and so the root has neither name nor index.
  const name = key === "/" ? {} : { key };
  const index = key === "/" ? {} : { modifiedIndex, createdIndex };
  if (node.kind === "file") {
    return { ...name, value: node.value, ...expiry(node.leftMs, listing.wallMs), ...index };
  }
  const open = isOpen && node.nodes.length > 0;
  const nodes = listing.sorted ? node.nodes.toSorted(byKey) : node.nodes;
  const children = open ? nodes.map((child) => oneNode(child, listing, listing.recursive)) : [];
  return { ...name, dir: true, ...(open ? { nodes: children } : {}), ...index };
}

function byKey(a: EtcdNode, b: EtcdNode): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

/** Rounded up, and never 0: to flannel a key without a TTL is a reservation. */
function expiry(leftMs: number | undefined, wallMs: number): object {
  if (leftMs === undefined) return {};
  const left = Math.max(1, leftMs);
  return { expiration: new Date(wallMs + left).toISOString(), ttl: Math.ceil(left / 1_000) };
}

/** One line, with the letters escaped that Go's encoder escapes. */
export function goJson(value: unknown): string {
  const text = JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `${text}\n`;
}
