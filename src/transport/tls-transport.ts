import type { Credentials } from "./credentials.ts";
import { dial } from "./dialer.ts";
import { listen } from "./listener.ts";
import type { Transport } from "./transport.ts";

/** Mutual TLS 1.3 over TCP, with one node's key and certificate. */
export function tlsTransport(credentials: Credentials): Transport {
  return {
    dial: (address, options) => dial(address, { ...options, credentials }),
    listen: (options) => listen({ ...options, credentials }),
  };
}
