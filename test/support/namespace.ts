/**
 * A network namespace for one test: this very thread moves into it, so sockets that are opened and
 * commands that are started belong to it. It vanishes when the thread has moved back and the last
 * socket is closed; there is nothing to clean up on disk.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import koffi from "koffi";
import type { Test } from "tap";

const c = koffi.load("libc.so.6");
const unshare = c.func("int unshare(int)");
const setns = c.func("int setns(int, int)");
const open = c.func("int open(const char*, int, uint32_t)");
const close = c.func("int close(int)");

/** `linux/sched.h` */
const CLONE_NEWNET = 0x40000000;

/** Why a test cannot have a namespace, or false: what `skip` wants. */
export const cannotUnshare: string | false = process.getuid?.() === 0
  ? false
  : "needs root for network namespaces";

const FILTER_TOOLS = ["nft", "iptables", "iptables-nft", "iptables-legacy"];

/** Why a test cannot have rules in such a namespace, or false. */
export const cannotFilter: string | false = cannotUnshare ||
  (FILTER_TOOLS.every((name) => existsSync(`/usr/sbin/${name}`))
    ? false
    : "needs Debian's nftables and iptables");

/** Moves this thread into a fresh namespace until the result is called. */
export function enterNamespace(): () => void {
  const home = open("/proc/thread-self/ns/net", 0, 0);
  if (unshare(CLONE_NEWNET) !== 0) throw new Error(`unshare: errno ${koffi.errno()}`);
  return () => {
    if (setns(home, CLONE_NEWNET) !== 0) throw new Error(`setns: errno ${koffi.errno()}`);
    close(home);
  };
}

/** Moves this thread into a namespace that has a name, until the result is called. */
export function enterNamed(name: string): () => void {
  const home = open("/proc/thread-self/ns/net", 0, 0);
  const there = open(`/run/netns/${name}`, 0, 0);
  const error = setns(there, CLONE_NEWNET) === 0 ? 0 : koffi.errno();
  close(there);
  if (error !== 0) throw new Error(`setns ${name}: errno ${error}`);
  return () => {
    if (setns(home, CLONE_NEWNET) !== 0) throw new Error(`setns: errno ${koffi.errno()}`);
    close(home);
  };
}

/** As {@link enterNamespace}, until the test's end. */
export function inNamespace(t: Test): void {
  t.teardown(enterNamespace());
}

/** Runs `ip` with words that are separated by one blank. */
export function ip(words: string): string {
  return runIn("ip", ...words.split(" "));
}

/** Runs a program where this thread is, and returns what it prints. */
export function runIn(program: string, ...words: string[]): string {
  const result = spawnSync(program, words, { encoding: "utf8" });
  if (result.status !== 0) {
    throw new Error(`${program} ${words.join(" ")}: ${result.error?.message ?? result.stderr}`);
  }
  return result.stdout;
}
