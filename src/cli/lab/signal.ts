import process from "node:process";

/**
 * Sends a signal to a process that may have ended just now. By its pid, not through its
 * `ChildProcess`: Deno takes a child that it has signalled for one that the signal has ended.
 */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
