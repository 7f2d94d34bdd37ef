import type { Credentials } from "./credentials.ts";
import type { Dialed, DialOptions } from "./dialer.ts";
import type { ListenerOptions } from "./listener.ts";

/** A port that is open. */
export interface Listening extends AsyncDisposable {
  readonly port: number;
}

/**
 * How a node reaches others and is reached, as one that has proved who it is: the port between the
 * control plane and a network. Drivers: `tlsTransport`, and the simulator's network.
 */
export interface Transport {
  /** See `dial` in `dialer.ts` for what it rejects with. */
  dial(address: string, options: Omit<DialOptions, "credentials">): Promise<Dialed>;
  /** @throws `PORT_IN_USE` `PERMISSION_DENIED` `CONFIG_INVALID` */
  listen(options: Omit<ListenerOptions, "credentials">): Promise<Listening>;
  /**
   * Uses these for connections from now on; those that stand are not touched. Absent where
   * connections need none.
   */
  reload?(credentials: Credentials): void;
}
