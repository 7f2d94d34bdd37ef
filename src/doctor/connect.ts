import { createConnection } from "node:net";
import type { Endpoint } from "../transport/address.ts";

export interface ConnectFailure {
  /** The system's word, such as `ECONNREFUSED`; absent where nobody answered in time. */
  readonly code?: string;
  readonly message: string;
}

/** Why no connection can be made there; `undefined`: one was, and is closed again. */
export function connectFailure(
  { host, port }: Endpoint,
  timeoutMs: number,
): Promise<ConnectFailure | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port, timeout: timeoutMs });
    const end = (failure?: ConnectFailure) => {
      socket.destroy();
      resolve(failure);
    };
    socket.once("connect", () => end())
      .once("timeout", () => end({ message: `no answer from ${host}:${port}` }))
      .once(
        "error",
        ({ code, message }: NodeJS.ErrnoException) =>
          end({ message, ...(code === undefined ? {} : { code }) }),
      );
  });
}
