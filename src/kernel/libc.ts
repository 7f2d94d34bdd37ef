import process from "node:process";
import { DenimError } from "../base/errors.ts";

/**
 * The system calls that Node and Deno do not offer: the only door to libc, the same on both.
 * Numbers are as in the manual pages: -1 means failure and {@link errno} says which, right after.
 */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, length: number): number;
  sendto(
    fd: number,
    bytes: Uint8Array,
    length: number,
    flags: number,
    address: Uint8Array,
    addressLength: number,
  ): number;
  recv(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  /** A counter as a file: what wakes a {@link poll} from outside. */
  eventfd(initial: number, flags: number): number;
  write(fd: number, bytes: Uint8Array, length: number): number;
  /** A descriptor of the system's own; those of `node:fs` are not that under every runtime. */
  open(path: string, flags: number, mode: number): number;
  flock(fd: number, operation: number): number;
  close(fd: number): number;
  errno(): number;
  /**
   * Waits on a thread of the runtime's pool, so the loop stays free. -1 waits for ever: whoever
   * polls must have a way to wake it, since a process does not end before its threads.
   */
  poll(fds: Uint8Array, count: number, timeoutMs: number): Promise<number>;
  /** Lets only what the classic BPF program accepts into the socket (`linux/filter.h`). */
  attachFilter(fd: number, program: Uint8Array): number;
  /** Whether somebody keeps the wall clock right; `undefined` where the kernel does not say. */
  clockIsKept(): boolean | undefined;
  /** CLOCK_BOOTTIME in milliseconds: never goes back within a boot and counts suspend. */
  bootMs(): number;
}

/** `linux/time.h` */
const CLOCK_BOOTTIME = 7;

/** `linux/timex.h`: what `adjtimex(2)` returns while nobody keeps the clock right. */
const TIME_ERROR = 5;
/** struct timex is smaller on every architecture. */
const TIMEX_BYTES = 256;

/** `asm-generic/socket.h` */
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
/** `linux/filter.h`: struct sock_filter */
const INSTRUCTION_BYTES = 8;

let opened: Promise<Libc> | undefined;

/**
 * Opens the door, once per process. Loading takes about 15 ms, so a command that needs no system
 * call does not pay for it.
 *
 * @throws `PLATFORM_UNSUPPORTED`
 */
export function openLibc(): Promise<Libc> {
  return (opened ??= load());
}

async function load(): Promise<Libc> {
  try {
    const { default: koffi } = await import("koffi");
    const c = koffi.load("libc.so.6");
    const poll = c.func("int poll(uint8_t*, uint64_t, int)");
    const adjtimex = c.func("int adjtimex(uint8_t*)");
    const filterProgram = koffi.struct({ len: "uint16_t", filter: "const uint8_t*" });
    const attach = c.func("setsockopt", "int", [
      ...["int", "int", "int", koffi.pointer(filterProgram), "uint32_t"],
    ]);
    const clockGettime = c.func("int clock_gettime(int, uint8_t*)");
    return {
      socket: c.func("int socket(int, int, int)"),
      bind: c.func("int bind(int, const uint8_t*, uint32_t)"),
      getsockname: c.func("int getsockname(int, uint8_t*, uint8_t*)"),
      setsockopt: c.func("int setsockopt(int, int, int, const uint8_t*, uint32_t)"),
      sendto: c.func("int64_t sendto(int, const uint8_t*, size_t, int, const uint8_t*, uint32_t)"),
      recv: c.func("int64_t recv(int, uint8_t*, size_t, int)"),
      eventfd: c.func("int eventfd(uint32_t, int)"),
      write: c.func("int64_t write(int, const uint8_t*, size_t)"),
      open: c.func("int open(const char*, int, uint32_t)"),
      flock: c.func("int flock(int, int)"),
      close: c.func("int close(int)"),
      errno: () => koffi.errno(),
      poll: (fds, count, timeoutMs) =>
        new Promise((resolve, reject) =>
          poll.async(
            fds,
            count,
            timeoutMs,
            (error: Error | null, ready: number) => error ? reject(error) : resolve(ready),
          )
        ),
      attachFilter: (fd, program) =>
        attach(
          ...[fd, SOL_SOCKET, SO_ATTACH_FILTER] as const,
          { len: program.length / INSTRUCTION_BYTES, filter: program },
          koffi.sizeof(filterProgram),
        ),
      clockIsKept() {
        const state = adjtimex(new Uint8Array(TIMEX_BYTES));
        return state < 0 ? undefined : state !== TIME_ERROR;
      },
      bootMs: bootReader(clockGettime),
    };
  } catch (cause) {
    throw new DenimError("PLATFORM_UNSUPPORTED", "Cannot load the C library", {
      why: `${process.platform} ${process.arch}: ${(cause as Error).message}`,
      fix: "run Denim on Linux x64 or arm64 with glibc 2.28 or later",
      cause,
    });
  }
}

function bootReader(clockGettime: (clock: number, time: Uint8Array) => number): () => number {
  const time = new Uint8Array(16);
  const view = new DataView(time.buffer);
  return () => {
    clockGettime(CLOCK_BOOTTIME, time);
    return Number(view.getBigInt64(0, true)) * 1000 + Number(view.getBigInt64(8, true)) / 1e6;
  };
}
