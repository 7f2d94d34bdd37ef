import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Host } from "../../src/cli/lab/host.ts";
import { runProgram } from "../../src/cli/lab/ip.ts";

/** Starts a server in the host's container; the result ends it. */
export async function untilListening(host: Host): Promise<() => Promise<void>> {
  const child = spawn("ip", [
    "netns",
    "exec",
    host.containerNamespace,
    "iperf3",
    "-s",
    "--forceflush",
  ]);
  for await (const chunk of child.stdout) if (String(chunk).includes("listening")) break;
  return async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  };
}

/** Bits a second over one TCP connection from the first one's container to the second one's. */
export async function measure([from, to]: readonly [Host, Host], seconds: number): Promise<number> {
  const words = ["iperf3", "-c", to.container!.address, "-t", String(seconds), "-J"];
  const { status, out, err } = await runProgram(
    "ip",
    ["netns", "exec", from.containerNamespace, ...words],
    { timeoutMs: 30_000 },
  );
  if (status !== 0) throw new Error(`iperf3 ended with ${status}: ${err || out}`);
  const { end } = JSON.parse(out) as { end: { sum_received: { bits_per_second: number } } };
  return end.sum_received.bits_per_second;
}
