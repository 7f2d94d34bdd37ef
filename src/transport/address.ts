import { DenimError } from "../base/errors.ts";

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
  const match = /^\[([0-9a-fA-F:.%]+)\](?::(\d{1,5}))?$/.exec(text) ??
    /^([^:[\]\s/]+)(?::(\d{1,5}))?$/.exec(text) ??
    /^([0-9a-fA-F]*:[0-9a-fA-F:.]+)$/.exec(text);
  const port = match?.[2] === undefined ? DEFAULT_PORT : Number(match[2]);
  if (match !== null && port > 0 && port <= 65535) return { host: match[1]!, port };
  throw new DenimError("CONFIG_INVALID", `"${text}" is not an address of a node`, {
    fix: `write host:port, for example 192.0.2.11:${DEFAULT_PORT} or [2001:db8::1]`,
  });
}

export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
