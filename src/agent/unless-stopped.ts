import { DenimError } from "../base/errors.ts";

/**
 * An answer, unless it is given up. Without a leader one takes its whole time, and a daemon that is
 * told to stop has none.
 *
 * @throws `CANCELLED`
 */
export async function unlessStopped<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  const stopped = Promise.withResolvers<never>();
  const stop = () => stopped.reject(new DenimError("CANCELLED", "Stopped"));
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([answer, stopped.promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
