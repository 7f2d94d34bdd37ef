import { DenimError } from "../base/errors.ts";
import { tryParseAddress } from "../ip/address.ts";

/** Where nodes listen when an address names no port. */
export const DEFAULT_PORT = 7470;

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address. Throws `CONFIG_INVALID`.
 * Without a port it is 7470.
 */
export function parseEndpoint(text: string): Endpoint {
  const endpoint = tryParseEndpoint(text);
  if (endpoint !== undefined) return endpoint;
  throw new DenimError("CONFIG_INVALID", `"${text}" is not an address of a node`, {
    fix: `write host:port, for example 192.0.2.11:${DEFAULT_PORT} or [2001:db8::1]`,
  });
}

/** As {@link parseEndpoint}, but `undefined` instead of an error. */
export function tryParseEndpoint(text: string): Endpoint | undefined {
  const match = /^\[([0-9a-fA-F:.%]+)\](?::(\d{1,5}))?$/.exec(text) ??
    /^([^:[\]\s/]+)(?::(\d{1,5}))?$/.exec(text) ??
    /^([0-9a-fA-F]*:[0-9a-fA-F:.]+)$/.exec(text);
  if (match === null) return undefined;
  const host = match[1]!;
  const port = match[2] === undefined ? DEFAULT_PORT : Number(match[2]);
  const isHost = !host.includes(":") || tryParseAddress(host.replace(/%.*$/, "")) !== undefined;
  return isHost && port > 0 && port <= 65535 ? { host, port } : undefined;
}

export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
