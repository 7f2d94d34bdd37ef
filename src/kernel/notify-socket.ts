import { Buffer } from "node:buffer";
import { DenimError } from "../base/errors.ts";
import type { Libc } from "./libc.ts";
import { errorText, MSG, SOCK } from "./netlink/constants.ts";
import { LITTLE_ENDIAN } from "./netlink/message.ts";

/** `linux/socket.h`, `linux/net.h` */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
/** `linux/un.h`: what fits into `sun_path`. */
const PATH_BYTES_MAX = 108;

/**
 * Where a service tells its manager how it is (`sd_notify(3)`): a datagram socket of the file
 * system, or, with `@` in front, of the abstract namespace. Neither Node nor Deno has such sockets.
 */
export class NotifySocket implements Disposable {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #address: Uint8Array;

  /** `path` as in `NOTIFY_SOCKET`. @throws `CONFIG_INVALID` `PLATFORM_UNSUPPORTED` */
  constructor(libc: Libc, path: string) {
    this.#libc = libc;
    this.#address = addressOf(path);
    this.#fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK.cloexec | SOCK.nonblock, 0);
    if (this.#fd >= 0) return;
    throw new DenimError("PLATFORM_UNSUPPORTED", "Cannot open a socket to the service manager", {
      why: errorText(libc.errno()),
    });
  }

  /**
   * One message of assignments: `READY=1`, `STATUS=…`. It never waits: a manager that is gone, or
   * reads nothing, is no reason for a network to stand still.
   *
   * @returns whether the message was taken
   */
  send(...assignments: readonly string[]): boolean {
    // A newline would begin another assignment.
    const text = assignments.map((line) => line.replaceAll("\n", " ")).join("\n");
    const bytes = Buffer.from(text);
    const { length } = bytes;
    const address = this.#address;
    return this.#libc.sendto(this.#fd, bytes, length, MSG.dontwait, address, address.length) ===
      length;
  }

  [Symbol.dispose](): void {
    this.#libc.close(this.#fd);
  }
}

/** `linux/un.h`, struct sockaddr_un: the family, and a name whose length the call says. */
function addressOf(path: string): Uint8Array {
  const name = Buffer.from(path);
  if (!/^[@/]./.test(path) || name.length >= PATH_BYTES_MAX) {
    throw new DenimError("CONFIG_INVALID", `NOTIFY_SOCKET=${path} is no socket`, {
      why: "it is an absolute path, or an abstract name that begins with @, of 107 bytes at most",
      fix: "leave the variable to systemd",
    });
  }
  if (name[0] === "@".charCodeAt(0)) name[0] = 0;
  const address = new Uint8Array(2 + name.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, LITTLE_ENDIAN);
  address.set(name, 2);
  return address;
}
