import type { Credentials } from "./credentials.ts";
import { dial } from "./dialer.ts";
import { listen, type Listener } from "./listener.ts";
import type { Transport } from "./transport.ts";

/** Mutual TLS 1.3 over TCP, with one node's key and certificate. */
export function tlsTransport(first: Credentials): Transport {
  let credentials = first;
  const listeners = new Set<Listener>();
  return {
    dial: (address, options) => dial(address, { ...options, credentials }),
    listen: async (options) => {
      const listener = await listen({ ...options, credentials });
      listeners.add(listener);
      // They may have changed while the port was being opened.
      listener.reload(credentials);
      return listener;
    },
    reload: (next) => {
      credentials = next;
      for (const listener of listeners) listener.reload(next);
    },
  };
}
