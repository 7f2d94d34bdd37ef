/** Debian's etcd and etcdctl beside a test. */
import { spawn, spawnSync } from "node:child_process";
import { temporaryFolder } from "./folders.ts";
import { freePort } from "./sockets.ts";
import type { Test } from "./tap.ts";

/** Why there is none, or false: what `skip` wants. */
export const cannotEtcd: string | false = canRun("etcd", "--version")
  ? false
  : "needs Debian's etcd-server";
export const cannotEtcdctl: string | false = canRun("etcdctl", "version")
  ? false
  : "needs Debian's etcd-client";

function canRun(program: string, word: string): boolean {
  return spawnSync(program, [word]).status === 0;
}

/** One member with its v2 API, on loopback until the test's end. Resolves with its URL. */
export async function startEtcd(t: Test): Promise<string> {
  const [client, peer] = [await freePort(), await freePort()].map((n) => `http://127.0.0.1:${n}`);
  const child = spawn("etcd", [
    ...["--enable-v2", "--data-dir", temporaryFolder(t), "--initial-cluster", `default=${peer}`],
    ...["--listen-client-urls", client!, "--advertise-client-urls", client!],
    ...["--listen-peer-urls", peer!, "--initial-advertise-peer-urls", peer!],
  ], { stdio: "ignore" });
  const closed = new Promise((resolve) => child.once("close", resolve));
  t.teardown(async () => {
    child.kill("SIGKILL");
    await closed;
  });
  for (let tries = 0; tries < 600; tries++) {
    const answer = await fetch(`${client}/health`).catch(() => undefined);
    const health = await answer?.text();
    if (answer?.ok) return client!;
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (child.exitCode !== null) throw new Error(`etcd has ended: ${child.exitCode} ${health}`);
  }
  throw new Error("etcd does not get healthy");
}
