/** What systemd is to a service: a datagram socket that its messages come to. */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { errorText, MSG, SOCK } from "../../src/kernel/netlink/constants.ts";
import { type Libc, openLibc } from "../../src/kernel/libc.ts";
import { temporaryFolder } from "./folders.ts";
import type { Test } from "./tap.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;

export class NotifyListener {
  /** For `NOTIFY_SOCKET`. */
  readonly path: string;
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #messages: string[] = [];

  private constructor(libc: Libc, path: string) {
    this.path = path;
    this.#libc = libc;
    this.#fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK.cloexec | SOCK.nonblock, 0);
    const name = Buffer.from(path.replace(/^@/, "\0"));
    const address = Buffer.concat([Buffer.from([AF_UNIX, 0]), name]);
    if (libc.bind(this.#fd, address, address.length) !== 0) {
      throw new Error(`bind ${path}: ${errorText(libc.errno())}`);
    }
  }

  /** Until the test's end; a file, unless there is a name for an abstract one. */
  static async open(t: Test, path = join(temporaryFolder(t), "notify")): Promise<NotifyListener> {
    const libc = await openLibc();
    const listener = new NotifyListener(libc, path);
    t.teardown(() => void libc.close(listener.#fd));
    return listener;
  }

  /** Every message so far, the assignments of one separated by newlines. */
  messages(): readonly string[] {
    const buffer = new Uint8Array(4096);
    for (;;) {
      const length = this.#libc.recv(this.#fd, buffer, buffer.length, MSG.dontwait);
      if (length < 0) return this.#messages;
      this.#messages.push(Buffer.from(buffer.subarray(0, length)).toString());
    }
  }

  count(assignment: string): number {
    return this.messages().filter((text) => text.split("\n").includes(assignment)).length;
  }
}
