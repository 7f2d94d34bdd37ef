import { readFileSync } from "node:fs";

/** The kernel's random name of this boot. */
export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
